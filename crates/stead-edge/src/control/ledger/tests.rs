use std::time::Duration;

use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId, RoutingTable, Upstream};

use super::Ledger;

const NEW: u32 = 20;
const OLD: u32 = 10;

fn id(number: u64) -> InstanceId {
    InstanceId(number)
}

fn table(ids: &[u64]) -> RoutingTable {
    let instance = |number: &u64| Instance {
        id: id(*number),
        address: Address::Unix("/run/a.sock".into()),
        capacity: 1,
    };
    let upstream = Upstream {
        app: "shop".into(),
        process: "web".into(),
        release: 1,
        protocol: Protocol::Http,
        instances: ids.iter().map(instance).collect(),
        timeout: Duration::from_secs(1),
        queue_limit: 1,
        queue_timeout: Duration::from_secs(1),
        timeouts: Default::default(),
        check: None,
        sticky: Default::default(),
    };
    RoutingTable {
        upstreams: [("shop.web".to_owned(), upstream)].into(),
        ..RoutingTable::default()
    }
}

#[test]
fn an_instance_is_drained_when_the_last_of_two_edges_says_so() {
    for order in [[OLD, NEW], [NEW, OLD]] {
        let mut ledger = Ledger::default();
        ledger.hold(OLD, [id(1)]);
        ledger.hold(NEW, [id(1), id(2)]);
        let _ = ledger.table(&table(&[2]));
        assert_eq!(ledger.leaving(), [id(1)]);
        assert!(!ledger.drained(order[0], id(1)));
        assert!(ledger.drained(order[1], id(1)));
        assert_eq!(ledger.leaving(), []);
    }
}

#[test]
fn the_end_of_an_edge_frees_what_nobody_else_holds() {
    let mut ledger = Ledger::default();
    ledger.hold(OLD, [id(1), id(2), id(3)]);
    ledger.hold(NEW, [id(2), id(3)]);
    let _ = ledger.table(&table(&[3]));
    assert_eq!(ledger.gone(OLD), [id(1)]);
    assert_eq!(ledger.gone(OLD), []);
    assert!(ledger.drained(NEW, id(2)));
}

#[test]
fn an_instance_of_the_table_is_never_drained() {
    let mut ledger = Ledger::default();
    ledger.hold(OLD, [id(1)]);
    let _ = ledger.table(&table(&[1]));
    assert!(!ledger.drained(OLD, id(1)));
    assert_eq!(ledger.gone(OLD), []);
}

#[test]
fn an_edge_that_did_not_take_a_table_holds_everything_until_it_ends() {
    let mut ledger = Ledger::default();
    ledger.hold(OLD, [id(1)]);
    ledger.hold(NEW, [id(1)]);
    ledger.pin(OLD);
    let _ = ledger.table(&table(&[]));
    assert!(!ledger.drained(NEW, id(1)));
    assert!(!ledger.drained(OLD, id(1)));
    assert_eq!(ledger.gone(OLD), [id(1)]);
}

#[test]
fn an_instance_that_comes_back_into_the_table_is_held_again() {
    let mut ledger = Ledger::default();
    ledger.hold(NEW, [id(1)]);
    let _ = ledger.table(&table(&[]));
    let _ = ledger.table(&table(&[1]));
    ledger.hold(NEW, [id(1)]);
    assert!(!ledger.drained(NEW, id(1)));
    ledger.hold(NEW, [id(1)]);
    let _ = ledger.table(&table(&[]));
    assert!(ledger.drained(NEW, id(1)));
}

#[test]
fn what_nobody_held_is_not_reported() {
    let mut ledger = Ledger::default();
    assert!(!ledger.drained(OLD, id(1)));
    ledger.hold(OLD, [id(2)]);
    assert!(!ledger.drained(OLD, id(1)));
}

#[test]
fn an_instance_that_was_drained_before_its_table_was_confirmed_is_reported_with_it() {
    let mut ledger = Ledger::default();
    let _ = ledger.table(&table(&[1, 2]));
    ledger.hold(NEW, [id(1), id(2)]);
    assert!(!ledger.drained(NEW, id(1)));
    assert_eq!(ledger.table(&table(&[2])), [id(1)]);
    assert_eq!(ledger.table(&table(&[])), []);
    assert!(ledger.drained(NEW, id(2)));
}
