//! Certificates by themselves, from a real authority: Pebble, strict, which refuses half of all nonces, and its DNS server.

mod authority;
mod caddy;
mod faults;
mod many;
mod on_demand;
mod until;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use self::authority::{Authority, shown_to_visitor};
use crate::running::{Running, Tree, get};

/// A folder of files behind these hosts; certificates come from `authority`.
fn site(authority: &Authority, hosts: &str, more: &str) -> Tree {
    let toml = format!(
        "app = \"site\"\n[process.web]\nstatic = \"public\"\n[route]\nhosts = [{hosts}]\n[acme]\n{}\n{more}\n",
        authority.keys()
    );
    Tree::new(&[("stead.toml", &toml), ("public/index.html", "hello\n")])
}

/// `stead up --public` at the ports where the authority looks.
fn public(tree: &Tree, authority: &Authority) -> Running {
    let mut command = tree.command(&["up", "--public", "--host", "127.0.0.1"]);
    command.args(["--port", &authority.http_port.to_string()]);
    command.args(["--tls-port", &authority.tls_port.to_string()]);
    Running::start(command, tree.path())
}

/// What Prometheus is told.
fn metrics(tree: &Tree) -> String {
    let mut stream = UnixStream::connect(tree.path().join(".stead/metrics.sock")).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_host_name_is_enough_and_restarts_order_nothing() {
    let authority = Authority::start();
    authority.address("www.shop.test");
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\", \"www.shop.test\"", "");
    let mut running = public(&tree, &authority);
    running.wait_for("`shop.test`, `www.shop.test` has a certificate of");
    let address = format!("127.0.0.1:{}", authority.tls_port);
    let first = shown_to_visitor(&address, "shop.test");
    assert!(first.contains("shop.test,www.shop.test"), "{first}");
    assert_eq!(authority.issued(), 1);
    let metrics = metrics(&tree);
    let end = "stead_certificate_expiry_timestamp_seconds{host=\"shop.test\"} ";
    assert!(metrics.contains(end), "{metrics}");
    running.stop();

    for _ in 0..3 {
        let mut running = public(&tree, &authority);
        running.wait_for(" serves after ");
        assert_eq!(shown_to_visitor(&address, "www.shop.test"), first);
        running.stop();
    }
    assert_eq!(authority.issued(), 1);
    assert_eq!(authority.orders(), 1);

    let listed = tree.run(&["cert", "ls"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.starts_with("shop.test, www.shop.test\n  until "),
        "{listed}"
    );
    let listed = tree.run(&["cert", "ls", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["certificates"][0]["hosts"][0], "shop.test");
    assert_eq!(listed["pending"], serde_json::json!([]));
}

#[test]
fn a_host_that_leads_elsewhere_holds_up_no_other_and_costs_no_order() {
    let authority = Authority::start();
    authority.address("good.test");
    let tree = site(&authority, "\"good.test\", \"missing.test\"", "");
    let running = public(&tree, &authority);
    running.wait_for("`good.test` has a certificate of");
    running.wait_for(
        "no new certificate for `missing.test`: `missing.test` has no address in the DNS",
    );
    let address = format!("127.0.0.1:{}", authority.http_port);
    assert_ne!(get(&address, "missing.test", "/").unwrap().status, 503);
    assert_eq!(authority.orders(), 1);
    let listed = tree.run(&["cert", "ls"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("missing.test  no new certificate\n"),
        "{listed}"
    );

    // It leads here now, and somebody says so.
    authority.address("missing.test");
    let renewed = tree.run(&["cert", "renew", "missing.test"]);
    let said = String::from_utf8(renewed.stdout).unwrap();
    assert!(
        said.starts_with("     ok  missing.test: a certificate until "),
        "{said}{}",
        running.seen()
    );
    assert_eq!(authority.issued(), 2);

    // Two a week are enough, whoever asks.
    assert!(
        tree.run(&["cert", "renew", "missing.test"])
            .status
            .success()
    );
    let refused = tree.run(&["cert", "renew", "missing.test"]);
    let said = String::from_utf8(refused.stdout).unwrap();
    assert!(said.contains("within a week"), "{said}");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(authority.issued(), 3);
}

#[test]
fn a_wildcard_is_proven_by_a_record_that_a_program_makes() {
    let authority = Authority::start();
    let tree = site(&authority, "\"*.shop.test\", \"shop.test\"", "");
    let program = authority.records_program(&tree.path());
    let toml = tree.read("stead.toml")
        + &format!(
            "dns-program = [\"python3\", \"{}\"]\nchallenge = \"dns-01\"\n",
            program.display()
        );
    tree.write("stead.toml", &toml);
    let running = public(&tree, &authority);
    running.wait_for("`*.shop.test`, `shop.test` has a certificate of");
    let address = format!("127.0.0.1:{}", authority.tls_port);
    assert!(shown_to_visitor(&address, "a.shop.test").contains("*.shop.test"));
    let log = std::fs::read_to_string(program.with_extension("log")).unwrap();
    let count = |act: &str| log.lines().filter(|line| line.starts_with(act)).count();
    assert_eq!((count("present"), count("cleanup")), (2, 2), "{log}");
}

#[test]
fn a_host_is_proven_over_tls_when_plain_http_leads_elsewhere() {
    let authority = Authority::start();
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\"", "challenge = \"tls-alpn-01\"");
    let running = public(&tree, &authority);
    running.wait_for("`shop.test` has a certificate of");
    let address = format!("127.0.0.1:{}", authority.tls_port);
    assert!(shown_to_visitor(&address, "shop.test").contains("shop.test"));
}

#[test]
fn an_authority_that_has_lost_our_account_gets_a_new_one() {
    let mut authority = Authority::start();
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\"", "");
    let running = public(&tree, &authority);
    running.wait_for("`shop.test` has a certificate of");
    // It keeps everything in memory.
    authority.stop();
    authority.run();
    let renewed = tree.run(&["cert", "renew", "shop.test"]);
    assert!(renewed.status.success(), "{}", running.seen());
    assert_eq!(authority.issued(), 1);
}

#[test]
fn an_authority_that_is_down_holds_up_no_app() {
    let mut authority = Authority::start();
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\", \"www.shop.test\"", "");
    authority.stop();
    let running = public(&tree, &authority);
    // Both in one sentence.
    running.wait_for("no new certificate for `shop.test`, `www.shop.test`: cannot reach");
    let address = format!("127.0.0.1:{}", authority.http_port);
    assert_eq!(get(&address, "shop.test", "/").unwrap().body, "hello\n");
}

#[test]
fn a_certificate_of_ones_own_is_imported_and_one_that_does_not_fit_is_refused() {
    let tree = Tree::new(&[]);
    for name in ["one", "two"] {
        let made = rcgen::generate_simple_self_signed(vec!["own.test".to_owned()]).unwrap();
        tree.write(&format!("{name}.pem"), &made.cert.pem());
        tree.write(&format!("{name}.key"), &made.signing_key.serialize_pem());
    }
    let good = tree.run(&["cert", "import", "one.pem", "one.key"]);
    assert!(
        String::from_utf8(good.stdout)
            .unwrap()
            .starts_with("own.test\n")
    );
    let wrong = tree.run(&["cert", "import", "one.pem", "two.key"]);
    assert_eq!(
        String::from_utf8(wrong.stderr).unwrap(),
        "error: cannot import `one.pem`\n  cause: the key does not belong to the certificate\n"
    );
    let listed = tree.run(&["cert", "ls", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["certificates"][0]["imported"], true);
    assert_eq!(listed["certificates"].as_array().unwrap().len(), 1);
    let refused = tree.run(&["cert", "renew"]);
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("hint: stead up --public")
    );
}

#[test]
fn a_certificate_of_the_apps_own_is_shown_beside_those_that_are_ordered() {
    let authority = Authority::start();
    authority.address("shop.test");
    authority.address("own.test");
    let tree = site(
        &authority,
        "\"own.test\", \"shop.test\"",
        "[tls]\ncertificate = \"own.pem\"\nkey = \"own.key\"",
    );
    let made = rcgen::generate_simple_self_signed(vec!["own.test".to_owned()]).unwrap();
    tree.write("own.pem", &made.cert.pem());
    tree.write("own.key", &made.signing_key.serialize_pem());
    let running = public(&tree, &authority);
    running.wait_for("`shop.test` has a certificate of");
    let address = format!("127.0.0.1:{}", authority.tls_port);
    assert!(shown_to_visitor(&address, "own.test").ends_with(" own.test\n"));
    assert!(shown_to_visitor(&address, "shop.test").ends_with(" shop.test\n"));
    assert_eq!(authority.orders(), 1);
}
