use super::super::attempts::{Asked, Kind};
use super::*;

const DIRECTORY: &str = "https://ca.example/directory";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn start() -> Timestamp {
    at("2026-11-01T00:00:00Z")
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

fn wanted(hosts: &[&str]) -> Wanted {
    Wanted {
        apps: vec![hosts.iter().map(|host| (*host).to_owned()).collect()],
        directory: DIRECTORY.to_owned(),
        dns: false,
        forced: BTreeSet::new(),
    }
}

fn stored(id: &str, names: &[&str], begins: Timestamp, life: SignedDuration) -> Stored {
    Stored {
        id: id.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        begins,
        ends: begins + life,
        directory: Some(DIRECTORY.to_owned()),
    }
}

fn hosts(plan: &Plan) -> Vec<Vec<&str>> {
    let orders = plan.orders.iter();
    orders
        .map(|order| order.hosts.iter().map(String::as_str).collect())
        .collect()
}

/// An authority that issues whatever is ordered, and a clock: what is planned is done until nothing is.
struct World {
    wanted: Wanted,
    stored: Vec<Stored>,
    attempts: Attempts,
    now: Timestamp,
    life: SignedDuration,
    issued: usize,
    /// Hosts that fail.
    broken: Vec<&'static str>,
    down: bool,
}

impl World {
    fn new(hosts: &[&str], life: SignedDuration) -> Self {
        Self {
            wanted: wanted(hosts),
            stored: Vec::new(),
            attempts: Attempts::default(),
            now: start(),
            life,
            issued: 0,
            broken: Vec::new(),
            down: false,
        }
    }

    /// What a program does that is started now.
    fn act(&mut self) -> Plan {
        loop {
            let plan = plan(&self.wanted, &self.stored, &self.attempts, self.now);
            if plan.orders.is_empty() {
                return plan;
            }
            for order in &plan.orders {
                self.carry_out(order);
            }
        }
    }

    fn carry_out(&mut self, order: &Order) {
        let mut good = Vec::new();
        for host in &order.hosts {
            let broken = self.broken.contains(&host.as_str());
            if broken || self.down {
                let kind = if broken {
                    Kind::Refused
                } else {
                    Kind::Unavailable
                };
                let why = (kind, "no");
                self.attempts
                    .failed(host, why, DIRECTORY, None, self.now, 0.5);
            } else {
                good.push(host.clone());
                self.attempts.failures.remove(host);
            }
        }
        if good.is_empty() {
            return;
        }
        self.attempts.asked.push(Asked {
            at: self.now,
            directory: DIRECTORY.to_owned(),
            names: good.clone(),
        });
        self.issued += 1;
        self.stored.push(Stored {
            id: format!("entry-{}", self.issued),
            names: good,
            begins: self.now - SignedDuration::from_hours(1),
            ends: self.now + self.life,
            directory: Some(DIRECTORY.to_owned()),
        });
    }

    /// Let time pass, acting when the plan says so and every six hours at the latest.
    fn live(&mut self, time: SignedDuration) {
        let end = self.now + time;
        while self.now < end {
            let plan = self.act();
            let longest = self.now + SignedDuration::from_hours(6);
            let wake = plan.wake.unwrap_or(longest).min(longest).min(end);
            self.now = wake.max(self.now + SignedDuration::from_secs(1));
        }
    }
}

#[test]
fn the_hosts_of_an_app_come_in_one_order_and_once() {
    let mut world = World::new(&["b.example.com", "a.example.com"], days(90));
    let first = plan(&world.wanted, &[], &Attempts::default(), start());
    assert_eq!(hosts(&first), [["a.example.com", "b.example.com"]]);
    for _ in 0..50 {
        world.act();
    }
    assert_eq!(world.issued, 1);
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life_whatever_its_length() {
    for (life, expected) in [(days(90), 60), (days(6), 4), (days(45), 30)] {
        let mut world = World::new(&["a.example.com"], life);
        world.act();
        let due = world.stored[0].due(None);
        let after = due.duration_since(start());
        assert!(
            after >= days(expected) - SignedDuration::from_hours(2),
            "{after}"
        );
        assert!(after < days(expected) + life / 20, "{after}");
        world.live(days(365));
        let most = 365 / expected + 1;
        assert!(world.issued as i64 <= most, "{} in a year", world.issued);
        let end = world.stored.iter().map(|stored| stored.ends).max().unwrap();
        assert!(end > world.now, "it has ended");
    }
}

#[test]
fn renewals_of_certificates_that_came_together_are_spread() {
    let dues: BTreeSet<Timestamp> = (0..100)
        .map(|number| stored(&format!("e{number}"), &["a.example"], start(), days(90)).due(None))
        .collect();
    let (first, last) = (dues.first().unwrap(), dues.last().unwrap());
    assert!(dues.len() > 90);
    assert!(last.duration_since(*first) > days(3));
}

#[test]
fn the_authority_may_say_when_to_renew() {
    let stored = stored("e", &["a.example.com"], start(), days(90));
    let window = Window {
        begins: start() + days(10),
        ends: start() + days(12),
        ask: start(),
    };
    let due = stored.due(Some(&window));
    assert!(due >= window.begins && due <= window.ends);
    // It takes certificates back: the window is in the past.
    let past = Window {
        begins: start() - days(3),
        ends: start() - days(2),
        ask: start(),
    };
    let mut attempts = Attempts::default();
    attempts.windows.insert("e".into(), past);
    let plan = plan(
        &wanted(&["a.example.com"]),
        &[stored],
        &attempts,
        start() + days(1),
    );
    assert_eq!(plan.orders[0].replaces.as_deref(), Some("e"));
}

#[test]
fn a_host_that_fails_holds_up_no_other() {
    let mut world = World::new(&["a.example.com", "b.example.com"], days(90));
    world.broken = vec!["b.example.com"];
    let plan = world.act();
    assert_eq!(world.issued, 1);
    assert_eq!(world.stored[0].names, ["a.example.com"]);
    assert_eq!(plan.waits["b.example.com"].why, "no");
    // When it works, it gets one of its own: the other needs none.
    world.broken.clear();
    world.live(days(2));
    assert_eq!(world.issued, 2);
    assert_eq!(world.stored[1].names, ["b.example.com"]);
}

#[test]
fn at_most_two_identical_certificates_a_week_whatever_is_lost() {
    // Every day, everything but what was tried is lost.
    let mut world = World::new(&["a.example.com"], days(90));
    for _ in 0..70 {
        world.stored.clear();
        world.live(days(1));
    }
    assert!(world.issued <= 20, "{} in ten weeks", world.issued);
    let asked: Vec<Timestamp> = world.attempts.asked.iter().map(|asked| asked.at).collect();
    for three in asked.windows(3) {
        assert!(three[2].duration_since(three[0]) >= WEEK);
    }
    // Every day, what was tried is lost, and somebody wants another.
    let mut world = World::new(&["a.example.com"], days(90));
    for _ in 0..70 {
        world.attempts = Attempts::default();
        world.wanted.forced.insert("a.example.com".into());
        let plan = plan(&world.wanted, &world.stored, &world.attempts, world.now);
        for order in &plan.orders {
            world.carry_out(order);
        }
        world.now += days(1);
    }
    assert!(world.issued <= 21, "{} in ten weeks", world.issued);
}

#[test]
fn a_host_is_not_in_ever_more_certificates_when_its_neighbours_change() {
    let mut world = World::new(&[], days(90));
    for day in 0..7 {
        world.stored.clear();
        let neighbour = format!("n{day}.example.com");
        world.wanted.apps = vec![vec!["a.example.com".into(), neighbour]];
        world.live(days(1));
    }
    let with = |asked: &&Asked| asked.names.iter().any(|name| name == "a.example.com");
    assert_eq!(world.attempts.asked.iter().filter(with).count(), SAME_HOST);
}

#[test]
fn an_authority_that_is_down_for_thirty_days_is_asked_seldom_and_the_old_certificate_stays() {
    let mut world = World::new(&["a.example.com"], days(90));
    world.live(days(50));
    world.down = true;
    let before = world.stored.clone();
    let mut tries = 0;
    let end = world.now + days(30);
    while world.now < end {
        let failed = world
            .attempts
            .failures
            .get("a.example.com")
            .map(|failure| failure.at);
        let plan = world.act();
        let now_failed = world
            .attempts
            .failures
            .get("a.example.com")
            .map(|failure| failure.at);
        tries += usize::from(failed != now_failed);
        world.now = plan
            .wake
            .unwrap_or(end)
            .max(world.now + SignedDuration::from_secs(1));
    }
    // It is due for twenty of the thirty days: once an hour, about.
    assert!(tries > 15 * 24 && tries < 25 * 24, "{tries} tries");
    assert_eq!(world.stored, before);
    assert!(world.stored[0].is_ending(world.now));
    assert!(world.stored[0].ends > world.now);
    world.down = false;
    world.live(days(1));
    assert_eq!(world.issued, 2);
}

#[test]
fn an_authority_that_limits_is_obeyed_across_restarts() {
    let mut attempts = Attempts::default();
    let hour = SignedDuration::from_hours(30);
    let limited = (Kind::Limited, "too many");
    attempts.failed(
        "a.example.com",
        limited,
        DIRECTORY,
        Some(hour),
        start(),
        0.0,
    );
    let text = serde_json::to_string(&attempts).unwrap();
    let attempts: Attempts = serde_json::from_str(&text).unwrap();
    let wanted = wanted(&["a.example.com"]);
    let early = plan(
        &wanted,
        &[],
        &attempts,
        start() + SignedDuration::from_hours(29),
    );
    assert!(early.orders.is_empty());
    assert_eq!(early.wake, Some(start() + hour));
    assert_eq!(
        plan(&wanted, &[], &attempts, start() + hour).orders.len(),
        1
    );
}

#[test]
fn a_clock_that_jumps_back_orders_nothing_and_forward_no_storm() {
    let mut world = World::new(&["a.example.com"], days(90));
    world.live(days(10));
    // A year back: nothing is valid yet, and nothing is due.
    world.now = start() - days(365);
    world.live(days(5));
    assert_eq!(world.issued, 1);
    // A year ahead: everything has ended. The authority's certificates begin by its own clock, which did not jump.
    world.now = start() + days(365);
    for _ in 0..500 {
        let plan = plan(&world.wanted, &world.stored, &world.attempts, world.now);
        for order in plan.orders {
            world.attempts.asked.push(Asked {
                at: world.now,
                directory: DIRECTORY.to_owned(),
                names: order.hosts.clone(),
            });
            world.issued += 1;
            world
                .stored
                .push(stored("late", &["a.example.com"], start(), days(90)));
        }
        world.now += SignedDuration::from_mins(10);
    }
    assert!(world.issued <= 1 + SAME_NAMES, "{}", world.issued);
}

#[test]
fn a_wait_ends_when_the_clock_is_set_back() {
    let mut attempts = Attempts::default();
    let refused = (Kind::Refused, "no");
    attempts.failed(
        "a.example.com",
        refused,
        DIRECTORY,
        None,
        start() + days(300),
        0.5,
    );
    let wanted = wanted(&["a.example.com"]);
    assert_eq!(plan(&wanted, &[], &attempts, start()).orders.len(), 1);
}

#[test]
fn a_wildcard_needs_records_and_is_for_the_hosts_below_it() {
    let mut wanted = wanted(&[
        "*.example.com",
        "a.example.com",
        "a.b.example.com",
        "example.com",
    ]);
    let without = plan(&wanted, &[], &Attempts::default(), start());
    assert!(without.waits["*.example.com"].why.contains("dns-program"));
    assert_eq!(
        hosts(&without),
        [["a.b.example.com", "a.example.com", "example.com"]]
    );
    wanted.dns = true;
    let with = plan(&wanted, &[], &Attempts::default(), start());
    assert_eq!(
        hosts(&with),
        [["*.example.com", "a.b.example.com", "example.com"]]
    );
    assert!(with.waits.is_empty());
}

#[test]
fn names_that_no_authority_knows_are_not_ordered() {
    let wanted = wanted(&["localhost", "shop.localhost", "intranet", "127.0.0.1"]);
    let plan = plan(&wanted, &[], &Attempts::default(), start());
    assert!(plan.orders.is_empty());
    assert_eq!(plan.waits.len(), 4);
    assert_eq!(plan.wake, None);
}

#[test]
fn more_than_a_hundred_hosts_are_several_orders() {
    let many: Vec<String> = (0..250)
        .map(|number| format!("h{number}.example.com"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let plan = plan(&wanted(&many), &[], &Attempts::default(), start());
    let sizes: Vec<usize> = plan.orders.iter().map(|order| order.hosts.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[test]
fn an_imported_certificate_is_left_alone_until_its_last_days() {
    let mut own = stored("own", &["a.example.com"], start(), days(90));
    own.directory = None;
    let wanted = wanted(&["a.example.com"]);
    let plan_at = |day| {
        plan(
            &wanted,
            std::slice::from_ref(&own),
            &Attempts::default(),
            start() + days(day),
        )
    };
    assert!(plan_at(80).orders.is_empty());
    assert!(own.is_ending(start() + days(80)));
    assert_eq!(plan_at(88).orders.len(), 1);
}

#[test]
fn certificates_of_another_authority_do_not_count() {
    let mut staging = stored("staging", &["a.example.com"], start(), days(90));
    staging.directory = Some("https://staging.example/directory".into());
    let plan = plan(
        &wanted(&["a.example.com"]),
        &[staging],
        &Attempts::default(),
        start(),
    );
    assert_eq!(plan.orders.len(), 1);
    assert_eq!(plan.orders[0].replaces, None);
}
