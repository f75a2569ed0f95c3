//! What visitors get until there is a certificate.

use super::authority::{Authority, refused_at_handshake, shown_to_visitor};
use super::{public, site};
use crate::running::get;

#[test]
fn a_visitor_is_refused_until_there_is_a_certificate_unless_a_self_signed_one_is_asked_for() {
    let mut authority = Authority::start();
    authority.address("shop.test");
    authority.stop();
    let tree = site(&authority, "\"shop.test\"", "");
    let mut running = public(&tree, &authority);
    running.wait_for("no new certificate for `shop.test`: cannot reach");
    let plain = format!("127.0.0.1:{}", authority.http_port);
    let secure = format!("127.0.0.1:{}", authority.tls_port);
    refused_at_handshake(&secure, "shop.test");
    assert_eq!(get(&plain, "shop.test", "/").unwrap().status, 200);
    running.stop();

    let toml = tree.read("stead.toml") + "[tls]\nuntil = \"self-signed\"\n";
    tree.write("stead.toml", &toml);
    let running = public(&tree, &authority);
    running.wait_for(" serves after ");
    let temporary = shown_to_visitor(&secure, "shop.test");
    assert!(temporary.ends_with(" shop.test\n"), "{temporary}");
    // Nobody is sent to it.
    assert_eq!(get(&plain, "shop.test", "/").unwrap().status, 200);
    refused_at_handshake(&secure, "other.test");

    authority.run();
    let renewed = tree.run(&["cert", "renew"]);
    assert!(renewed.status.success(), "{}", running.seen());
    assert_ne!(shown_to_visitor(&secure, "shop.test"), temporary);
    assert_eq!(get(&plain, "shop.test", "/").unwrap().status, 308);
}
