use super::Count;

fn count(passed: u64, failed: u64) -> Count {
    Count { passed, failed }
}

#[test]
fn cargo_results_are_summed_over_binaries() {
    let output = "running 3 tests\n\
        test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
        \n\
        test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
    assert_eq!(Count::from_cargo(output), count(7, 2));
}

#[test]
fn unittest_failures_and_skips_are_not_passes() {
    let output = "Ran 10 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=3)\n";
    assert_eq!(Count::from_unittest(output), count(4, 3));
}

#[test]
fn a_clean_unittest_run_passes_whole() {
    assert_eq!(
        Count::from_unittest("Ran 2 tests in 0.1s\n\nOK\n"),
        count(2, 0)
    );
    assert_eq!(
        Count::from_unittest("Ran 10 tests in 0.1s\n\nOK (skipped=1)\n"),
        count(9, 0)
    );
}

#[test]
fn other_lines_count_for_nothing() {
    assert_eq!(Count::from_cargo("3 passed; 4 failed\n"), count(0, 0));
    assert_eq!(Count::from_unittest("test_it ... ok\n"), count(0, 0));
}
