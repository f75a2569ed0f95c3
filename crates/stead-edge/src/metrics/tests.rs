use super::*;

fn ended(status: u16, micros: u64) -> Ended {
    Ended {
        status,
        queue: Duration::from_micros(1),
        upstream: Duration::from_micros(micros),
        total: Duration::from_micros(micros),
        received: 10,
        sent: 100,
    }
}

#[test]
fn counters_of_all_threads_are_added_up() {
    let metrics = Metrics::new(4);
    let series = metrics.series("shop", "web", 3);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let series = &series;
            scope.spawn(move || {
                begin_thread(number);
                for _ in 0..1000 {
                    series.count(&ended(200, 700));
                    series.count(&ended(503, 400_000_000));
                }
            });
        }
    });
    let sum = series.sum();
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(value(&sum.statuses[1]), 4000);
    assert_eq!(value(&sum.statuses[4]), 4000);
    assert_eq!((value(&sum.received), value(&sum.sent)), (80_000, 800_000));
    // 700 µs lies between the first two bounds, 400 s beyond the last one.
    assert_eq!(value(&sum.total.buckets[1]), 4000);
    assert_eq!(value(&sum.total.buckets[BOUNDS.len()]), 4000);
    assert_eq!(value(&sum.queue.buckets[0]), 8000);
    assert_eq!(value(&sum.total.micros), 4000 * 400_000_700);
}

#[test]
fn a_time_belongs_to_the_bucket_whose_end_it_is() {
    let histogram = Histogram::default();
    for bound in BOUNDS {
        histogram.count(Duration::from_micros(bound));
    }
    let counts = histogram
        .buckets
        .iter()
        .map(|bucket| bucket.load(Ordering::Relaxed));
    let expected: Vec<u64> = BOUNDS.iter().map(|_| 1).chain([0]).collect();
    assert_eq!(counts.collect::<Vec<_>>(), expected);
}

#[test]
fn only_a_few_releases_of_each_process_are_kept() {
    let metrics = Metrics::new(1);
    for release in 1..=100 {
        metrics.series("shop", "web", release).count(&ended(200, 1));
        metrics.series("shop", "api", release);
    }
    let kept = |name: &str| -> Vec<u64> {
        let all = metrics.lock();
        all.keys()
            .filter(|(of, _)| **of == *name)
            .map(|(_, release)| *release)
            .collect()
    };
    assert_eq!(kept("shop.web"), [97, 98, 99, 100]);
    assert_eq!(kept("shop.api"), [97, 98, 99, 100]);
    metrics.keep(|name| name == "shop.api");
    assert!(kept("shop.web").is_empty());
    // A release that serves again, after it was rolled back to, is counted even when it is old.
    metrics.series("shop", "api", 5).count(&ended(200, 1));
}

#[test]
fn a_process_without_visitors_costs_no_counters() {
    let metrics = Metrics::new(8);
    let series = metrics.series("shop", "web", 1);
    assert!(series.threads.iter().all(|thread| thread.get().is_none()));
}
