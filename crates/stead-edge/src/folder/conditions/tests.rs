use proptest::prelude::*;

use super::*;

const MODIFIED: i64 = 784_111_777;
const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

fn validators(etag: &str) -> Validators<'_> {
    Validators {
        etag,
        modified: MODIFIED,
        now: MODIFIED + 1_000,
    }
}

fn verdict(etag: &str, headers: &[(&str, &str)]) -> Verdict {
    let owned: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    let header = |name: &str| {
        owned
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_slice())
    };
    judge(validators(etag), &header)
}

#[test]
fn each_precondition_is_judged() {
    use Verdict::{Failed, NotModified, Proceed};
    for (headers, expected) in [
        (&[][..], Proceed),
        (&[("if-none-match", "\"a\"")][..], NotModified),
        (&[("if-none-match", "W/\"a\"")], NotModified),
        (&[("if-none-match", "\"b\", ,W/\"c,\",\"a\"")], NotModified),
        (&[("if-none-match", "*")], NotModified),
        (&[("if-none-match", "\"b\"")], Proceed),
        (&[("if-none-match", "a")], Proceed),
        (&[("if-none-match", "\"a")], Proceed),
        (&[("if-none-match", "")], Proceed),
        (&[("if-none-match", "\"x\\\"a\"")], Proceed),
        (&[("if-match", "\"a\"")], Proceed),
        (&[("if-match", "*")], Proceed),
        (&[("if-match", "W/\"a\"")], Failed),
        (&[("if-match", "\"b\"")], Failed),
        (&[("if-match", "")], Failed),
        (&[("if-modified-since", AT)], NotModified),
        (&[("if-modified-since", AFTER)], NotModified),
        (&[("if-modified-since", BEFORE)], Proceed),
        (&[("if-modified-since", "yesterday")], Proceed),
        (&[("if-unmodified-since", AT)], Proceed),
        (&[("if-unmodified-since", BEFORE)], Failed),
        (&[("if-unmodified-since", "x")], Proceed),
        (
            &[("if-none-match", "\"b\""), ("if-modified-since", AFTER)],
            Proceed,
        ),
        (
            &[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)],
            Proceed,
        ),
        (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed),
        (
            &[("if-match", "\"a\""), ("if-none-match", "\"a\"")],
            NotModified,
        ),
    ] {
        assert_eq!(verdict("\"a\"", headers), expected, "{headers:?}");
    }
}

#[test]
fn a_weak_entity_tag_is_never_a_strong_match() {
    assert_eq!(
        verdict("W/\"a\"", &[("if-match", "W/\"a\"")]),
        Verdict::Failed
    );
    assert_eq!(
        verdict("W/\"a\"", &[("if-match", "\"a\"")]),
        Verdict::Failed
    );
    assert_eq!(
        verdict("W/\"a\"", &[("if-none-match", "\"a\"")]),
        Verdict::NotModified
    );
}

#[test]
fn if_range_wants_a_strong_match() {
    for (value, expected) in [
        ("\"a\"", true),
        (" \"a\" ", true),
        ("W/\"a\"", false),
        ("\"b\"", false),
        ("*", false),
        (AT, true),
        (BEFORE, false),
        (AFTER, false),
        ("", false),
    ] {
        assert_eq!(
            if_range(value.as_bytes(), validators("\"a\"")),
            expected,
            "{value}"
        );
    }
    for value in ["W/\"a\"", "\"a\"", AT] {
        assert!(
            !if_range(value.as_bytes(), validators("W/\"a\"")),
            "{value}"
        );
    }
    let young = Validators {
        now: MODIFIED + 1,
        ..validators("\"a\"")
    };
    assert!(!if_range(AT.as_bytes(), young));
}

proptest! {
    #[test]
    fn no_list_panics(list in "[W/\"a, *\\\\]{0,30}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        lists(list.as_bytes(), "\"a\"", Comparison::Weak);
        lists(&bytes, "W/\"a\"", Comparison::Strong);
        if_range(list.as_bytes(), validators("\"a\""));
    }
}
