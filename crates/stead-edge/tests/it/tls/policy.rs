//! What routes ask of TLS: redirects, HSTS, versions, certificates of visitors.

use std::time::Duration;

use rcgen::{CertificateParams, DnType};
use stead_edge::Settings;
use stead_model::messages::EdgeEvent;
use stead_model::routing::{PlainHttp, RouteTls, RoutingTable, TlsVersion};

use super::authority::{Authority, Secure, text};

/// An app that answers with what it learns of a certificate, or with an HSTS header of its own.
const APP: &str = "
def app(environ, start_response):
    headers = [('Content-Type', 'text/plain')]
    if environ['PATH_INFO'] == '/own': headers.append(('Strict-Transport-Security', 'max-age=1'))
    start_response('200 OK', headers)
    names = ['HTTP_STEAD_CLIENT_SUBJECT', 'HTTP_STEAD_CLIENT_FINGERPRINT']
    return ['|'.join(environ.get(name, '-') for name in names).encode()]
";

fn asking(tls: RouteTls) -> impl FnOnce(RoutingTable) -> RoutingTable {
    move |mut table| {
        table.routes[0].tls = Some(Box::new(tls));
        table
    }
}

#[test]
fn plain_http_is_redirected_where_there_is_a_certificate() {
    let mut secure = Secure::start();
    let port = secure.address.port();
    let ask = |secure: &Secure, host: &str, path: &str| {
        secure.running.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let answer = ask(&secure, "a.example", "/x?y=1");
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), Some("https://a.example/x?y=1"));
    // Who came to a port that is not the usual one does not go to the usual one.
    let answer = ask(&secure, "A.example:8000", "/");
    let there = format!("https://A.example:{port}/");
    assert_eq!(answer.header("location"), Some(there.as_str()));
    // A host without a certificate would be sent to an error.
    assert_eq!(ask(&secure, "b.example", "/").status, 200);
    // An authority's question is answered where it is asked.
    let mut table = secure.table.clone();
    table.routes[0].tls = Some(Box::new(RouteTls {
        plain: PlainHttp::Serve,
        ..RouteTls::default()
    }));
    secure.running.publish(table);
    assert_eq!(ask(&secure, "a.example", "/x").status, 200);
}

#[test]
fn browsers_are_told_to_come_over_tls_once_and_over_tls_alone() {
    let secure = Secure::of(
        APP,
        Settings::default(),
        asking(RouteTls {
            plain: PlainHttp::Serve,
            hsts: Some(Duration::from_secs(86_400)),
            ..RouteTls::default()
        }),
    );
    let port = secure.address.port();
    for version in ["--http1.1", "--http2"] {
        for (path, expected) in [("", "max-age=86400"), ("own", "max-age=1")] {
            let url = format!("https://a.example:{port}/{path}");
            let head =
                text(&secure.curl("a.example", &[version, "-D", "-", "-o", "/dev/null", &url]));
            let said: Vec<String> = head
                .lines()
                .map(str::to_ascii_lowercase)
                .filter(|line| line.starts_with("strict-transport-security"))
                .collect();
            // One of each of the two answers.
            assert_eq!(said.len(), 2, "{said:?}");
            assert_eq!(
                said[0],
                format!("strict-transport-security: {expected}"),
                "{version}"
            );
        }
    }
    let plain = secure
        .running
        .ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(
        (plain.status, plain.header("strict-transport-security")),
        (200, None)
    );
}

#[test]
fn a_host_may_ask_for_the_newest_version() {
    let secure = Secure::with(
        Settings::default(),
        asking(RouteTls {
            minimum: TlsVersion::Tls13,
            ..RouteTls::default()
        }),
    );
    let said = secure.openssl(&["-servername", "a.example", "-tls1_2"], "");
    assert!(said.contains("protocol version"), "{said}");
    let said = secure.openssl(&["-servername", "a.example", "-tls1_3"], "");
    assert!(said.contains("Verify return code: 0"), "{said}");
}

#[test]
fn only_visitors_with_a_certificate_are_let_in() {
    let staff = Authority::new();
    let file = staff.folder.path().join("staff-ca.pem");
    std::fs::copy(&staff.own, &file).unwrap();
    let mut secure = Secure::of(
        APP,
        Settings::default(),
        asking(RouteTls {
            client_ca: Some(file.clone()),
            ..RouteTls::default()
        }),
    );
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "Ada\r\nX-Admin: yes");
    let (chain, key) = staff.pair_of(params.clone());
    let (other_chain, other_key) = secure.authority.pair_of(params);
    let write = |name: &str, text: &str| {
        let path = staff.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let own = [write("own.pem", &chain), write("own.key", &key)];
    let other = [
        write("other.pem", &other_chain),
        write("other.key", &other_key),
    ];
    let with = |pair: &[String; 2]| {
        [
            "--cert".to_owned(),
            pair[0].clone(),
            "--key".to_owned(),
            pair[1].clone(),
        ]
    };
    let own: Vec<String> = with(&own).into();
    let other: Vec<String> = with(&other).into();
    let visit = |secure: &Secure, host: &str, more: &[String]| {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        secure.curl(host, &more)
    };
    let forged = [
        "-H",
        "Stead-Client-Subject: root",
        "-H",
        "Stead_Client_Subject: root",
    ];
    let mut with_forged = own.clone();
    with_forged.extend(forged.map(str::to_owned));
    let seen = text(&visit(&secure, "a.example", &with_forged));
    let (subject, fingerprint) = seen.split_once('|').unwrap();
    assert!(subject.ends_with("CN=Ada%0D%0AX-Admin: yes"), "{subject}");
    assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(!visit(&secure, "a.example", &other).status.success());
    assert!(!visit(&secure, "a.example", &[]).status.success());
    // Nor over plain HTTP, or after a handshake for another host.
    let plain = secure
        .running
        .ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(plain.status, 308);
    let answer = text(&visit(&secure, "a.example", &{
        let mut more = own.clone();
        more.extend(
            [
                "-H",
                "Host: b.example",
                "-w",
                "%{http_code}",
                "-o",
                "/dev/null",
            ]
            .map(str::to_owned),
        );
        more
    }));
    assert_eq!(answer, "421");
    // No session of an earlier authority, or without any, is taken up again.
    let reused = secure.python(&format!(
        "
context.load_cert_chain({:?}, {:?})
s = connect(); get(s); session = s.session
s = connect(session=session); get(s)
print(s.session_reused)
",
        own[1], own[3]
    ));
    assert_eq!(reused, "False\n");
    // A file that is gone lets nobody in.
    for broken in [None, Some("nonsense")] {
        match broken {
            None => std::fs::remove_file(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
        }
        let table = secure.table.clone();
        secure.running.publish(table);
        let told = secure
            .running
            .wait_for(|event| matches!(event, EdgeEvent::Certificates(_)));
        assert!(format!("{told:?}").contains("nobody is let in"), "{told:?}");
        assert!(!visit(&secure, "a.example", &own).status.success());
        assert_eq!(
            secure
                .running
                .ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
                .status,
            308
        );
    }
}
