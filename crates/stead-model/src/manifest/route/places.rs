//! Where a route answers: no host has two routes for one path.

use std::collections::{BTreeMap, BTreeSet};

use super::{Route, Section};

/// Host (`*`: every one) and path.
pub(super) type Place = (String, String);

/// Report what this route is for and an earlier one is, too: the edge would refuse such a table.
pub(super) fn check(section: &Section<'_>, route: &Route, routed: &mut BTreeSet<Place>) {
    for ((host, path), key) in of(section, route) {
        let shown = if host == "*" { "every host" } else { &host };
        let message = format!("`{shown}` with the path `{path}` is routed twice");
        if !routed.insert((host, path)) {
            section.conflict(key, message, None);
        }
    }
}

/// The places of a route, each with the key that says it.
fn of(section: &Section<'_>, route: &Route) -> BTreeMap<Place, &'static str> {
    let mut places = BTreeMap::new();
    for from in route.redirects.keys().filter(|from| !from.starts_with('/')) {
        places.insert((from.clone(), "/".to_owned()), "redirects");
    }
    let key = match section.has("hosts") {
        true => "hosts",
        false => "path",
    };
    let every = [String::from("*")];
    let hosts = match section.has("hosts") {
        true => route.hosts.as_slice(),
        false => &every,
    };
    let moved = route.redirects.iter();
    let moved = moved
        .filter(|(from, to)| from.starts_with('/') && !Route::is_for_one_path(from, to))
        .map(|(from, _)| (from, "redirects"));
    let folders = route.static_folders.keys().map(|prefix| (prefix, "static"));
    let paths = folders.chain(moved).chain([(&route.path, key)]);
    let paths: Vec<_> = paths.collect();
    // A host that is only sent elsewhere is not served here as well.
    for host in hosts
        .iter()
        .filter(|host| !route.redirects.contains_key(*host))
    {
        for (path, key) in &paths {
            places.insert((host.clone(), (*path).clone()), *key);
        }
    }
    places
}
