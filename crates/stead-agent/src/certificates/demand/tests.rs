use super::super::attempts::{Asked, Kind};
use super::*;

const RATE: Rate = Rate {
    count: 20,
    per: Duration::from_secs(3600),
};

fn now() -> Timestamp {
    "2026-11-01T12:00:00Z".parse().unwrap()
}

fn ask(host: &str, attempts: &Attempts, at: Timestamp) -> Judgement {
    judge(host, &["shop.example.com".into()], RATE, &[], attempts, at)
}

fn asked(names: &[&str], at: Timestamp) -> Asked {
    Asked {
        at,
        directory: "https://ca".into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn stored(name: &str, ends: Timestamp) -> Stored {
    Stored {
        id: name.to_owned(),
        names: vec![name.to_owned()],
        begins: ends - SignedDuration::from_hours(2160),
        ends,
        directory: Some("https://ca".into()),
    }
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

#[test]
fn names_of_the_public_dns_may_be_asked_for_and_nothing_else() {
    for (host, domain) in [
        ("customer.com", "customer.com"),
        ("www.customer.co.uk", "customer.co.uk"),
        ("a.b.customer.org", "customer.org"),
        ("shop.xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
    ] {
        assert_eq!(registered(host), Some(domain), "{host}");
        assert_eq!(ask(host, &Attempts::default(), now()), Judgement::Ask);
    }
    let long = format!("{}.com", "a.".repeat(130));
    let label = format!("{}.com", "a".repeat(64));
    for host in [
        "localhost",
        "db",
        "printer.local",
        "db.internal",
        "a.test",
        "a.invalid",
        "x.onion",
        "1.0.0.127.in-addr.arpa",
        "x.home.arpa",
        "co.uk",
        "com",
        "127.0.0.1",
        "192.0.2.1",
        "[::1]",
        "2001:db8::1",
        "a_b.com",
        "-a.com",
        "a-.com",
        "a..com",
        ".com",
        "a.com.",
        "A.com",
        "a b.com",
        "a/../b.com",
        "a%00.com",
        "b\u{fc}cher.com",
        "*.customer.com",
        "",
        &long,
        &label,
        "shop.example.com",
    ] {
        let judged = ask(host, &Attempts::default(), now());
        assert!(matches!(judged, Judgement::Refuse { .. }), "{host}");
    }
}

#[test]
fn no_more_are_ordered_than_the_rate_allows_and_no_registered_domain_takes_them_all() {
    let mut attempts = Attempts::default();
    for number in 0..RATE.count {
        let host = format!("c{number}.com");
        assert_eq!(ask(&host, &attempts, now()), Judgement::Ask, "{number}");
        let at = now() - minutes(i64::from(number));
        // Every other one comes to nothing, which counts as well.
        match number % 2 {
            0 => attempts.asked.push(asked(&[&host], at)),
            _ => attempts.failed(&host, (Kind::Refused, "no"), "https://ca", None, at, 0.5),
        }
    }
    let Judgement::Refuse { within, why } = ask("next.com", &attempts, now()) else {
        panic!("one too many");
    };
    // The oldest one is 19 minutes old.
    assert_eq!(within, Duration::from_secs(41 * 60));
    assert!(why.unwrap().contains("as many as `rate` allows"));
    assert_eq!(
        ask("next.com", &attempts, now() + minutes(41)),
        Judgement::Ask
    );

    let mut attempts = Attempts::default();
    for number in 0..SAME_DOMAIN {
        let host = format!("n{number}.evil.co.uk");
        assert_eq!(ask(&host, &attempts, now()), Judgement::Ask);
        attempts.asked.push(asked(&[&host], now()));
    }
    let judged = ask("more.evil.co.uk", &attempts, now());
    assert!(matches!(judged, Judgement::Refuse { .. }), "{judged:?}");
    assert_eq!(ask("good.co.uk", &attempts, now()), Judgement::Ask);
    // Those of the routes have limits of their own.
    let mut own = Attempts::default();
    own.asked = vec![asked(&["shop.example.com"], now()); 100];
    assert_eq!(ask("good.co.uk", &own, now()), Judgement::Ask);
}

#[test]
fn one_that_failed_waits_as_every_host_does() {
    let mut attempts = Attempts::default();
    let refused = (Kind::Refused, "no");
    attempts.failed("customer.com", refused, "https://ca", None, now(), 0.5);
    let judged = ask("customer.com", &attempts, now() + minutes(5));
    let within = Duration::from_secs(15 * 60);
    assert_eq!(judged, Judgement::Refuse { within, why: None });
    assert_eq!(
        ask("customer.com", &attempts, now() + minutes(21)),
        Judgement::Ask
    );
}

#[test]
fn the_stored_certificates_are_the_list_until_they_have_ended_for_a_week() {
    let own = ["shop.example.com".to_owned()];
    let week = SignedDuration::from_hours(7 * 24);
    let mut both = stored("two.com", now());
    both.names.push("three.com".into());
    let mut imported = stored("imported.com", now());
    imported.directory = None;
    let all = [
        stored("customer.com", now() + week),
        stored("customer.com", now() - minutes(1)),
        stored("late.com", now() - week + minutes(1)),
        stored("gone.com", now() - week),
        stored("shop.example.com", now() + week),
        both,
        imported,
    ];
    let listed: Vec<&str> = names(&own, &all, now()).collect();
    assert_eq!(listed, ["customer.com", "late.com"]);
    let forgotten = all.iter().filter(|one| is_forgotten(one, &own, now()));
    let forgotten: Vec<&str> = forgotten.map(|one| one.id.as_str()).collect();
    assert_eq!(forgotten, ["gone.com"]);
}

#[test]
fn ten_thousand_are_enough_and_failures_are_not_kept_without_end() {
    let all: Vec<Stored> = (0..MOST)
        .map(|number| stored(&format!("c{number}.com"), now() + minutes(1)))
        .collect();
    let judged = judge("next.com", &[], RATE, &all, &Attempts::default(), now());
    assert!(matches!(judged, Judgement::Refuse { why: Some(_), .. }));
    let mut attempts = Attempts::default();
    for number in 0..MOST_FAILURES * 2 {
        let at = now() - minutes(number as i64);
        let host = format!("f{number}.com");
        attempts.failed(&host, (Kind::NotHere, "no"), "https://ca", None, at, 0.5);
    }
    let kept = remembered(&[], &attempts, now());
    assert_eq!(kept.len(), MOST_FAILURES);
    assert_eq!(kept[0], "f0.com");
    assert!(remembered(&[], &attempts, now() + REMEMBERED).is_empty());
}
