use super::*;

const TEXT: &str = "\
# TYPE stead_requests counter
stead_requests_total{app=\"shop\",process=\"web\",release=\"4\",status=\"2xx\"} 90
stead_requests_total{app=\"shop\",process=\"web\",release=\"4\",status=\"5xx\"} 10
stead_requests_total{app=\"shop\",process=\"api\",release=\"4\",status=\"4xx\"} 5
stead_requests_total{app=\"shop\",process=\"web\",release=\"5\",status=\"5xx\"} 7 1795672064
stead_requests_total{app=\"shop2\",process=\"web\",release=\"4\",status=\"5xx\"} 1000
stead_edge_requests_total{status=\"5xx\"} 1000
# EOF
";

fn answered(requests: u64, errors: u64) -> Answered {
    Answered { requests, errors }
}

#[test]
fn requests_are_counted_by_release_and_for_one_app() {
    let expected = BTreeMap::from([(4, answered(105, 10)), (5, answered(7, 7))]);
    assert_eq!(read(TEXT)["shop"], expected);
    assert_eq!(read(TEXT).len(), 2);
}

#[test]
fn the_last_minute_is_what_was_counted_since_a_look_a_minute_ago() {
    let began = Instant::now();
    let at = |seconds: u64| began + Duration::from_secs(seconds);
    let counted = |requests, errors| BTreeMap::from([(4, answered(requests, errors))]);
    let recent = Recent::default();
    assert_eq!(recent.last_minute(at(0), "shop", &counted(5, 0)), None);
    for ten in 0..10 {
        let app = ("shop".to_owned(), counted(ten * 100, ten));
        recent.remember(at(ten * 10), BTreeMap::from([app]));
    }
    // Looks of 20 s to 90 s are remembered; the one of 30 s is 65 s old.
    assert_eq!(recent.lock().len(), 8);
    let minute = |is| recent.last_minute(at(95), "shop", &is);
    assert_eq!(minute(counted(1000, 10)), Some(answered(700, 7)));
    // A release that was not there then counts from nothing; an edge that counts anew says nothing of the time before.
    assert_eq!(
        minute(BTreeMap::from([(5, answered(3, 1))])),
        Some(answered(3, 1))
    );
    assert_eq!(minute(counted(2, 0)), None);
    assert_eq!(
        recent.last_minute(at(95), "other", &counted(2, 0)),
        Some(answered(2, 0))
    );
    assert_eq!(
        recent.last_minute(at(1000), "shop", &counted(1000, 10)),
        None
    );
}

#[test]
fn a_text_that_ends_anywhere_is_no_trouble() {
    for end in 0..TEXT.len() {
        let found = read(&TEXT[..end]);
        assert!(
            found
                .values()
                .flat_map(BTreeMap::values)
                .all(|of| of.errors <= of.requests)
        );
    }
}

#[test]
fn a_release_is_worse_only_when_many_visitors_are_failed_that_were_not_before() {
    let none = answered(0, 0);
    // A few, or few of many, can be chance.
    assert!(!answered(9, 9).is_worse_than(none));
    assert!(!answered(1000, 100).is_worse_than(answered(1000, 0)));
    assert!(answered(1000, 101).is_worse_than(answered(1000, 0)));
    assert!(answered(10, 10).is_worse_than(none));
    // An app that always failed so much does not fail because of the release.
    assert!(!answered(100, 60).is_worse_than(answered(100, 20)));
    assert!(answered(100, 61).is_worse_than(answered(100, 20)));
}
