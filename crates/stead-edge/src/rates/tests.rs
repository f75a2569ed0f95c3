use std::net::Ipv4Addr;

use proptest::prelude::*;
use stead_model::manifest::Rate;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn limit(count: u32, seconds: u64, burst: u32) -> Limit {
    let per = Duration::from_secs(seconds);
    Limit::new(&RateLimit {
        name: "shop /".into(),
        rate: Rate { count, per },
        burst,
    })
    .unwrap()
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

/// How many of so many requests at one moment are let through.
fn passed(rates: &Rates, now: u64, limit: &Limit, address: IpAddr, requests: usize) -> usize {
    let take = |_: &usize| rates.take_at(now, limit, address).is_ok();
    (0..requests).filter(take).count()
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let (rates, limit) = (Rates::default(), limit(10, 1, 20));
    let who = address(1);
    assert_eq!(passed(&rates, 0, &limit, who, 100), 20);
    assert_eq!(
        rates.take_at(0, &limit, who),
        Err(Duration::from_millis(100))
    );
    assert_eq!(passed(&rates, SECOND / 10 - 1, &limit, who, 100), 0);
    assert_eq!(passed(&rates, SECOND / 10, &limit, who, 100), 1);
    assert_eq!(passed(&rates, SECOND + SECOND / 10, &limit, who, 100), 10);
    assert_eq!(passed(&rates, 60 * SECOND, &limit, who, 100), 20);
}

#[test]
fn addresses_and_routes_are_counted_apart_and_a_64_together() {
    let (rates, one) = (Rates::default(), limit(1, 3600, 1));
    let other = Limit {
        name: "shop /api".into(),
        ..limit(1, 3600, 1)
    };
    let take = |limit: &Limit, address: &str| rates.take_at(0, limit, address.parse().unwrap());
    assert!(take(&one, "192.0.2.1").is_ok());
    assert_eq!(take(&one, "192.0.2.1"), Err(Duration::from_secs(3600)));
    assert!(take(&one, "::ffff:192.0.2.1").is_err());
    assert!(take(&one, "192.0.2.2").is_ok());
    assert!(take(&other, "192.0.2.1").is_ok());
    assert!(take(&one, "2001:db8:0:1::1").is_ok());
    assert!(take(&one, "2001:db8:0:1:ffff::2").is_err());
    assert!(take(&one, "2001:db8:0:2::1").is_ok());
}

#[test]
fn a_million_addresses_take_no_more_memory_and_do_not_free_who_is_held_up() {
    let (rates, limit) = (Rates::default(), limit(1, 1, 1000));
    let held_up = address(u32::MAX);
    assert_eq!(passed(&rates, 0, &limit, held_up, 2000), 1000);
    for number in 0..1_000_000 {
        assert!(
            rates
                .take_at(number.into(), &limit, address(number))
                .is_ok()
        );
    }
    assert!(rates.take_at(SECOND / 2, &limit, held_up).is_err());
    let sets = rates.sets.get().unwrap();
    let bytes = size_of_val(&**sets);
    assert!(bytes <= 1_200_000, "{bytes}");
}

#[test]
fn a_limit_that_is_none_is_refused() {
    for (count, per, burst) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, u64::MAX, 1)] {
        let per = Duration::from_secs(per);
        let limit = RateLimit {
            name: "x".into(),
            rate: Rate { count, per },
            burst,
        };
        assert!(Limit::new(&limit).is_err(), "{limit:?}");
    }
}

proptest! {
    /// Whatever the times, no more pass within any span than a burst and what the rate adds in it; and who waits as long
    /// as was said passes.
    #[test]
    fn no_span_has_more_than_its_share(
        count in 1..50_u32,
        burst in 1..50_u32,
        steps in proptest::collection::vec(0..SECOND / 3, 1..200),
    ) {
        let (rates, limit) = (Rates::default(), limit(count, 1, burst));
        let (mut now, mut passed) = (0, Vec::new());
        for step in steps {
            now += step;
            match rates.take_at(now, &limit, address(7)) {
                Ok(()) => passed.push(now),
                Err(wait) => {
                    now += wait.as_nanos() as u64;
                    prop_assert!(rates.take_at(now, &limit, address(7)).is_ok());
                    passed.push(now);
                }
            }
        }
        for (index, from) in passed.iter().enumerate() {
            for (more, to) in passed[index..].iter().enumerate() {
                let most = u64::from(burst) + (to - from) / limit.share;
                prop_assert!(more < most as usize, "{more} {most}");
            }
        }
    }
}
