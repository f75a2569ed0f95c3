use super::*;

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = *state;
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[test]
fn five_failures_in_a_hundred_are_never_a_complaint() {
    let mut seed = 1;
    for rate_per_second in [1, 30, 1000] {
        let mut now = Instant::now();
        let mut health = Health::new(now, false);
        for _ in 0..100_000 {
            now += Duration::from_secs(1) / rate_per_second;
            let outcome = match random(&mut seed) % 200 {
                0..5 => Outcome::Failed,
                5..10 => Outcome::Unreachable,
                _ => Outcome::Good,
            };
            health.observe(outcome, now);
            assert_eq!(health.complaint(), None);
        }
    }
}

#[test]
fn an_instance_whose_requests_mostly_fail_is_complained_about_after_a_few() {
    let now = Instant::now();
    let mut health = Health::new(now, false);
    for _ in 0..ENOUGH - 1 {
        health.observe(Outcome::Failed, now);
        assert_eq!(health.complaint(), None);
    }
    health.observe(Outcome::Failed, now);
    assert!(health.complaint().is_some());
    // What is long ago does not count.
    health.observe(Outcome::Good, now + 3 * WINDOW);
    assert_eq!(health.complaint(), None);
}

#[test]
fn pauses_become_longer_and_a_good_time_forgives() {
    let mut now = Instant::now();
    let mut health = Health::new(now, false);
    let mut lengths = Vec::new();
    for _ in 0..8 {
        let replace = health.pause(now);
        let until = health.out_until.expect("a pause");
        assert_eq!(replace, lengths.len() as u32 + 1 == PAUSES);
        assert!(health.is_out(until - Duration::from_millis(1)));
        assert!(!health.is_out(until));
        lengths.push((until - now).as_secs());
        now = until;
    }
    assert_eq!(lengths, [5, 10, 20, 40, 80, 160, 300, 300]);
    now += LONGEST_PAUSE;
    health.pause(now);
    assert_eq!(health.out_until, Some(now + FIRST_PAUSE));
}

#[test]
fn a_newcomer_gets_its_share_by_and_by() {
    let now = Instant::now();
    let health = Health::new(now, true);
    let weights = [0, 1, 3, 5, 10, 100].map(|s| health.weight(now + Duration::from_secs(s)));
    assert_eq!(weights, [10, 10, 30, 50, 100, 100]);
    assert_eq!(Health::new(now, false).weight(now), FULL);
}

#[test]
fn three_checks_in_a_row_make_an_instance_fail_and_one_makes_it_well() {
    let now = Instant::now();
    let mut health = Health::new(now, false);
    let checks = [false, false, true, false, false, false, false];
    let became = checks.map(|good| health.checked(good));
    assert_eq!(became, [false, false, false, false, false, true, false]);
    assert!(health.is_out(now));
    assert!(!health.checked(true) && !health.is_out(now));
}
