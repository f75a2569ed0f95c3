use stead_model::routing::{Folder, Route, RouteTimeouts, Target};

use super::*;

fn route(hosts: &[&str], path: &str) -> Route {
    Route {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        path: path.to_owned(),
        target: Target::Folder(Folder::default()),
        body_limit: 1,
        timeouts: RouteTimeouts::default(),
        rules: None,
        limit: None,
        tls: None,
    }
}

fn part(routes: Vec<Route>) -> RoutingTable {
    RoutingTable {
        routes,
        ..RoutingTable::default()
    }
}

#[test]
fn a_table_has_the_routes_of_all_apps() {
    let parts = BTreeMap::from([
        ("a".to_owned(), part(vec![route(&["a.example"], "/")])),
        (
            "b".to_owned(),
            part(vec![
                route(&["b.example"], "/"),
                route(&["b.example"], "/x"),
            ]),
        ),
    ]);
    assert_eq!(merge(&parts).routes.len(), 3);
}

#[test]
fn two_apps_cannot_have_the_same_host_and_path() {
    let parts = BTreeMap::from([(
        "a".to_owned(),
        part(vec![route(&["x.example", "y.example"], "/")]),
    )]);
    let same = part(vec![route(&["y.example"], "/")]);
    assert_eq!(
        conflict(&parts, "b", &same),
        Some(("y.example".to_owned(), "a".to_owned()))
    );
    // Its own routes are in nobody's way, nor is another path, nor every host beside a named one.
    assert_eq!(conflict(&parts, "a", &same), None);
    assert_eq!(
        conflict(&parts, "b", &part(vec![route(&["y.example"], "/b")])),
        None
    );
    assert_eq!(conflict(&parts, "b", &part(vec![route(&[], "/")])), None);
}

#[test]
fn every_host_can_lead_to_one_app_only() {
    let parts = BTreeMap::from([("a".to_owned(), part(vec![route(&[], "/")]))]);
    let found = conflict(&parts, "b", &part(vec![route(&[], "/")]));
    assert_eq!(found, Some(("every host".to_owned(), "a".to_owned())));
}
