use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn every_instant_is_run_once() {
    let mut clock = Clock::new("0 * * * *", None, None, at("2026-11-21T10:30:00Z"));
    assert!(!clock.tick(at("2026-11-21T10:59:59Z")));
    assert!(clock.tick(at("2026-11-21T11:00:00Z")));
    assert!(!clock.tick(at("2026-11-21T11:00:00.5Z")));
    assert!(!clock.tick(at("2026-11-21T11:59:59Z")));
    assert!(clock.tick(at("2026-11-21T12:00:20Z")));
}

#[test]
fn what_was_slept_through_is_run_once() {
    let mut clock = Clock::new("0 * * * *", None, None, at("2026-11-21T10:30:00Z"));
    assert!(clock.tick(at("2026-11-21T19:10:00Z")));
    assert!(!clock.tick(at("2026-11-21T19:10:01Z")));
    assert!(clock.tick(at("2026-11-21T20:00:00Z")));
}

#[test]
fn a_clock_that_is_set_back_an_hour_repeats_nothing() {
    let mut clock = Clock::new("*/30 * * * *", None, None, at("2026-11-21T10:50:00Z"));
    assert!(clock.tick(at("2026-11-21T11:00:00Z")));
    assert!(!clock.tick(at("2026-11-21T10:05:00Z")));
    assert!(!clock.tick(at("2026-11-21T10:31:00Z")));
    assert!(!clock.tick(at("2026-11-21T11:00:00Z")));
    assert!(clock.tick(at("2026-11-21T11:30:00Z")));
}

#[test]
fn a_clock_that_was_a_year_ahead_does_not_silence_a_job_for_a_year() {
    let mut clock = Clock::new("0 * * * *", None, None, at("2027-11-21T10:50:00Z"));
    assert!(!clock.tick(at("2026-11-21T10:50:00Z")));
    assert!(clock.tick(at("2026-11-21T11:00:00Z")));
}

#[test]
fn a_restart_repeats_nothing_and_loses_nothing() {
    let last = Some(at("2026-11-21T11:00:00Z"));
    let mut clock = Clock::new("0 * * * *", None, last, at("2026-11-21T11:00:02Z"));
    assert!(!clock.tick(at("2026-11-21T11:00:03Z")));
    let mut clock = Clock::new("0 * * * *", None, last, at("2026-11-21T12:00:02Z"));
    assert!(clock.tick(at("2026-11-21T12:00:02Z")));
    let mut clock = Clock::new("0 * * * *", None, last, at("2026-11-21T12:30:00Z"));
    assert!(!clock.tick(at("2026-11-21T12:30:00Z")), "too long ago");
}

#[test]
fn clocks_survive_in_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = [("refresh".to_owned(), "0 * * * *".to_owned(), None)];
    let mut clocks = Clocks::open(dir.path());
    clocks.set(&jobs, at("2026-11-21T10:59:00Z"));
    assert_eq!(clocks.due(at("2026-11-21T11:00:00Z")), ["refresh"]);
    let mut again = Clocks::open(dir.path());
    again.set(&jobs, at("2026-11-21T11:00:01Z"));
    assert!(again.due(at("2026-11-21T11:00:02Z")).is_empty());
    // Another schedule begins anew: what it names in the past was never meant to be run.
    let jobs = [("refresh".to_owned(), "1 * * * *".to_owned(), None)];
    again.set(&jobs, at("2026-11-21T11:02:00Z"));
    assert!(again.due(at("2026-11-21T11:02:01Z")).is_empty());
    std::fs::write(dir.path().join("jobs.json"), "{\"refresh\": tr").unwrap();
    assert!(Clocks::open(dir.path()).earlier.is_empty());
}
