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
    assert_eq!(read(TEXT, "shop"), expected);
}

#[test]
fn a_text_that_ends_anywhere_is_no_trouble() {
    for end in 0..TEXT.len() {
        let found = read(&TEXT[..end], "shop");
        assert!(found.values().all(|of| of.errors <= of.requests));
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
