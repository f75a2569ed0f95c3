use super::*;

fn model() -> Model {
    Model::default()
}

#[test]
fn what_could_split_a_response_is_refused_with_the_table() {
    for (name, value) in [
        ("X", "a\r\nSet-Cookie: b"),
        ("X\r\nY", "a"),
        ("X", "a\0"),
        ("", "a"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
    ] {
        let edits = [(name.to_owned(), value.to_owned())];
        let headers = Model {
            headers: edits.clone().into(),
            ..model()
        };
        let request_headers = Model {
            request_headers: edits.into(),
            ..model()
        };
        assert!(Rules::new(&headers).is_err(), "{name:?}");
        assert!(Rules::new(&request_headers).is_err(), "{name:?}");
    }
    for (to, status) in [
        ("//evil.example", 308),
        ("/\\evil.example", 308),
        ("javascript:alert(1)", 308),
        ("/a\r\nX: b", 308),
        ("/a", 200),
    ] {
        let to = to.to_owned();
        let moved = [("/old".to_owned(), Moved { to, status })].into();
        assert!(Rules::new(&Model { moved, ..model() }).is_err());
    }
}

#[test]
fn a_header_that_is_set_replaces_all_lines_of_its_name() {
    let headers = [("X-Frame-Options".to_owned(), "DENY".to_owned())].into();
    let edits = Edits::new(&headers, &["server".to_owned()]).unwrap();
    assert!(!edits.keeps(b"x-frame-options"));
    assert!(!edits.keeps(b"Server"));
    assert!(edits.keeps(b"X-Frame"));
    let set: Vec<_> = edits.set().collect();
    assert_eq!(set, [(&b"X-Frame-Options"[..], &b"DENY"[..])]);
}
