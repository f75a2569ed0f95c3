use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn the_fuzzers_claims_hold_for_likely_input(
        target in "(/|http://a)[./\\\\;%25efcEFC0 a-b?#\u{e9}]{0,24}",
        range in "bytes=[0-9, -]{0,30}",
        size in prop_oneof![0..100_u64, any::<u64>()],
        date in "(Sun|Sunday),? [0-9]{2}[ -](Nov|Feb|Dec)[ -][0-9]{2,4} [0-9]{2}:[0-5][0-9]:[0-6][0-9] GMT",
        asctime in "Sun (Nov|Feb|Dec) [0-9 ][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}",
        now: i64,
        host in "[a-zA-Z0-9.:\\[\\]*_ -]{0,20}",
        path in "(/[ab0-9]{0,2}){0,5}",
    ) {
        request_path(target.as_bytes());
        range_header(size, range.as_bytes());
        http_date(now, date.as_bytes());
        http_date(now, asctime.as_bytes());
        router_host(&FuzzRouter::new(), host.as_bytes(), path.as_bytes());
    }
}
