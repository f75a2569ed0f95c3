use super::*;

#[test]
fn waits_grow_have_an_end_and_differ() {
    for kind in [
        Kind::NotHere,
        Kind::Refused,
        Kind::Unavailable,
        Kind::Limited,
    ] {
        let mut before = SignedDuration::ZERO;
        for times in 1..100 {
            let wait = kind.wait(times, 0.5);
            assert!(wait >= before && wait <= SignedDuration::from_hours(24));
            before = wait;
        }
        assert!(kind.wait(3, 0.0) < kind.wait(3, 1.0));
    }
}

#[test]
fn what_was_tried_comes_back_and_a_broken_file_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        Attempts::load(directory.path()),
        (Attempts::default(), None)
    );
    let mut attempts = Attempts::default();
    let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    let refused = (Kind::Refused, "no");
    attempts.failed("a.example.com", refused, "https://ca", None, now, 0.3);
    attempts.asked.push(Asked {
        at: now,
        directory: "https://ca".into(),
        names: vec!["a.example.com".into()],
    });
    attempts.save(directory.path()).unwrap();
    assert_eq!(Attempts::load(directory.path()), (attempts, None));

    let path = directory.path().join(NAME);
    let text = std::fs::read(&path).unwrap();
    for length in 0..text.len() {
        std::fs::write(&path, &text[..length]).unwrap();
        let (attempts, why) = Attempts::load(directory.path());
        assert_eq!(attempts, Attempts::default());
        assert!(why.unwrap().contains("attempts.json.broken"), "{length}");
        assert!(!path.exists());
    }
}

#[test]
fn only_failures_of_one_kind_in_a_row_add_up() {
    let mut attempts = Attempts::default();
    let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    let mut fail = |kind| {
        attempts.failed("a", (kind, "no"), "https://ca", None, now, 0.5);
        attempts.failures["a"].times
    };
    assert_eq!(fail(Kind::NotHere), 1);
    assert_eq!(fail(Kind::NotHere), 2);
    assert_eq!(fail(Kind::Refused), 1);
}
