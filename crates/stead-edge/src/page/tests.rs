use proptest::prelude::*;

use super::accept::{prefers_json, weight};
use super::*;

const STATUSES: [u16; 16] = [
    400, 404, 405, 408, 412, 413, 414, 416, 421, 429, 431, 500, 502, 503, 504, 505,
];

fn html_of(status: u16, reason: Reason) -> String {
    let page = page(status, reason, None, "4f2a");
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    String::from_utf8(page.body).expect("UTF-8")
}

#[test]
fn every_status_has_words_of_its_own() {
    let pages: Vec<String> = STATUSES
        .iter()
        .map(|&status| html_of(status, Reason::General))
        .collect();
    for (index, text) in pages.iter().enumerate() {
        assert!(text.contains(&format!("Error {} · Request 4f2a", STATUSES[index])));
        assert!(text.len() < 2_500, "{} bytes", text.len());
        let title = |text: &str| {
            text.split("<h1>")
                .nth(1)
                .map(|rest| rest.split('<').next().map(str::to_owned))
        };
        assert_eq!(
            pages
                .iter()
                .filter(|other| title(other) == title(text))
                .count(),
            1
        );
    }
    assert_ne!(html_of(503, Reason::Busy), html_of(503, Reason::Starting));
    assert_ne!(html_of(503, Reason::Busy), html_of(503, Reason::General));
}

#[test]
fn a_status_without_words_gets_those_of_its_class() {
    assert!(html_of(599, Reason::General).contains("Something went wrong here"));
    assert!(html_of(418, Reason::General).contains("could not be understood"));
    assert!(html_of(0, Reason::General).contains("could not be understood"));
}

#[test]
fn pages_load_nothing_from_elsewhere() {
    for status in STATUSES {
        let text = html_of(status, Reason::General);
        for foreign in ["http", "src=", "href=", "url(", "@import", "<script"] {
            assert!(!text.contains(foreign), "{status} has {foreign}");
        }
    }
}

#[test]
fn a_request_id_cannot_break_out_of_the_page() {
    let id = "</footer><script>alert('1')</script>&\"\0\n";
    let body = page(404, Reason::General, None, id).body;
    let text = String::from_utf8(body).expect("UTF-8");
    assert!(text.contains(
        "&lt;/footer&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}\u{fffd}"
    ));
    let body = page(404, Reason::General, Some(b"application/json"), id).body;
    let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(value["error"]["request_id"], id);
}

#[test]
fn json_is_for_who_asks_for_it() {
    let page = page(503, Reason::Busy, Some(b"application/json"), "");
    assert_eq!(page.content_type, "application/json");
    let value: serde_json::Value = serde_json::from_slice(&page.body).expect("JSON");
    assert_eq!(value["error"]["status"], 503);
    assert_eq!(value["error"]["title"], "The site is busy");
    assert!(value["error"]["detail"].is_string() && value["error"]["advice"].is_string());
    assert!(value["error"].get("request_id").is_none());
}

#[test]
fn the_more_wanted_of_html_and_json_is_chosen() {
    for (accept, json) in [
        ("", false),
        ("*/*", false),
        ("text/html", false),
        ("application/json", true),
        ("Application/JSON", true),
        ("application/problem+json", true),
        ("application/vnd.api+json; charset=utf-8", true),
        ("application/*", true),
        ("text/*", false),
        ("image/*", false),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            false,
        ),
        ("application/json, text/plain, */*", true),
        ("application/json, text/html", true),
        ("text/html, application/json", false),
        ("text/html;q=0.9, application/json", true),
        ("text/html; q=0.9, application/json; q=0.8", false),
        ("text/html;q=0, */*", true),
        ("application/json;q=0, */*", false),
        ("application/json;q=0", false),
        ("text/html;q=x, application/json;q=0.001", true),
        ("application/json;q=2", false),
        ("application/json;version=1;q=0.2, text/html;q=0.1", true),
        ("*/*;q=0.1, text/*;q=0.2", false),
        ("+json", false),
        (",;=,q=1,;q=;q", false),
    ] {
        assert_eq!(prefers_json(accept.as_bytes()), json, "{accept}");
    }
}

#[test]
fn weights_are_read_as_thousandths() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1", Some(1_000)),
        ("1.000", Some(1_000)),
        ("0.5", Some(500)),
        ("0.05", Some(50)),
        ("0.", Some(0)),
        ("1.001", None),
        ("0.1234", None),
        ("2", None),
        ("-1", None),
        ("", None),
        (".5", None),
    ] {
        assert_eq!(weight(text.as_bytes()), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn no_accept_header_panics(accept in "[a-z/*;=,q0-9. +]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = prefers_json(accept.as_bytes());
        let _ = prefers_json(&bytes);
    }
}
