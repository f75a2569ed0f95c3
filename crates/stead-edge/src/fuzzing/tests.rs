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

/// A seed, changed in a few places: a number that looks random decides where and how.
fn mutated(seed: &[u8], other: &[u8], mut random: u64) -> Vec<u8> {
    const LIKELY: &[u8] = b"\r\n\0\t :;,=\"\\-_.+0159afAFx\x7f\x80\xff";
    let mut below = |limit: usize| {
        // Xorshift (Marsaglia 2003).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).unwrap() % limit.max(1)
    };
    let mut text = seed.to_vec();
    for _ in 0..=below(3) {
        let at = below(text.len());
        let likely = LIKELY[below(LIKELY.len())];
        match below(6) {
            0 if !text.is_empty() => text[at] = likely,
            1 => text.insert(at, likely),
            2 if !text.is_empty() => drop(text.remove(at)),
            3 => drop(text.splice(at..at, other[below(other.len())..].iter().copied())),
            4 => text.truncate(at),
            _ => {
                let end = at + below(text.len() - at);
                let part = text[at..end].to_vec();
                drop(text.splice(end..end, part));
            }
        }
    }
    text
}

/// What cargo-fuzz starts from, and what it found, for every target that there is; every truncation of
/// it, and a few hundred inputs near it: the short form of `cargo xtask fuzz` that every run of the tests has. Where there
/// is no nightly compiler, `STEAD_FUZZ_TARGET` names one target, and `STEAD_FUZZ_COUNT` says how many inputs near each seed.
#[test]
fn the_seeds_of_the_fuzzers_hold_and_what_is_near_them() {
    let only = std::env::var("STEAD_FUZZ_TARGET").ok();
    let count = std::env::var("STEAD_FUZZ_COUNT").map_or(300_u64, |count| count.parse().unwrap());
    let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
    let mut targets = 0;
    for entry in std::fs::read_dir(format!("{fuzz}/fuzz_targets")).unwrap() {
        let file = entry.unwrap().path();
        let target = file.file_stem().unwrap().to_str().unwrap();
        // Those of the model are replayed in its own tests.
        let source = std::fs::read_to_string(&file).unwrap();
        if !source.contains("stead_edge") || only.as_deref().is_some_and(|only| only != target) {
            continue;
        }
        let seeds = std::fs::read_dir(format!("{fuzz}/seeds/{target}")).unwrap();
        let seeds: Vec<_> = seeds.map(|seed| seed.unwrap().path()).collect();
        let texts: Vec<_> = seeds
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect();
        assert!(seeds.len() > 5, "`{target}` has its seeds");
        for (number, (path, text)) in seeds.iter().zip(&texts).enumerate() {
            println!("{}", path.display());
            replay(target, text);
            for end in 0..text.len().min(2000) {
                replay(target, &text[..end]);
            }
            let other = &texts[(number + 1) % texts.len()];
            if text.len() + other.len() > 10_000 {
                continue;
            }
            for random in 1..count {
                let input = mutated(text, other, random.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let held = std::panic::catch_unwind(|| replay(target, &input));
                assert!(held.is_ok(), "`{target}` does not hold for {input:?}");
            }
        }
        targets += 1;
    }
    let expected = if only.is_some() { 1 } else { 11 };
    assert!(targets >= expected, "the targets were found");
}

/// A target that gets no answers would hold for everything.
#[test]
fn sessions_of_the_fuzzer_are_answered() {
    let statuses = |seed: &str| {
        let fuzz = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fuzz/seeds/http2_session"
        );
        let input = std::fs::read(format!("{fuzz}/{seed}")).unwrap();
        // Behind the pieces' sizes.
        session::statuses(&input[3..], &input[1..3], false)
    };
    assert_eq!(statuses("get"), [(1, 200), (3, 308), (5, 421)]);
    assert_eq!(statuses("post"), [(1, 503)]);
    assert_eq!(statuses("continued"), [(1, 200)]);
    assert_eq!(statuses("settings-wrong"), []);
}
