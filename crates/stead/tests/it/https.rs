//! `stead up --tls`, asked by curl.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::running::{Running, Tree};

/// `stead up --tls` with its authority in the tree, and not in the home of whoever runs the tests.
fn serve(tree: &Tree) -> Running {
    let mut command = tree.command(&["up", "--tls", "--port", "0"]);
    command.env("XDG_DATA_HOME", tree.path().join("home"));
    let running = Running::start(command, tree.path());
    running.wait_for("serves after");
    running
}

fn curl(running: &Running, authority: &Path, host: &str) -> (bool, String) {
    let seen = running.seen();
    let port = seen.split("https://127.0.0.1:").nth(1).unwrap();
    let port = port.split_whitespace().next().unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(authority)
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .arg(format!("https://{host}:{port}/"))
        .stdin(Stdio::null())
        .output()
        .expect("curl is needed: apt-get install curl");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn an_app_is_served_over_https_by_its_names_here() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n\
         [route]\nhosts = [\"shop.example.com\"]\n",
    );
    tree.write("app.py", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [environ['wsgi.url_scheme'].encode()]\n");
    let mut running = serve(&tree);
    let authority = tree.path().join("home/stead/authority/authority.pem");
    running.wait_for("to trust it: sudo install -m 644");
    for host in [
        "localhost",
        "127.0.0.1",
        "shop.localhost",
        "shop.example.com",
        "shop.example.com.localhost",
    ] {
        assert_eq!(
            curl(&running, &authority, host),
            (true, "https".to_owned()),
            "{host}"
        );
    }
    let (trusted, why) = curl(
        &running,
        Path::new("/etc/ssl/certs/ca-certificates.crt"),
        "localhost",
    );
    assert!(!trusted, "{why}");
    assert!(running.stop().success());
    // The authority that was trusted once stays.
    let before = std::fs::read(&authority).unwrap();
    let mut running = serve(&tree);
    assert_eq!(std::fs::read(&authority).unwrap(), before);
    assert!(running.stop().success());
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[tls]\ncertificate = \"shop.pem\"\nkey = \"shop.key\"\n",
    );
    let mut command = tree.command(&["up", "--tls", "--port", "0"]);
    command.env("XDG_DATA_HOME", tree.path().join("home"));
    let mut running = Running::start(command, tree.path());
    running.wait_for("error: cannot use the certificate of `tls`");
    running.wait_for("shop.pem`: there is no such file");
    assert_eq!(running.ended().code(), Some(2));
}

#[test]
fn a_certificate_that_plain_http_does_not_show_is_noted() {
    let tree = Tree::wsgi();
    let made = rcgen::generate_simple_self_signed(vec!["shop.example.com".to_owned()]).unwrap();
    tree.write("shop.pem", &made.cert.pem());
    tree.write("shop.key", &made.signing_key.serialize_pem());
    let toml = tree.read("stead.toml") + "[tls]\ncertificate = \"shop.pem\"\nkey = \"shop.key\"\n";
    tree.write("stead.toml", &toml);
    let running = tree.serve(&[]);
    running.wait_for("the certificate of `tls` is not shown to visitors of plain HTTP: `stead up --tls` speaks HTTPS");
}
