use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn entry() -> Entry<'static> {
    Entry {
        time: 1_795_219_455_000_042,
        remote: "192.0.2.7",
        user: None,
        method: b"GET",
        target: b"/a?b",
        version: "HTTP/1.1",
        status: 200,
        bytes: 12,
        received: 0,
        referer: None,
        user_agent: Some(b"curl/8"),
        host: Some(b"shop.test"),
        tls: None,
        request_id: "id",
        upstream: Some("shop.web"),
        instance: Some(7),
        release: Some(42),
        queue_micros: 1,
        upstream_micros: 2,
        total_micros: u64::MAX,
    }
}

fn line(format: Format, entry: &Entry<'_>) -> String {
    let mut buffer = Vec::new();
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    Lines::in_zone(format, zone).append(entry, &mut buffer);
    String::from_utf8(buffer).expect("UTF-8")
}

#[test]
fn the_combined_format_is_the_one_that_tools_read() {
    assert_eq!(
        line(Format::Combined, &entry()),
        "192.0.2.7 - - [21/Nov/2026:08:04:15 +0800] \"GET /a?b HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n"
    );
    let unread = Entry {
        method: b"",
        user_agent: Some(b""),
        status: 400,
        ..entry()
    };
    assert_eq!(
        line(Format::Combined, &unread),
        "192.0.2.7 - - [21/Nov/2026:08:04:15 +0800] \"-\" 400 12 \"-\" \"-\"\n"
    );
    let known = Entry {
        user: Some("anna \u{e9}\" - [x]".as_bytes()),
        ..entry()
    };
    assert_eq!(
        line(Format::Combined, &known),
        "192.0.2.7 - anna\\x20\\xC3\\xA9\\x22\\x20-\\x20[x] [21/Nov/2026:08:04:15 +0800] \"GET /a?b HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n"
    );
    let known: Value = serde_json::from_str(&line(Format::Json, &known)).expect("JSON");
    assert_eq!(known["user"], "anna \u{e9}\" - [x]");
}

#[test]
fn the_json_format_has_everything() {
    assert_eq!(
        line(Format::Json, &entry()),
        "{\"time\":\"2026-11-21T00:04:15.000042Z\",\"remote\":\"192.0.2.7\",\"host\":\"shop.test\",\"method\":\"GET\",\
         \"target\":\"/a?b\",\"version\":\"HTTP/1.1\",\"user_agent\":\"curl/8\",\"request_id\":\"id\",\"upstream\":\"shop.web\",\
         \"status\":200,\"bytes\":12,\"received\":0,\"instance\":7,\"release\":42,\"queue_us\":1,\"upstream_us\":2,\"total_us\":18446744073709551615}\n"
    );
}

#[test]
fn dates_follow_the_clock_second_by_second_and_back() {
    let mut lines = Lines::in_zone(Format::Json, TimeZone::UTC);
    let mut buffer = Vec::new();
    for time in [0, 999_999, 1_000_000, -1, i64::MAX, i64::MIN, 0] {
        lines.append(&Entry { time, ..entry() }, &mut buffer);
    }
    let times: Vec<Value> = buffer
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<Value>(line).expect("JSON")["time"].clone())
        .collect();
    assert_eq!(times[0], "1970-01-01T00:00:00.000000Z");
    assert_eq!(times[1], "1970-01-01T00:00:00.999999Z");
    assert_eq!(times[2], "1970-01-01T00:00:01.000000Z");
    assert_eq!(times[3], "1969-12-31T23:59:59.999999Z");
    assert_eq!(times[6], times[0]);
}

#[test]
fn a_visitor_cannot_forge_a_line_or_a_field() {
    let evil = b"/\" 200 1 \"x\r\n10.0.0.1 - - [now] \\\x00\x1b[31m\x7f\xff\xc3\xa9";
    let entry = Entry {
        method: b"G\"ET\n",
        target: evil,
        referer: Some(evil),
        user_agent: Some(evil),
        host: Some(evil),
        ..entry()
    };
    let combined = line(Format::Combined, &entry);
    assert_eq!(combined.matches('\n').count(), 1);
    assert_eq!(combined.matches('"').count(), 6);
    assert!(
        combined
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n')
    );
    assert!(combined.contains(
        "\"G\\x22ET\\x0A /\\x22 200 1 \\x22x\\x0D\\x0A10.0.0.1 - - [now] \\x5C\\x00\\x1B[31m\\x7F\\xFF\\xC3\\xA9 HTTP/1.1\""
    ));
    let json = line(Format::Json, &entry);
    assert_eq!(json.matches('\n').count(), 1);
    let value: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        value["target"],
        "/\" 200 1 \"x\r\n10.0.0.1 - - [now] \\\0\u{1b}[31m\u{7f}\u{fffd}\u{e9}"
    );
    assert!(!json.contains('\u{1b}') && !json.contains('\u{7f}'));
}

proptest! {
    #[test]
    fn any_bytes_are_one_line_in_both_formats(target in prop::collection::vec(any::<u8>(), 0..60), agent: String, time: i64) {
        let entry = Entry { target: &target, user_agent: Some(agent.as_bytes()), time, ..entry() };
        let combined = line(Format::Combined, &entry);
        prop_assert_eq!(combined.matches('\n').count(), 1);
        prop_assert_eq!(combined.matches('"').count(), 6);
        let json = line(Format::Json, &entry);
        prop_assert_eq!(json.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&json).expect("JSON");
        let expected = String::from_utf8_lossy(&target).into_owned();
        prop_assert_eq!(value["target"].as_str(), Some(expected.as_str()));
        prop_assert_eq!(value["user_agent"].as_str(), Some(agent.as_str()));
    }
}

#[test]
fn a_text_of_any_length_takes_two_kilobytes_of_a_line_and_says_so() {
    let whole = vec![b'a'; TEXT_LIMIT];
    let entry = |target, agent| Entry {
        target,
        user_agent: Some(agent),
        ..entry()
    };
    let kept = line(Format::Combined, &entry(&whole, &whole));
    assert!(!kept.contains("[cut:"), "{kept}");
    let long = vec![b'a'; 16 * 1024];
    let cut = format!("{}...[cut:16384]", "a".repeat(TEXT_LIMIT));
    let combined = line(Format::Combined, &entry(&long, &long));
    assert!(
        combined.ends_with(&format!("\"GET {cut} HTTP/1.1\" 200 12 \"-\" \"{cut}\"\n")),
        "{combined}"
    );
    let json: Value =
        serde_json::from_str(&line(Format::Json, &entry(&long, &long))).expect("JSON");
    assert_eq!(json["target"], cut);
    assert_eq!(json["user_agent"], cut);
    // Four bytes each, the first of which stands at an odd place: none is cut in two.
    let wide = format!("a{}", "\u{1f980}".repeat(1024));
    let json: Value =
        serde_json::from_str(&line(Format::Json, &entry(b"/", wide.as_bytes()))).expect("JSON");
    let kept = format!("a{}...[cut:4097]", "\u{1f980}".repeat(511));
    assert_eq!(json["user_agent"], kept);
}
