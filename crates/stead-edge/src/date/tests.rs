use proptest::prelude::*;

use super::*;

/// 2026-11-21
const NOW: i64 = 1_795_219_200;

#[test]
fn the_three_forms_of_rfc_9110_name_the_same_instant() {
    for text in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT ",
    ] {
        assert_eq!(parse(text.as_bytes(), NOW), Some(784_111_777), "{text}");
    }
    assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
}

#[test]
fn the_century_of_two_digits_is_within_fifty_years() {
    let year = |text: &str| parse(text.as_bytes(), NOW).map(|at| civil(at.div_euclid(DAY)).0);
    assert_eq!(year("Sunday, 06-Nov-94 08:49:37 GMT"), Some(1994));
    assert_eq!(year("Sunday, 06-Nov-26 08:49:37 GMT"), Some(2026));
    assert_eq!(year("Sunday, 06-Nov-76 08:49:37 GMT"), Some(2076));
    assert_eq!(year("Sunday, 06-Nov-77 08:49:37 GMT"), Some(1977));
}

#[test]
fn what_is_no_date_is_not_guessed() {
    for text in [
        "",
        "0",
        ",",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06-Nov-9",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Sun Nov 06 08:49:37 199x",
        "\u{ff11}",
    ] {
        assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
    }
}

#[test]
fn leap_days_and_seconds_are_dates() {
    let written = |text: &str| parse(text.as_bytes(), NOW).map(format);
    assert_eq!(
        written("Tue, 29 Feb 2000 00:00:00 GMT").as_ref(),
        Some(b"Tue, 29 Feb 2000 00:00:00 GMT")
    );
    assert_eq!(
        written("Sat, 31 Dec 2016 23:59:60 GMT").as_ref(),
        Some(b"Sun, 01 Jan 2017 00:00:00 GMT")
    );
}

#[test]
fn dates_beyond_four_digits_are_clamped() {
    assert_eq!(&format(i64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    assert_eq!(&format(i64::MIN), b"Sat, 01 Jan 0000 00:00:00 GMT");
    assert_eq!(&format(-1), b"Wed, 31 Dec 1969 23:59:59 GMT");
}

#[test]
fn seconds_are_rounded_down_on_both_sides_of_the_epoch() {
    let half = Duration::from_millis(500);
    assert_eq!(seconds(UNIX_EPOCH + half), 0);
    assert_eq!(seconds(UNIX_EPOCH - half), -1);
    assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(1)), -1);
}

#[test]
fn a_cached_date_follows_the_clock_both_ways() {
    let mut date = CachedDate::new();
    assert_eq!(date.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(date.at(784_111_776), b"Sun, 06 Nov 1994 08:49:36 GMT");
    assert_eq!(date.at(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
}

proptest! {
    #[test]
    fn a_written_date_is_read_as_the_same(at in EARLIEST..=LATEST) {
        prop_assert_eq!(parse(&format(at), NOW), Some(at));
    }

    #[test]
    fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..40), now: i64) {
        let _ = parse(&text, now);
    }

    #[test]
    fn no_mutated_date_panics(at in EARLIEST..=LATEST, place in 0_usize..29, byte: u8, cut in 0_usize..30) {
        let mut text = format(at).to_vec();
        text[place] = byte;
        text.truncate(cut);
        let _ = parse(&text, NOW);
    }
}
