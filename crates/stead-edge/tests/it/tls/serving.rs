//! What a visitor over TLS gets.

use std::io::Write;

use stead_edge::Settings;
use stead_model::certificates::{CertificateTable, TlsAlpnChallenge};
use stead_model::routing::{Folder, Target};

use super::authority::{Secure, text};

#[test]
fn an_app_learns_that_its_visitor_came_over_https() {
    let secure = Secure::start();
    let port = secure.address.port();
    for version in ["--http1.1", "--http2"] {
        let answer = text(&secure.curl("a.example", &[version, "--data", "hello"]));
        assert_eq!(
            answer,
            format!("https https a.example:{port} 5"),
            "{version}"
        );
    }
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let secure = Secure::with(Settings::default(), |mut table| {
        table.edge.trusted = vec!["127.0.0.1".parse().unwrap()];
        table.edge.proxy_protocol = true;
        table
    });
    let port = secure.address.port();
    for version in ["--http1.1", "--http2"] {
        let answer = text(&secure.curl("a.example", &["--haproxy-protocol", version]));
        assert_eq!(answer, format!("https https a.example:{port} 0"));
    }
    let without = secure.curl("a.example", &[]);
    assert!(!without.status.success());
}

#[test]
fn http2_is_agreed_upon_and_nothing_else_by_that_name() {
    let secure = Secure::start();
    let seen = text(&secure.curl(
        "a.example",
        &["--http2", "-o", "/dev/null", "-w", "%{http_version}"],
    ));
    assert_eq!(seen, "2");
    let said = secure.openssl(&["-servername", "a.example", "-alpn", "h2,http/1.1"], "");
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    let said = secure.openssl(&["-servername", "a.example", "-alpn", "ftp"], "");
    assert!(said.contains("no application protocol"), "{said}");
    // Who agreed upon HTTP/1.1 does not speak HTTP/2, nor the other way round.
    let seen = secure.python(
        "
context.set_alpn_protocols(['http/1.1'])
s = connect()
s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n')
print(s.recv(12).decode())
context.set_alpn_protocols(['h2'])
s = connect()
s.sendall(b'GET / HTTP/1.1\\r\\nHost: a.example\\r\\n\\r\\n')
print(s.recv(100))
",
    );
    assert_eq!(seen, "HTTP/1.1 505\nb''\n");
}

#[test]
fn both_versions_and_good_ciphers_are_spoken_and_older_ones_are_not() {
    let secure = Secure::start();
    for (version, cipher) in [
        ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("-tls1_3", "TLS_AES_256_GCM_SHA384"),
    ] {
        let said = secure.openssl(&["-servername", "a.example", version], "");
        assert!(said.contains(cipher), "{said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(
            said.contains("Secure Renegotiation IS") || version == "-tls1_3",
            "{said}"
        );
    }
    let old = [
        "-servername",
        "a.example",
        "-tls1_1",
        "-cipher",
        "DEFAULT@SECLEVEL=0",
    ];
    let said = secure.openssl(&old, "");
    assert!(said.contains("alert handshake failure"), "{said}");
    let said = secure.openssl(
        &[
            "-servername",
            "a.example",
            "-tls1_2",
            "-cipher",
            "AES128-SHA",
        ],
        "",
    );
    assert!(said.contains("handshake failure"), "{said}");
}

#[test]
fn an_unknown_name_and_no_name_are_refused_unless_there_is_a_default() {
    let mut secure = Secure::start();
    for name in [&["-servername", "b.example"][..], &["-noservername"]] {
        let said = secure.openssl(name, "");
        assert!(said.contains("unrecognized name"), "{said}");
    }
    let default = secure.authority.issue("default", &["default.example"]);
    let files = vec![secure.authority.issue("wild", &["*.b.example"])];
    let report = secure.show(CertificateTable {
        files,
        default: Some(default),
        ..CertificateTable::default()
    });
    assert_eq!((report.certificates, report.problems), (2, Vec::new()));
    for (name, shown) in [
        ("x.b.example", "*.b.example"),
        ("X.B.Example", "*.b.example"),
        ("x.y.b.example", "default.example"),
        ("b.example", "default.example"),
    ] {
        let said = secure.openssl(&["-servername", name], "");
        let pem = &said[said.find("-----BEGIN").unwrap()..];
        let pem = &pem[..pem.find("-----END").unwrap() + 25];
        assert!(names_of(pem).contains(&format!("DNS:{shown}")), "{name}");
    }
}

/// The names of a certificate, as openssl shows them.
fn names_of(pem: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.pem");
    std::fs::File::create(&file)
        .unwrap()
        .write_all(pem.as_bytes())
        .unwrap();
    let output = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
        .arg(&file)
        .output()
        .unwrap();
    text(&output)
}

#[test]
fn a_visitor_comes_back_with_a_ticket_on_any_thread() {
    let secure = Secure::with(
        Settings {
            threads: 3,
            ..Settings::default()
        },
        |table| table,
    );
    let seen = secure.python(
        "
for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
    context.minimum_version = context.maximum_version = version
    s = connect()
    get(s)
    session = s.session
    for _ in range(6):
        # Each of these comes to the next thread.
        s = connect(session=session)
        get(s)
        print(s.session_reused, s.version())
",
    );
    let expected = "True TLSv1.2\n".repeat(6) + &"True TLSv1.3\n".repeat(6);
    assert_eq!(seen, expected);
}

#[test]
fn the_end_of_answers_is_said_and_a_cut_one_is_not() {
    let secure = Secure::start();
    // Python's recv is empty after close_notify, and raises without it.
    let seen = secure.python(
        "
context.set_alpn_protocols(['http/1.1'])
s = connect()
s.suppress_ragged_eofs = False
s.sendall(b'GET / HTTP/1.1\\r\\nHost: a.example\\r\\nConnection: close\\r\\n\\r\\n')
got = b''
while True:
    more = s.recv(65536)
    if not more: break
    got += more
print(got.split(b'\\r\\n')[0].decode())
",
    );
    assert_eq!(seen, "HTTP/1.1 200 OK\n");
}

#[test]
fn large_bodies_go_both_ways_and_files_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..5_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(folder.path().join("large.bin"), &content).unwrap();
    let root = folder.path().to_owned();
    let secure = Secure::with(Settings::default(), |mut table| {
        let mut route = table.routes[0].clone();
        route.path = "/files".into();
        route.target = Target::Folder(Folder {
            root,
            fallback: None,
            ..Default::default()
        });
        table.routes.push(route);
        table
    });
    let path = folder.path().join("large.bin");
    let data = format!("@{}", path.display());
    for version in ["--http1.1", "--http2"] {
        let sent = text(&secure.curl("a.example", &[version, "--data-binary", &data]));
        assert!(sent.ends_with(" 5000000"), "{sent}");
        let port = secure.address.port();
        let url = format!("https://a.example:{port}/files/large.bin");
        let output = secure.curl(
            "a.example",
            &[
                version,
                &url,
                "--next",
                "--silent",
                "--insecure",
                "-o",
                "/dev/null",
            ],
        );
        assert!(
            output.stdout == content,
            "{version}: {} bytes",
            output.stdout.len()
        );
    }
    // A visitor who reads slowly, so that the edge has to wait for room in the middle of a record.
    let seen = secure.python(
        "
context.set_alpn_protocols(['http/1.1'])
import hashlib
plain = socket.socket()
plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
plain.connect(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else connect().getpeername()[1]))
s = context.wrap_socket(plain, server_hostname='a.example')
head, body = None, None
s.sendall(b'GET /files/large.bin HTTP/1.1\\r\\nHost: a.example\\r\\n\\r\\n')
time.sleep(0.5)
got = b''
while b'\\r\\n\\r\\n' not in got: got += s.recv(1000)
head, got = got.split(b'\\r\\n\\r\\n', 1)
parts = [got]; length = len(got)
while length < 5000000:
    more = s.recv(3000)
    if not more: break
    parts.append(more); length += len(more)
print(length, sum(b''.join(parts)))
print(get(s)[1].decode().split()[0])
",
    );
    let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
    assert_eq!(seen, format!("5000000 {sum}\nhttps\n"));
}

#[test]
fn http_as_it_is_is_told_where_it_came() {
    let secure = Secure::start();
    let mut plain = std::net::TcpStream::connect(secure.address).unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut plain, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("This address is for HTTPS"), "{answer}");
}

#[test]
fn an_authority_that_checks_a_host_is_shown_what_it_expects() {
    let mut secure = Secure::start();
    let (chain_pem, key_pem) = secure.authority.pair(&["new.example"]);
    let files = vec![secure.authority.issue("a", &["a.example"])];
    let report = secure.show(CertificateTable {
        files,
        default: None,
        challenges: vec![TlsAlpnChallenge {
            host: "new.example".into(),
            chain_pem: chain_pem.clone(),
            key_pem,
        }],
        until: Vec::new(),
    });
    assert_eq!(report.problems, []);
    let said = secure.openssl(&["-servername", "new.example", "-alpn", "acme-tls/1"], "");
    assert!(said.contains("ALPN protocol: acme-tls/1"), "{said}");
    assert!(said.contains(chain_pem.trim()), "{said}");
    // Others are not shown it, and other hosts have none.
    let said = secure.openssl(&["-servername", "new.example"], "");
    assert!(said.contains("unrecognized name"), "{said}");
    let said = secure.openssl(&["-servername", "a.example", "-alpn", "acme-tls/1"], "");
    assert!(said.contains("unrecognized name"), "{said}");
}

#[test]
fn who_says_nothing_or_nonsense_holds_nobody_up() {
    let secure = Secure::with(
        Settings {
            header_timeout: std::time::Duration::from_millis(300),
            ..Settings::default()
        },
        |table| table,
    );
    let seen = secure.python(
        "
port = connect().getpeername()[1]
def first(said):
    s = socket.create_connection(('127.0.0.1', port), 20)
    s.sendall(said)
    try:
        return s.recv(100)
    except ConnectionResetError:
        return b'reset'
print(first(b''))
print(first(b'\\x16'))
print(first(b'\\x16\\x03\\x01\\x00\\x05abcde'))
print(first(b'\\x16\\x03\\x01\\xff\\xff' + b'a' * 70000)[:2])
print(get(connect())[1].decode().split()[0])
",
    );
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..2], ["b''", "b''"], "{seen}");
    assert_eq!(lines[4], "https", "{seen}");
}
