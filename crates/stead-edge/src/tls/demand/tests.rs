use std::cell::Cell;
use std::sync::Arc;

use super::*;

fn visitor(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

#[test]
fn the_agent_is_told_once_of_a_name_and_again_when_nothing_came_of_it() {
    let demand = Demand::new().unwrap();
    let now = Instant::now();
    assert_eq!(demand.want("a.example", now), Wish::New);
    assert_eq!(demand.want("a.example", now), Wish::Known);
    assert_eq!(demand.want("b.example", now), Wish::New);
    assert_eq!(demand.want("a.example", now + AGAIN), Wish::New);
}

#[test]
fn a_refusal_is_remembered_for_its_time_and_no_longer_than_an_hour() {
    let demand = Demand::new().unwrap();
    demand.refuse("a.example", Duration::MAX / 4);
    let now = Instant::now();
    assert_eq!(demand.want("a.example", now), Wish::Refused);
    assert_eq!(demand.want("a.example", now + LONGEST), Wish::New);
}

#[test]
fn names_that_nobody_can_count_do_not_grow_the_table() {
    let demand = Demand::new().unwrap();
    let now = Instant::now();
    for number in 0..MOST_NAMES * 2 {
        let wish = demand.want(&format!("n{number}.example"), now);
        assert_eq!(wish == Wish::New, number < MOST_NAMES);
    }
    demand.refuse("other.example", AGAIN);
    assert_eq!(demand.names.lock().unwrap().len(), MOST_NAMES);
    // What is over makes room.
    assert_eq!(demand.want("late.example", now + 2 * AGAIN), Wish::New);
    assert_eq!(demand.names.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_let_go_by_a_certificate_a_refusal_or_the_time() {
    let demand = Arc::new(Demand::new().unwrap());
    let rates = Rates::default();
    let told = Cell::new(0);
    let tell = || told.set(told.get() + 1);
    let never = demand.wait("a.example", (&rates, visitor(1)), tell, || false);
    assert!(!never.await);
    assert_eq!(told.get(), 1);

    let refusing = Arc::clone(&demand);
    let waiting = demand.wait("b.example", (&rates, visitor(1)), tell, || false);
    let (came, ()) = tokio::join!(waiting, async {
        tokio::task::yield_now().await;
        refusing.refuse("b.example", AGAIN);
    });
    assert!(!came);

    let there = Cell::new(false);
    let waiting = demand.wait("c.example", (&rates, visitor(1)), tell, || there.get());
    let (came, ()) = tokio::join!(waiting, async {
        tokio::task::yield_now().await;
        there.set(true);
        demand.look(|host| host == "c.example");
    });
    assert!(came);
    assert_eq!(demand.waiting.load(Ordering::Acquire), 0);
}

#[tokio::test(start_paused = true)]
async fn one_address_cannot_hold_all_places_and_what_is_no_name_has_none() {
    let demand = Demand::new().unwrap();
    let rates = Rates::default();
    let wait =
        |host: &'static str, number| demand.wait(host, (&rates, visitor(number)), || {}, || true);
    for _ in 0..RATE.count {
        assert!(wait("a.example", 1).await);
    }
    assert!(!wait("a.example", 1).await);
    assert!(wait("a.example", 2).await);
    let long: &'static str = String::leak(format!("{}.example", "a".repeat(250)));
    for host in ["localhost", "", "a..example", ".example", "example.", long] {
        assert!(!wait(host, 3).await, "{host}");
    }
    let all: Vec<_> = (0..MOST_WAITING).map(|_| demand.enter().unwrap()).collect();
    assert!(!wait("a.example", 4).await);
    drop(all);
    assert!(wait("a.example", 4).await);
}
