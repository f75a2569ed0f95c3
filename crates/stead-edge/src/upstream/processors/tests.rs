use super::*;

fn ticks(all: u64, idle: u64) -> Option<Ticks> {
    Some(Ticks { all, idle })
}

#[test]
fn waiting_for_a_disk_counts_as_idle_and_a_guest_is_not_counted_twice() {
    let stat = "cpu  10 1 5 70 4 2 3 5 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
    assert_eq!(parse(stat), ticks(100, 74));
    assert_eq!(parse("cpu  1 x 3\n"), None);
    assert_eq!(parse(""), None);
    let real = std::fs::read_to_string("/proc/stat").unwrap();
    assert!(parse(&real).is_some_and(|ticks| ticks.all >= ticks.idle));
}

#[test]
fn processors_are_busy_only_while_hardly_any_idle_time_passes() {
    let mut processors = Processors::default();
    let start = Instant::now();
    let at = |window: u32| start + WINDOW * window;
    processors.look(at(0), ticks(1000, 500));
    assert!(!processors.are_busy, "one look says nothing");
    processors.look(at(1), ticks(1020, 501));
    assert!(processors.are_busy);
    processors.look(at(2), ticks(1040, 505));
    assert!(!processors.are_busy);
    processors.look(at(3), ticks(1060, 505));
    assert!(processors.are_busy);
    processors.look(at(4), None);
    assert!(!processors.are_busy, "what cannot be read is not busy");
}

#[test]
fn a_look_of_long_ago_says_nothing() {
    let mut processors = Processors::default();
    let start = Instant::now();
    processors.look(start, ticks(0, 0));
    processors.look(start + FORGOTTEN, ticks(200, 0));
    assert!(!processors.are_busy);
}
