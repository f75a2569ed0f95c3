//! What sslscan finds of the edge as it is without configuration.

use std::process::Command;

use super::authority::Secure;

#[test]
fn a_scanner_finds_nothing_old_and_nothing_weak() {
    let secure = Secure::start();
    let output = Command::new("timeout")
        .args(["60", "sslscan", "--no-colour", "--sni-name=a.example"])
        .arg(secure.address.to_string())
        .output()
        .expect("sslscan is needed: apt-get install sslscan");
    let said = String::from_utf8_lossy(&output.stdout);
    for line in [
        "SSLv2     disabled",
        "SSLv3     disabled",
        "TLSv1.0   disabled",
        "TLSv1.1   disabled",
        "TLSv1.2   enabled",
        "TLSv1.3   enabled",
        "TLSv1.2 not vulnerable to heartbleed",
        "TLSv1.3 not vulnerable to heartbleed",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let accepted: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("Accepted") || line.starts_with("Preferred"))
        .collect();
    assert!(accepted.len() >= 5, "{said}");
    for line in accepted {
        let cipher = line.split_whitespace().nth(4).unwrap();
        let forward = cipher.starts_with("TLS_") || cipher.starts_with("ECDHE-");
        let sealed =
            cipher.contains("GCM") || cipher.contains("POLY1305") || cipher.contains("CHACHA20");
        assert!(forward && sealed, "{line}\n{said}");
    }
    for group in ["x25519", "secp256r1"] {
        assert!(said.contains(group), "{group}\n{said}");
    }
}
