//! Pebble and its DNS server, each on free ports, ended with the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::running::wait_until;

/// A certificate authority that asks for hosts at ports of its own.
pub(crate) struct Authority {
    pebble: Option<Child>,
    dns: Child,
    folder: tempfile::TempDir,
    /// Where the app finds it.
    port: u16,
    /// Where it listens.
    own_port: u16,
    dns_port: u16,
    management: u16,
    /// Where it asks over plain HTTP.
    pub(crate) http_port: u16,
    /// Where it asks over TLS.
    pub(crate) tls_port: u16,
}

fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

impl Authority {
    pub(crate) fn start() -> Self {
        Self::of(None)
    }

    /// Only who has this external account is let in: its key identifier, its key in base64url.
    pub(crate) fn that_knows(identifier: &str, key: &str) -> Self {
        Self::of(Some((identifier, key)))
    }

    fn of(external: Option<(&str, &str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("ca.pem"), made.cert.pem()).unwrap();
        std::fs::write(file("ca.key"), made.signing_key.serialize_pem()).unwrap();
        let (port, dns_port, management) = (free_port(), free_port(), free_port());
        let (http_port, tls_port) = (free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": "127.0.0.1:0",
            "certificate": file("ca.pem"),
            "privateKey": file("ca.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "certificateValidityPeriod": 90 * 24 * 3600,
            "externalAccountBindingRequired": external.is_some(),
            "externalAccountMACKeys": external.into_iter().collect::<BTreeMap<_, _>>(),
        }});
        std::fs::write(file("pebble.json"), config.to_string()).unwrap();
        let dns = program("pebble-challtestsrv")
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-defaultIPv4", "", "-defaultIPv6", ""])
            .args(["-dns01", &format!("127.0.0.1:{dns_port}")])
            .args(["-management", &format!("127.0.0.1:{management}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble-challtestsrv, of the Debian package pebble");
        let mut authority = Self {
            pebble: None,
            dns,
            folder,
            port,
            own_port: port,
            dns_port,
            management,
            http_port,
            tls_port,
        };
        authority.run();
        wait_until("the start of its DNS server", || {
            TcpStream::connect(("127.0.0.1", management)).is_ok()
        });
        authority
    }

    /// It is there, and knows nobody.
    pub(crate) fn run(&mut self) {
        let file = |name: &str| self.folder.path().join(name);
        let log = std::fs::File::create(file("pebble.log")).unwrap();
        let pebble = program("pebble")
            .args(["-strict", "-config"])
            .arg(file("pebble.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.dns_port)])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "50")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("pebble, of the Debian package pebble");
        self.pebble = Some(pebble);
        wait_until("the start of the authority", || {
            TcpStream::connect(("127.0.0.1", self.own_port)).is_ok()
        });
    }

    /// The URL of its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// What `[acme]` must say of it.
    pub(crate) fn keys(&self) -> String {
        let mut keys = String::new();
        let root = self.folder.path().join("ca.pem");
        let _ = writeln!(keys, "directory = \"{}\"", self.directory());
        let _ = writeln!(keys, "ca-root = \"{}\"", root.display());
        let _ = writeln!(keys, "resolvers = [\"127.0.0.1:{}\"]", self.dns_port);
        keys
    }

    /// The host leads to this machine.
    pub(crate) fn address(&self, host: &str) {
        let body = serde_json::json!({ "host": format!("{host}."), "addresses": ["127.0.0.1"] });
        self.manage("/add-a", &body.to_string());
    }

    fn manage(&self, path: &str, body: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.management)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// A program that makes records in its DNS server, and writes down beside it what it was asked.
    pub(crate) fn records_program(&self, folder: &Path) -> PathBuf {
        let path = folder.join("records.py");
        let text = format!(
            r#"
import json, sys, urllib.request
act, name, value = sys.argv[1:]
with open(__file__[:-3] + ".log", "a") as log:
    log.write(f"{{act}} {{name}}\n")
path = {{"present": "set-txt", "cleanup": "clear-txt"}}[act]
body = json.dumps({{"host": name + ".", "value": value}}).encode()
urllib.request.urlopen(f"http://127.0.0.1:{}/{{path}}", data=body).read()
"#,
            self.management
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pebble.log")).unwrap()
    }

    /// How many certificates it has issued.
    pub(crate) fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }

    /// How many orders it was given.
    pub(crate) fn orders(&self) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains("Added order"))
            .count()
    }

    /// It is down from now on.
    pub(crate) fn stop(&mut self) {
        if let Some(mut pebble) = self.pebble.take() {
            let _ = pebble.kill();
            let _ = pebble.wait();
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.stop();
        let _ = self.dns.kill();
        let _ = self.dns.wait();
    }
}

/// What stands between the app and an authority, and makes it fail as it is told. Killed when dropped.
pub(crate) struct Faulty {
    child: Child,
    folder: tempfile::TempDir,
}

impl Faulty {
    /// The app finds it in place of the authority.
    pub(crate) fn before(authority: &mut Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/certificates/faulty.py");
        let child = program("python3")
            .arg(script)
            .args([port.to_string(), authority.own_port.to_string()])
            .arg(authority.folder.path().join("ca.pem"))
            .arg(authority.folder.path().join("ca.key"))
            .arg(folder.path())
            .spawn()
            .unwrap();
        wait_until("the start of what stands before the authority", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        authority.port = port;
        Self { child, folder }
    }

    /// `PATH ACT [ARGUMENT]`, for the next request whose path begins so; see `faulty.py`.
    pub(crate) fn does(&self, fault: &str) {
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, fault).unwrap();
        std::fs::rename(draft, self.folder.path().join("fault")).unwrap();
    }

    /// Whom faults kill.
    pub(crate) fn kills(&self, pid: i32) {
        std::fs::write(self.folder.path().join("pid.new"), pid.to_string()).unwrap();
        let path = self.folder.path().join("pid");
        std::fs::rename(self.folder.path().join("pid.new"), path).unwrap();
    }

    pub(crate) fn kills_nobody(&self) {
        std::fs::remove_file(self.folder.path().join("pid")).unwrap();
    }

    /// The first certificate is to be renewed at once (RFC 9773), later ones in a year.
    pub(crate) fn takes_back_the_first(&self) {
        std::fs::write(self.folder.path().join("renewals"), "").unwrap();
    }

    /// How many requests began so: `POST /order-plz`.
    pub(crate) fn requests(&self, beginning: &str) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("requests"));
        let log = log.unwrap_or_default();
        log.lines()
            .filter(|line| line.starts_with(beginning))
            .count()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The serial and the names of the certificate that a visitor is shown who asks for `host`.
pub(crate) fn shown_to_visitor(address: &str, host: &str) -> String {
    handshake(address, host).unwrap_or_else(|errors| panic!("{host} at {address}: {errors}"))
}

/// A visitor who asks for `host` is told that nobody here has that name.
pub(crate) fn refused_at_handshake(address: &str, host: &str) {
    let errors = handshake(address, host).expect_err(host);
    assert!(errors.contains("UNRECOGNIZED_NAME"), "{host}: {errors}");
}

/// What a visitor is shown who asks for `host`, or why it has come to nothing.
pub(crate) fn handshake(address: &str, host: &str) -> Result<String, String> {
    const SCRIPT: &str = r#"
import socket, ssl, subprocess, sys
address, host = sys.argv[1:]
ip, port = address.rsplit(":", 1)
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with socket.create_connection((ip, int(port)), 30) as plain:
    with context.wrap_socket(plain, server_hostname=host) as tls:
        der = tls.getpeercert(True)
import tempfile
with tempfile.NamedTemporaryFile("w") as file:
    file.write(ssl.DER_cert_to_PEM_cert(der))
    file.flush()
    found = ssl._ssl._test_decode_cert(file.name)
print(found["serialNumber"], ",".join(sorted(name for _, name in found["subjectAltName"])))
"#;
    let output = Command::new("python3")
        .args(["-c", SCRIPT, address, host])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
