use super::*;

#[test]
fn the_table_is_sorted_and_fits() {
    assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(
        TABLE
            .iter()
            .all(|(extension, _)| extension.len() <= LONGEST)
    );
    assert!(TABLE.len() >= 120);
}

#[test]
fn types_follow_the_last_extension_in_any_case() {
    for (path, expected) in [
        ("index.html", "text/html"),
        ("a/b.min.JS", "text/javascript"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.tar.gz", "application/gzip"),
        ("a", UNKNOWN),
        ("a.", UNKNOWN),
        ("a.html/b", UNKNOWN),
        ("a.nosuchextensionexists", UNKNOWN),
        ("a.h\u{e9}", UNKNOWN),
        ("", UNKNOWN),
        (".well-known/acme-challenge/token", "text/plain"),
        (".well-known/apple-app-site-association", "application/json"),
        ("LICENSE", "text/plain"),
    ] {
        assert_eq!(of(path.as_bytes()), expected, "{path}");
    }
}

#[test]
fn only_names_with_a_content_hash_are_for_ever() {
    for name in [
        "app.3f2a9c1d.js",
        "js/main-3f2a9c1d5e6b.css",
        "2.3f2a9c1d.chunk.js",
        "admin/css/base.7ec2b5a0c1d4.css",
        "logo_0a1b2c3d.svg",
        "application-d41d8cd98f00b204e9800998ecf8427e.js",
        "d41d8cd98f00b204e9800998ecf8427e.png",
        "assets/index-BfJ3kq2X.js",
        "x/assets/index-Bf_3k-2X.css",
    ] {
        assert!(is_fingerprinted(name.as_bytes()), "{name}");
    }
    for name in [
        "app.js",
        "jquery-3.7.1.min.js",
        "report-20240131.pdf",
        "photo-12345678.jpg",
        "deadbeef.js",
        "deadbee1.js",
        "x-deadbeef.js",
        "a-3f2a9c1.js",
        "page.3f2a9c1d.html",
        "app-3F2A9C1D.js",
        "index-BfJ3kq2X.js",
        "assets/index-bootstrap.js",
        "assets/photo-Portrait.jpg",
        "assets/-BfJ3kq2",
        "3f2a9c1d",
        "app.3f2a9c1d",
        "",
        "...",
    ] {
        assert!(!is_fingerprinted(name.as_bytes()), "{name}");
    }
}
