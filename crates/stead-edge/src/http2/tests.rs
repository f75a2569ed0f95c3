use std::time::{Duration, Instant};

use super::budget::Budget;
use super::*;

#[test]
fn the_preface_is_known_in_whatever_pieces_it_comes() {
    for end in 0..PREFACE.len() {
        assert_eq!(beginning(&PREFACE[..end]), Beginning::Perhaps);
    }
    assert_eq!(beginning(PREFACE), Beginning::Http2);
    assert_eq!(
        beginning(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"),
        Beginning::Http2
    );
    for other in [
        &b"GET / HTTP/1.1"[..],
        b"PUT",
        b"PRI * HTTP/1.1",
        b"PRI * HTTP/2.0\r\n\r\nSX",
    ] {
        assert_eq!(beginning(other), Beginning::Other);
    }
}

#[test]
fn a_budget_comes_back_with_time_and_no_further_than_it_was() {
    let start = Instant::now();
    let mut budget = Budget::new(3, 10, start);
    assert_eq!(
        [(); 5].map(|()| budget.take(start)),
        [true, true, true, false, false]
    );
    let later = start + Duration::from_millis(200);
    assert_eq!([(); 3].map(|()| budget.take(later)), [true, true, false]);
    let long_after = start + Duration::from_secs(1000);
    assert_eq!(
        [(); 4].map(|()| budget.take(long_after)),
        [true, true, true, false]
    );
}
