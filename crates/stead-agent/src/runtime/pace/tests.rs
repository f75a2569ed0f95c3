use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn those_that_compute_start_as_many_at_once_as_there_are_cpus() {
    assert_eq!(limit(2, ms(1900), ms(2000)), 2);
    assert_eq!(limit(1, ms(2000), ms(2000)), 2);
    assert_eq!(limit(16, ms(2000), ms(2000)), 16);
    // Several threads each: still as many as there are CPUs.
    assert_eq!(limit(4, ms(8000), ms(2000)), 4);
}

#[test]
fn those_that_wait_start_more_at_once() {
    assert_eq!(limit(2, ms(1000), ms(2000)), 4);
    assert_eq!(limit(2, ms(100), ms(2000)), 8);
    assert_eq!(limit(2, ms(0), ms(0)), 8);
    assert_eq!(limit(32, ms(0), ms(2000)), 32);
}
