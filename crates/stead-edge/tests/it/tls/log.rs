//! What is recorded of handshakes.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use stead_edge::Settings;

use super::authority::Secure;

#[test]
fn handshakes_are_counted_and_their_facts_are_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let metrics = folder.path().join("metrics.sock");
    let secure = Secure::with(
        Settings {
            access_log: Some(log.clone()),
            access_json: true,
            metrics: Some(metrics.clone()),
            ..Settings::default()
        },
        |table| table,
    );
    secure.python(
        "
s = connect()
get(s)
session = s.session
get(connect(session=session))
",
    );
    secure.openssl(&["-servername", "b.example"], "");
    let end = Instant::now() + Duration::from_secs(20);
    let lines = loop {
        let text = std::fs::read_to_string(&log).unwrap();
        if text.lines().count() == 2 {
            break text;
        }
        assert!(Instant::now() < end, "{text}");
        std::thread::sleep(Duration::from_millis(20));
    };
    for (line, resumed) in lines.lines().zip([false, true]) {
        for part in [
            r#""tls":"TLSv1.3","tls_cipher":"TLS13_AES_256_GCM_SHA384","tls_host":"a.example""#,
            &format!(r#""tls_resumed":{resumed}"#),
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
    let mut stream = std::os::unix::net::UnixStream::connect(&metrics).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    for line in [
        r#"stead_tls_handshakes_total{version="1.3",resumed="false"} 1"#,
        r#"stead_tls_handshakes_total{version="1.3",resumed="true"} 1"#,
        r#"stead_tls_handshakes_failed_total{reason="name"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
