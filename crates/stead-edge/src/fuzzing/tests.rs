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

/// What cargo-fuzz starts from, and what it found: for every target that there is.
#[test]
fn the_seeds_of_the_fuzzers_hold() {
    let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
    let mut targets = 0;
    for entry in std::fs::read_dir(format!("{fuzz}/fuzz_targets")).unwrap() {
        let file = entry.unwrap().path();
        let target = file.file_stem().unwrap().to_str().unwrap();
        // Those of the model are replayed in its own tests.
        if !std::fs::read_to_string(&file)
            .unwrap()
            .contains("stead_edge")
        {
            continue;
        }
        let mut count = 0;
        for entry in std::fs::read_dir(format!("{fuzz}/seeds/{target}")).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            replay(target, &std::fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 5, "`{target}` has its seeds");
        targets += 1;
    }
    assert!(targets > 10, "the targets were found");
}
