use std::sync::Arc;

use stead_model::manifest::Edge;

use super::*;
use crate::Settings;
use crate::entrance::Entrance;
use crate::head::Parsed;

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"];

fn told_in(header: Option<VisitorHeader>, headers: &str) -> Connection {
    let edge = Edge {
        trusted: TRUSTED.iter().map(|text| text.parse().unwrap()).collect(),
        visitor_header: header,
        ..Edge::default()
    };
    let entrance = Arc::new(Entrance::new(&Settings::default(), &edge));
    let peer = "10.0.0.1:4000".parse().unwrap();
    let direct = Connection::new(entrance, peer, 8000, "http");
    assert!(direct.trusted);
    let mut head = Head::default();
    let text = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n");
    assert_eq!(
        head.parse(text.as_bytes()),
        Ok(Parsed::Complete(text.len()))
    );
    connection(&direct, &head)
}

fn told(headers: &str) -> Connection {
    told_in(None, headers)
}

#[test]
fn the_rightmost_address_that_is_not_trusted_is_the_visitors() {
    for (headers, expected) in [
        ("", "10.0.0.1"),
        ("X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"),
        ("X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n", "203.0.113.7"),
        (
            "X-Forwarded-For: 1.1.1.1, 203.0.113.7, 10.9.9.9, 192.0.2.1\r\n",
            "203.0.113.7",
        ),
        (
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.7,10.0.0.2\r\n",
            "203.0.113.7",
        ),
        ("X-Forwarded-For: 10.0.0.9, 10.0.0.8\r\n", "10.0.0.9"),
        ("X-Forwarded-For: 203.0.113.7:99\r\n", "203.0.113.7"),
        ("X-Forwarded-For: [2001:db9::7]:99\r\n", "2001:db9::7"),
        ("X-Forwarded-For: 2001:db9::7\r\n", "2001:db9::7"),
        ("X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7"),
        (
            "X-Forwarded-For: 203.0.113.7, unknown, 10.0.0.2\r\n",
            "10.0.0.2",
        ),
        ("X-Forwarded-For: nonsense\r\n", "10.0.0.1"),
        ("X-Forwarded-For: ,,\r\n", "10.0.0.1"),
        (
            "X_Forwarded_For: 1.1.1.1\r\nX.Forwarded.For: 1.1.1.1\r\n",
            "10.0.0.1",
        ),
        ("X-Real-IP: 203.0.113.7\r\n", "10.0.0.1"),
        (
            "X-Real-IP: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.7\r\n",
            "203.0.113.7",
        ),
        ("Forwarded: for=203.0.113.7;proto=https\r\n", "203.0.113.7"),
        (
            "Forwarded: for=1.1.1.1, for=\"203.0.113.7:80\";by=x, FOR = 10.0.0.2\r\n",
            "203.0.113.7",
        ),
        ("Forwarded: for=\"[2001:db9::7]:4711\"\r\n", "2001:db9::7"),
        ("Forwarded: for=203.0.113.7, for=_hidden\r\n", "10.0.0.1"),
        (
            "Forwarded: for=\"1.1.1.1, for=2.2.2.2\";x, for=203.0.113.7\r\n",
            "203.0.113.7",
        ),
        (
            "Forwarded: for=203.0.113.7;host=\"a, for=1.1.1.1\"\r\n",
            "203.0.113.7",
        ),
        (
            "Forwarded: for=1.1.1.1;x=\", for=203.0.113.7\r\n",
            "10.0.0.1",
        ),
        (
            "Forwarded: for=1.1.1.1;x=\", for=\"203.0.113.7:9\"\r\n",
            "10.0.0.1",
        ),
        (
            "Forwarded: for=1.1.1.1;x=\"\r\nForwarded: for=203.0.113.7\r\n",
            "203.0.113.7",
        ),
        (
            "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 203.0.113.7\r\n",
            "203.0.113.7",
        ),
    ] {
        assert_eq!(told(headers).remote, expected, "{headers}");
    }
    let many = ", 10.0.0.2".repeat(100);
    let many = format!("X-Forwarded-For: 203.0.113.7{many}\r\n");
    assert_eq!(told(&many).remote, "10.0.0.2");
}

#[test]
fn only_the_header_that_is_named_is_read() {
    let all = "X-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 2.2.2.2\r\nForwarded: for=3.3.3.3;proto=https\r\n\
               X-Forwarded-Proto: http\r\n";
    for (header, expected, scheme) in [
        (VisitorHeader::XForwardedFor, "1.1.1.1", "http"),
        (VisitorHeader::XRealIp, "2.2.2.2", "http"),
        (VisitorHeader::Forwarded, "3.3.3.3", "https"),
    ] {
        let told = told_in(Some(header), all);
        assert_eq!((&*told.remote, told.scheme), (expected, scheme));
        let others: String = all
            .split_inclusive("\r\n")
            .filter(|line| !line.contains(expected))
            .collect();
        assert_eq!(told_in(Some(header), &others).remote, "10.0.0.1");
    }
}

#[test]
fn scheme_host_and_port_are_those_of_the_visitors_hop() {
    let facts = |headers: &str| {
        let connection = told(headers);
        let told = connection.told.unwrap();
        let host = told
            .host
            .map(|host| String::from_utf8(host.into()).unwrap());
        let port = told.port.unwrap_or(connection.local_port);
        (connection.scheme, host.unwrap_or_default(), port)
    };
    for (headers, scheme, host, port) in [
        ("", "http", "", "8000"),
        ("X-Forwarded-Proto: https\r\n", "https", "", "443"),
        (
            "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Port: 8443\r\n",
            "https",
            "",
            "8443",
        ),
        ("X-Forwarded-Proto: gopher\r\n", "http", "", "8000"),
        (
            "X-Forwarded-Port: 0\r\nX-Forwarded-Host: b.test\r\n",
            "http",
            "b.test",
            "8000",
        ),
        ("X-Forwarded-Port: +1\r\n", "http", "", "8000"),
        ("X-Forwarded-Host: b.test/evil\r\n", "http", "", "8000"),
        (
            "X-Forwarded-For: 1.1.1.1, 203.0.113.7, 10.0.0.2\r\nX-Forwarded-Proto: http, https, http\r\n",
            "https",
            "",
            "443",
        ),
        (
            "X-Forwarded-For: 203.0.113.7, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n",
            "https",
            "",
            "443",
        ),
        ("X-Forwarded-Proto: http, https\r\n", "https", "", "443"),
        (
            "Forwarded: for=1.1.1.1;proto=http;host=evil.test, for=203.0.113.7;proto=https;host=\"b.test:1\"\r\n",
            "https",
            "b.test:1",
            "443",
        ),
        (
            "Forwarded: for=203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
            "http",
            "",
            "8000",
        ),
    ] {
        assert_eq!(
            facts(headers),
            (scheme, host.to_owned(), port.to_owned()),
            "{headers}"
        );
    }
}

#[test]
fn the_edge_says_the_same_in_one_element() {
    for (headers, element) in [
        ("", "for=10.0.0.1;proto=http"),
        (
            "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: b.test\r\nX-Forwarded-Proto: https\r\n",
            "for=203.0.113.7;proto=https;host=\"b.test\"",
        ),
        (
            "X-Forwarded-For: 2001:db9::7\r\n",
            "for=\"[2001:db9::7]\";proto=http",
        ),
    ] {
        let connection = told(headers);
        assert_eq!(String::from_utf8(connection.element).unwrap(), element);
    }
}

#[test]
fn an_id_is_kept_when_it_can_stand_anywhere() {
    let id = |headers: &str| told(headers).told.unwrap().id.map(String::from);
    assert_eq!(id(""), None);
    for good in ["7", "a-B_c.d:e=f+g/h@i", &"x".repeat(128)] {
        assert_eq!(
            id(&format!("X-Request-ID: {good}\r\n")).as_deref(),
            Some(good)
        );
    }
    for bad in ["", "a b", "\"", "<script>", "\u{e9}", &"x".repeat(129)] {
        assert_eq!(id(&format!("X-Request-ID: {bad}\r\n")), None, "{bad}");
    }
}
