use super::*;

const MB: u64 = 1024 * 1024;

#[test]
fn as_many_fit_as_leave_headroom() {
    assert_eq!(machine::fits(1000 * MB, 100 * MB), 9);
    assert_eq!(machine::fits(200 * MB, 100 * MB), 1);
    assert_eq!(machine::fits(100 * MB, 100 * MB), 0);
    assert_eq!(machine::fits(0, 100 * MB), 0);
    assert_eq!(machine::fits(u64::MAX, 0), u32::MAX);
}

#[test]
fn numbers_are_written_for_a_person() {
    assert_eq!(megabytes(41 * MB + 1), "42 MB");
    // `memory = "60M"` is said to be 60 MB.
    assert_eq!(megabytes(60 * MB), "60 MB");
    assert_eq!(plural(1, "CPU", "CPUs"), "1 CPU");
    assert_eq!(plural(0, "thread", "threads"), "0 threads");
}
