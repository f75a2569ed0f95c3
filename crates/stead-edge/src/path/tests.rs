use proptest::prelude::*;

use super::*;

fn cleaned(path: &str) -> Result<String, Refusal> {
    clean(path.as_bytes()).map(|path| String::from_utf8_lossy(&path.bytes).into_owned())
}

#[test]
fn ordinary_paths_are_not_copied() {
    for path in [
        "/",
        "/a",
        "/a/b.html",
        "/a.b/c-d_e~f/",
        "/\u{fc}ber",
        "/a...b/c..d",
    ] {
        let clean = clean(path.as_bytes()).expect("a clean path");
        assert!(matches!(clean.bytes, Cow::Borrowed(_)), "{path}");
        assert_eq!(&*clean.bytes, path.as_bytes());
        assert!(!clean.never_a_file);
    }
}

#[test]
fn percent_encoding_is_decoded_once() {
    assert_eq!(cleaned("/%61%62c"), Ok("/abc".into()));
    assert_eq!(cleaned("/100%25"), Ok("/100%".into()));
    assert_eq!(cleaned("/%2561"), Ok("/%61".into()));
    assert_eq!(cleaned("/a%20b"), Ok("/a b".into()));
    assert_eq!(cleaned("/%C3%bcber"), Ok("/\u{fc}ber".into()));
    assert_eq!(cleaned("/a%3Fb%23c"), Ok("/a?b#c".into()));
}

#[test]
fn broken_percent_encoding_is_refused() {
    for path in [
        "/%", "/%4", "/%zz", "/a%2", "/%%20", "/%u002e", "/% 1", "/%+1",
    ] {
        assert_eq!(cleaned(path), Err(Refusal::Percent), "{path}");
    }
}

#[test]
fn dot_segments_are_refused_in_every_encoding() {
    for path in [
        "/..",
        "/.",
        "/../",
        "/a/..",
        "/a/../b",
        "/static/../admin",
        "/a/./b",
        "/%2e%2e/a",
        "/%2E%2e/a",
        "/.%2e/a",
        "/a/%2e",
        "/a/..%2fb",
        "/a%2f..%2fb",
        "/a%2F%2E%2E",
        "/a\\..\\b",
        "/a/..\\b",
        "/a%5c..%5cb",
        "/..;/admin",
        "/a/..;x=1/b",
        "/a/.;/b",
        "/%252e%252e/a",
        "/a/..%252fb",
        "/a%255c..%255cb",
        "/%25%32%65%25%32%65/a",
        "//..//a",
    ] {
        assert_eq!(cleaned(path), Err(Refusal::DotSegment), "{path}");
    }
}

#[test]
fn names_with_dots_are_no_dot_segments() {
    for path in [
        "/...",
        "/.well-known/x",
        "/a..",
        "/..a",
        "/.a",
        "/a/.../b",
        "/a;..",
        "/%25..%25",
    ] {
        assert!(cleaned(path).is_ok(), "{path}");
    }
}

#[test]
fn repeated_slashes_count_as_one() {
    assert_eq!(cleaned("//"), Ok("/".into()));
    assert_eq!(cleaned("//evil.example/x"), Ok("/evil.example/x".into()));
    assert_eq!(cleaned("/a///b//"), Ok("/a/b/".into()));
    assert_eq!(cleaned("/a/%2f/b"), Ok("/a/b".into()));
}

#[test]
fn encoded_slashes_and_backslashes_route_but_name_no_file() {
    for (path, decoded) in [
        ("/admin%2Fx", "/admin/x"),
        ("/a%2f", "/a/"),
        ("/a\\b", "/a\\b"),
        ("/a%5Cb", "/a\\b"),
    ] {
        let clean = clean(path.as_bytes()).expect("a clean path");
        assert_eq!(&*clean.bytes, decoded.as_bytes());
        assert!(clean.never_a_file, "{path}");
    }
}

#[test]
fn forbidden_bytes_are_refused() {
    for path in [
        "/%00",
        "/a%00.html",
        "/a\0",
        "/a b",
        "/a\tb",
        "/a\r\nb",
        "/a#b",
        "/a?b",
        "/a\x7f",
    ] {
        assert_eq!(cleaned(path), Err(Refusal::Byte), "{path:?}");
    }
    for path in ["", "a", "*", "%2Fa", "\\a"] {
        assert_eq!(cleaned(path), Err(Refusal::Form), "{path:?}");
    }
}

fn taken_apart(target: &str) -> Result<(Option<&str>, &str, Option<&str>), Refusal> {
    let text = |bytes| std::str::from_utf8(bytes).expect("text");
    split(target.as_bytes()).map(|parts| {
        (
            parts.authority.map(text),
            text(parts.path),
            parts.query.map(text),
        )
    })
}

#[test]
fn targets_are_taken_apart() {
    assert_eq!(taken_apart("/"), Ok((None, "/", None)));
    assert_eq!(taken_apart("/a?"), Ok((None, "/a", Some(""))));
    assert_eq!(
        taken_apart("/a?b?c=/../"),
        Ok((None, "/a", Some("b?c=/../")))
    );
    assert_eq!(taken_apart("//a/b"), Ok((None, "//a/b", None)));
    assert_eq!(taken_apart("*"), Ok((None, "*", None)));
    assert_eq!(
        taken_apart("http://h/p?q"),
        Ok((Some("h"), "/p", Some("q")))
    );
    assert_eq!(
        taken_apart("HTTPS://h:1?q"),
        Ok((Some("h:1"), "/", Some("q")))
    );
    assert_eq!(taken_apart("http://h"), Ok((Some("h"), "/", None)));
}

#[test]
fn other_targets_are_refused() {
    for target in [
        "",
        "a",
        "h:443",
        "ftp://h/",
        "http://",
        "http:///a",
        "http://u@h/",
        "http://u:p@h/",
        "http://h\\@e/",
        "*x",
        "?a",
        "http:/a",
        "javascript:alert(1)",
    ] {
        assert_eq!(taken_apart(target), Err(Refusal::Form), "{target:?}");
    }
    for target in [
        "/a b",
        "/a\r\nX: y",
        "/\0",
        "/a#b",
        "http://h/#",
        "/a\x7f",
        " /",
    ] {
        assert_eq!(taken_apart(target), Err(Refusal::Byte), "{target:?}");
    }
}

proptest! {
    #[test]
    fn a_clean_path_has_no_way_up(path in "/[./\\\\;%25efcEFC a-b\0]{0,24}") {
        if let Ok(clean) = clean(path.as_bytes()) {
            prop_assert_eq!(clean.bytes.first(), Some(&b'/'));
            prop_assert!(!clean.bytes.contains(&0));
            let segments: Vec<&[u8]> = clean.bytes.split(|byte| *byte == b'/').collect();
            for (index, segment) in segments.iter().enumerate() {
                prop_assert!(*segment != b"." && *segment != b"..");
                prop_assert!(!segment.is_empty() || index == 0 || index == segments.len() - 1);
            }
        }
    }

    #[test]
    fn an_encoded_path_is_decoded_to_the_same(path in proptest::collection::vec(1_u8..=255, 0..40)) {
        let mut path = path;
        path.insert(0, b'/');
        let mut text = String::new();
        encode(&path, &mut text);
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
        if let Ok(clean) = clean(text.as_bytes()) {
            let mut merged = path.clone();
            merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
            prop_assert_eq!(&*clean.bytes, merged.as_slice());
        }
    }

    #[test]
    fn no_target_panics(target in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(parts) = split(&target) {
            let _ = clean(parts.path);
        }
    }
}

#[test]
fn what_follows_a_prefix_is_found_in_the_path_as_it_was_sent() {
    for (path, length, rest) in [
        ("/api/x", 4, "/x"),
        ("/api", 4, ""),
        ("/api/", 4, "/"),
        ("/api//x//y", 4, "/x//y"),
        ("//api/x", 4, "/x"),
        ("/%61pi/%41", 4, "/%41"),
        ("/api%2Fx%2Fy", 4, "/x%2Fy"),
        ("/api/%2F/x", 4, "/x"),
        ("/x", 0, "/x"),
        ("//evil.example", 0, "/evil.example"),
        ("/api/\\evil.example", 4, "/%5Cevil.example"),
        ("/caf%C3%A9/x", 6, "/x"),
    ] {
        let found = after(path.as_bytes(), length);
        assert_eq!(String::from_utf8(found).unwrap(), rest, "{path}");
    }
}
