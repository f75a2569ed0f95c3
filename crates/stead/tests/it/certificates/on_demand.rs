//! Certificates for domains that no route names, which the app allows or not.

use super::authority::{Authority, refused_at_handshake, shown_to_visitor};
use super::public;
use crate::running::{Running, Tree, get};

/// It writes down what it is asked, and allows what `allowed` in its directory has a line for.
const APP: &str = r#"
import os, urllib.parse

def application(environ, start_response):
    if environ["PATH_INFO"] == "/allowed":
        domain = urllib.parse.parse_qs(environ["QUERY_STRING"])["domain"][0]
        with open("asked", "a") as asked:
            asked.write(f"{environ['HTTP_HOST']} {domain}\n")
        if os.path.exists("broken"):
            start_response("500 Internal Server Error", [])
            return []
        allowed = open("allowed").read().split()
        start_response("204 No Content" if domain in allowed else "404 Not Found", [])
        return []
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["HTTP_HOST"].encode()]
"#;

fn shop(authority: &Authority, more: &str) -> Tree {
    let toml = format!(
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\nthreads = 2\n\
         [route]\nhosts = [\"shop.test\"]\n[acme]\n{}\n[acme.on-demand]\nask = \"/allowed?domain=\"\n{more}\n",
        authority.keys()
    );
    authority.address("shop.test");
    let files = [
        ("stead.toml", toml.as_str()),
        ("app.py", APP),
        ("allowed", ""),
    ];
    let tree = Tree::new(&files);
    tree.write("asked", "");
    tree
}

fn serve(tree: &Tree, authority: &Authority) -> (Running, String) {
    let running = public(tree, authority);
    running.wait_for("`shop.test` has a certificate of");
    (running, format!("127.0.0.1:{}", authority.tls_port))
}

fn asked(tree: &Tree) -> Vec<String> {
    tree.read("asked").lines().map(str::to_owned).collect()
}

#[test]
fn the_first_visitor_of_a_domain_that_the_app_allows_waits_for_its_certificate() {
    let authority = Authority::start();
    let tree = shop(&authority, "");
    tree.write("allowed", "www.customer-one.com");
    for host in ["www.customer-one.com", "www.stranger.com"] {
        authority.address(host);
    }
    let (mut running, address) = serve(&tree, &authority);
    let shown = shown_to_visitor(&address, "www.customer-one.com");
    assert!(shown.ends_with(" www.customer-one.com\n"), "{shown}");
    assert_eq!(asked(&tree), ["shop.test www.customer-one.com"]);
    assert_eq!((authority.orders(), authority.issued()), (2, 2));
    // It is served as the app's own hosts are.
    let plain = format!("127.0.0.1:{}", authority.http_port);
    let answer = get(&plain, "www.customer-one.com", "/").unwrap();
    assert_eq!(answer.status, 308);

    // A no is a no for a while, and is not ordered.
    for _ in 0..3 {
        refused_at_handshake(&address, "www.stranger.com");
    }
    assert_eq!(asked(&tree).len(), 2);
    // Nor is the app asked about what no authority would take.
    for host in ["printer.local", "db.internal", "co.uk", "a_b.com"] {
        refused_at_handshake(&address, host);
    }
    assert_eq!(asked(&tree).len(), 2);
    assert_eq!(authority.orders(), 2);
    running.stop();

    // The certificate is there after a restart, and nothing is asked or ordered for it.
    let running = public(&tree, &authority);
    running.wait_for(" serves after ");
    assert_eq!(shown_to_visitor(&address, "www.customer-one.com"), shown);
    assert_eq!(asked(&tree).len(), 2);
    assert_eq!(authority.orders(), 2);

    // A renewal asks again. Who is not allowed any more keeps what there is, and gets nothing new.
    let renew = |host: &str| {
        let said = tree.run(&["cert", "renew", host]);
        String::from_utf8(said.stdout).unwrap()
    };
    tree.write("allowed", "");
    let said = renew("www.customer-one.com");
    assert!(said.contains("does not allow it any more"), "{said}");
    assert_eq!(authority.issued(), 2);
    assert_eq!(shown_to_visitor(&address, "www.customer-one.com"), shown);
    tree.write("allowed", "www.customer-one.com");
    let said = renew("www.customer-one.com");
    assert!(said.starts_with("     ok"), "{said}{}", running.seen());
    assert_eq!(asked(&tree).len(), 4);
    assert_eq!(authority.issued(), 3);
    assert_ne!(shown_to_visitor(&address, "www.customer-one.com"), shown);
}

#[test]
fn a_domain_that_leads_elsewhere_is_refused_and_more_than_the_rate_allows_are_not_ordered() {
    let authority = Authority::start();
    let tree = shop(&authority, "rate = \"3/h\"");
    tree.write("allowed", "one.com two.com three.com lost.com");
    for host in ["one.com", "two.com", "three.com"] {
        authority.address(host);
    }
    let (running, address) = serve(&tree, &authority);
    // The visitor may say any name: this one has no address.
    refused_at_handshake(&address, "lost.com");
    running.wait_for("`lost.com` has no address in the DNS");
    let listed = tree.run(&["cert", "ls"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("lost.com  no new certificate"), "{listed}");
    for host in ["one.com", "two.com"] {
        assert!(shown_to_visitor(&address, host).ends_with(&format!(" {host}\n")));
    }
    let before = asked(&tree).len();
    refused_at_handshake(&address, "three.com");
    running
        .wait_for("no certificate for `three.com`: 3 certificates for domains that no route names");
    assert_eq!(asked(&tree).len(), before);
    assert_eq!(authority.orders(), 3);
}

#[test]
fn an_app_that_fails_allows_nothing_and_is_asked_again() {
    let authority = Authority::start();
    let tree = shop(&authority, "");
    tree.write("allowed", "one.com");
    tree.write("broken", "");
    authority.address("one.com");
    let (running, address) = serve(&tree, &authority);
    refused_at_handshake(&address, "one.com");
    running.wait_for("the app was asked whether `one.com` may have a certificate: it answered 500");
    assert_eq!(authority.orders(), 1);
    std::fs::remove_file(tree.path().join("broken")).unwrap();
    crate::running::wait_until("the certificate", || refused(&address, "one.com").is_none());
    assert_eq!(authority.orders(), 2);
}

fn refused(address: &str, host: &str) -> Option<String> {
    super::authority::handshake(address, host).err()
}
