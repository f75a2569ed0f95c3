use std::time::Duration;

use super::Results;
use crate::bench::catalog::{WORKS, peer};
use crate::bench::{Pace, load};

fn row(name: &str, cpu: f64, rate: f64) -> load::Row {
    load::Row {
        work: &WORKS[0],
        connections: 32,
        peer: peer(name).unwrap(),
        cpu,
        rate,
        p50: 0.001,
        p99: 0.002,
        pss: 5e7,
        errors: 0,
    }
}

fn document(loads: Vec<load::Row>) -> String {
    let results = Results {
        loads,
        ..Results::default()
    };
    let pace = Pace {
        rounds: 3,
        time: Duration::from_secs(5),
        reloads: 1,
        other_reloads: 1,
    };
    results.document(&pace)
}

#[test]
fn a_goal_is_judged_by_the_ratio_of_the_same_run() {
    let text = document(vec![
        row("stead", 2.5, 40_000.0),
        row("nginx-uwsgi", 5.0, 20_000.0),
    ]);
    assert!(
        text.contains("CPU | ≤ 0.65 × nginx → uwsgi | 0.50 × | yes |"),
        "{text}"
    );
    assert!(
        text.contains("| nginx → uwsgi | 5.00 | 0.50 | 20000 |"),
        "{text}"
    );
}

#[test]
fn a_missed_goal_says_so() {
    let text = document(vec![row("stead", 4.0, 1.0), row("nginx-uwsgi", 5.0, 1.0)]);
    assert!(text.contains("0.80 × | **no** |"), "{text}");
}

#[test]
fn without_stead_there_is_no_goal_and_no_ratio() {
    let text = document(vec![row("nginx-uwsgi", 5.0, 1.0)]);
    assert!(!text.contains("## Goals"), "{text}");
    assert!(text.contains("| nginx → uwsgi | 5.00 | – |"), "{text}");
}
