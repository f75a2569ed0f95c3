use proptest::prelude::*;

use super::*;

fn parts(list: &[(u64, u64)]) -> Ranges {
    Ranges::Parts(
        list.iter()
            .map(|&(offset, length)| Part { offset, length })
            .collect(),
    )
}

#[test]
fn ranges_are_cut_to_what_exists() {
    for (value, expected) in [
        ("bytes=0-0", parts(&[(0, 1)])),
        ("bytes=0-499", parts(&[(0, 500)])),
        ("bytes=500-", parts(&[(500, 500)])),
        ("bytes=-1", parts(&[(999, 1)])),
        ("bytes=-5000", parts(&[(0, 1000)])),
        ("bytes=990-5000", parts(&[(990, 10)])),
        ("bytes=990-99999999999999999999999", parts(&[(990, 10)])),
        ("BYTES=1-2", parts(&[(1, 2)])),
        (" bytes=1-2 ", parts(&[(1, 2)])),
        ("bytes=1-2, 4-5,-1", parts(&[(1, 2), (4, 2), (999, 1)])),
        ("bytes=5-6,1-2", parts(&[(5, 2), (1, 2)])),
        ("bytes=,1-2,,", parts(&[(1, 2)])),
        ("bytes=1-2,2000-", parts(&[(1, 2)])),
        ("bytes=1000-", Ranges::Unsatisfiable),
        ("bytes=-0", Ranges::Unsatisfiable),
        ("bytes=5000-6000,2000-", Ranges::Unsatisfiable),
        ("bytes=99999999999999999999999-", Ranges::Unsatisfiable),
    ] {
        assert_eq!(parse(value.as_bytes(), 1_000), expected, "{value}");
    }
}

#[test]
fn what_is_no_range_is_ignored() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=2-1",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes= 1 - 2",
        "bytes=0x1-2",
        "bytes=1-2;3-4",
        "lines=1-2",
        "bytes 1-2",
        "bytes=--1",
        "bytes=1-2,x",
    ] {
        assert_eq!(parse(value.as_bytes(), 1_000), Ranges::Whole, "{value}");
    }
}

#[test]
fn an_empty_file_is_sent_whole() {
    for value in ["bytes=0-", "bytes=-1", "bytes=0-0", "bytes=5-6"] {
        assert_eq!(parse(value.as_bytes(), 0), Ranges::Whole);
    }
}

#[test]
fn greedy_ranges_get_the_whole_once() {
    let overlapping = format!("bytes={}", ["0-"; 10].join(","));
    assert_eq!(parse(overlapping.as_bytes(), 1_000), Ranges::Whole);
    let many = format!("bytes={}", ["0-0"; 17].join(","));
    assert_eq!(parse(many.as_bytes(), 1_000), Ranges::Whole);
    let all_beyond = format!("bytes={}", ["5000-"; 1_300].join(","));
    assert_eq!(parse(all_beyond.as_bytes(), 1_000), Ranges::Whole);
}

proptest! {
    #[test]
    fn parts_are_within_the_file_and_cost_no_more_than_it(value in "(bytes=)?[0-9, -]{0,40}", size in 0_u64..200) {
        if let Ranges::Parts(parts) = parse(value.as_bytes(), size) {
            prop_assert!(!parts.is_empty() && parts.len() <= MOST_PARTS);
            prop_assert!(parts.iter().all(|part| part.length > 0 && part.offset + part.length <= size));
            prop_assert!(parts.iter().map(|part| part.length).sum::<u64>() <= size);
        }
    }

    #[test]
    fn no_range_panics(value in proptest::collection::vec(any::<u8>(), 0..60), size: u64) {
        let _ = parse(&value, size);
        let mut value = value;
        value.splice(..0, *b"bytes=");
        let _ = parse(&value, size);
    }
}
