use super::*;

fn headers(address: &str, secure: bool, host: &str) -> Vec<(String, String)> {
    let peer = Peer::new(address.parse().expect("an address"), secure, 8000);
    let headers = peer.headers(host.as_bytes(), "id");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers
        .pairs()
        .map(|(name, value)| (name.to_owned(), text(value)))
        .collect()
}

fn value(address: &str, secure: bool, host: &str, name: &str) -> Option<String> {
    let mut headers = headers(address, secure, host).into_iter();
    headers.find(|(own, _)| own == name).map(|(_, value)| value)
}

#[test]
fn an_app_is_told_who_the_visitor_is() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        headers("192.0.2.7", false, "shop.test:8080"),
        [
            pair("X-Forwarded-For", "192.0.2.7"),
            pair("X-Forwarded-Proto", "http"),
            pair("X-Forwarded-Host", "shop.test:8080"),
            pair("X-Forwarded-Port", "8080"),
            pair("X-Real-IP", "192.0.2.7"),
            pair("X-Request-Id", "id"),
        ]
    );
    assert_eq!(
        value("::1", true, "h", "X-Forwarded-Proto").as_deref(),
        Some("https")
    );
    assert_eq!(
        value("::ffff:192.0.2.7", false, "h", "X-Real-IP").as_deref(),
        Some("192.0.2.7")
    );
    let longest = "1111:2222:3333:4444:5555:6666:7777:8888";
    assert_eq!(
        value(longest, false, "h", "X-Forwarded-For").as_deref(),
        Some(longest)
    );
}

#[test]
fn the_port_is_the_one_of_the_visitors_url() {
    for (host, secure, port) in [
        ("shop.test", false, "80"),
        ("shop.test", true, "443"),
        ("shop.test:8443", true, "8443"),
        ("shop.test:", false, "80"),
        ("shop.test:99999", false, "80"),
        ("[::1]", false, "80"),
        ("[::1]:81", false, "81"),
        ("", false, "8000"),
    ] {
        assert_eq!(
            value("::1", secure, host, "X-Forwarded-Port").as_deref(),
            Some(port),
            "{host}"
        );
    }
    assert_eq!(value("::1", false, "", "X-Forwarded-Host"), None);
}

#[test]
fn headers_between_neighbours_are_not_passed_on() {
    for name in [
        "Connection",
        "keep-alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Connection",
        "proxy",
        "PROXY-AUTHORIZATION",
    ] {
        assert!(is_hop_by_hop(name.as_bytes(), b""), "{name}");
    }
    for name in [
        "Host",
        "Accept",
        "X-Any",
        "",
        "Connectio",
        "Proxy-Something",
    ] {
        assert!(!is_hop_by_hop(name.as_bytes(), b""), "{name}");
    }
}

#[test]
fn headers_named_by_connection_are_not_passed_on() {
    let connection = b"close, X-Private ,x-forwarded-for,,Cookie, Content-Length, host";
    assert!(is_hop_by_hop(b"x-private", connection));
    assert!(is_hop_by_hop(b"X-Forwarded-For", connection));
    assert!(is_hop_by_hop(b"close", connection));
    assert!(!is_hop_by_hop(b"private", connection));
    assert!(!is_hop_by_hop(b"X-Other", connection));
    let long = "x".repeat(200);
    assert!(is_hop_by_hop(
        long.as_bytes(),
        long.to_uppercase().as_bytes()
    ));
}

#[test]
fn connection_cannot_take_away_what_a_message_means() {
    for name in [
        "Host",
        "content-length",
        "Content-Type",
        "Cookie",
        "Authorization",
        "Cache-Control",
    ] {
        assert!(!is_hop_by_hop(name.as_bytes(), name.as_bytes()), "{name}");
    }
}

#[test]
fn forwarding_headers_are_dropped_in_every_spelling() {
    for name in [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X_Forwarded_For",
        "X.Forwarded.For",
        "X-Forwarded_For",
        "x_FORWARDED-proto",
        "X-Forwarded",
        "X-Forwarded-Anything-However-Long-The-Name-May-Be",
        "Forwarded",
        "FORWARDED",
        "X-Real-IP",
        "X_Real_IP",
        "X.Real-IP",
        "X-Request-Id",
        "x_request_id",
        "True-Client-IP",
        "SCRIPT_NAME",
        "Script-Name",
        "PATH_INFO",
        "Remote_User",
        "Remote-Addr",
        "X-Original-URL",
        "X-Rewrite-Url",
        "Content_Length",
        "content.length",
        "Transfer_Encoding",
        "Content_Type",
    ] {
        assert!(is_forwarding_alias(name.as_bytes()), "{name}");
    }
    for name in [
        "Host",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "X-Forward",
        "XForwardedFor",
        "X-Real",
        "Forwarding",
        "",
        "_",
        "X-Csrf-Token",
        "X-Requested-With",
        "Api_Key",
        "Cookie",
        "Accept",
    ] {
        assert!(!is_forwarding_alias(name.as_bytes()), "{name}");
    }
}

#[test]
fn a_second_spelling_of_a_header_is_dropped() {
    let all: Vec<&[u8]> = vec![
        b"X-Auth",
        b"X_Auth",
        b"Api_Key",
        b"X.Two",
        b"X_Two",
        b"Same_Name",
        b"same_name",
    ];
    let dropped: Vec<&[u8]> = all
        .iter()
        .copied()
        .filter(|name| is_alias_of_another(name, all.iter().copied()))
        .collect();
    assert_eq!(dropped, [b"X_Auth".as_slice(), b"X.Two", b"X_Two"]);
}

#[test]
fn request_ids_differ() {
    let mut ids = RequestIds::new();
    let mut other = RequestIds::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_000 {
        for id in [ids.next(), other.next()] {
            assert!(id.iter().all(u8::is_ascii_hexdigit));
            assert!(seen.insert(id));
        }
    }
}
