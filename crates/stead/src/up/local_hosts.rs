//! Host names for visitors of this machine.
//!
//! A route of `shop.example.com` must answer at `http://localhost:8000` too, or nobody could try
//! the app before its name points here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use stead_model::manifest::{Manifest, Route as ManifestRoute};
use stead_model::release::Protocol;
use stead_model::routing::{Maintenance, Route, RoutingTable, Rules, Target, Upstream};

/// How many visitors may wait for the first instance, and how long.
const WAITING_VISITORS: u32 = 1024;
const WAITING_TIME: Duration = Duration::from_secs(30);

/// Give the routes of a release their local names: those of the first set of hosts also answer
/// at `localhost` and the like, every set at its names with `.localhost` behind them
/// (`api.example.com.localhost`). Redirects do not apply to local names.
pub(super) fn add(routes: &mut Vec<Route>, listen_host: &str) {
    // With a path that every host has, the local names of another route must not shadow it.
    let everywhere = |path: &str, routes: &[Route]| {
        routes
            .iter()
            .any(|route| route.hosts.is_empty() && route.path == path)
    };
    let first = routes
        .iter()
        .filter(|route| !matches!(route.target, Target::Redirect { .. }))
        .find(|route| !route.hosts.is_empty())
        .map(|route| route.hosts.clone());
    let Some(first) = first else { return };
    let mut taken: BTreeSet<(String, String)> = routes
        .iter()
        .flat_map(|route| {
            route
                .hosts
                .iter()
                .map(|host| (host.clone(), route.path.clone()))
        })
        .collect();
    let (local, any_host) = local_names(listen_host);
    let before = routes.clone();
    for route in routes.iter_mut() {
        if route.hosts.is_empty() || matches!(route.target, Target::Redirect { .. }) {
            continue;
        }
        let mut names: Vec<String> = route
            .hosts
            .iter()
            .filter(|host| !host.ends_with(".localhost"))
            .map(|host| format!("{host}.localhost"))
            .collect();
        if route.hosts == first && !everywhere(&route.path, &before) {
            names.extend(local.iter().cloned());
        }
        names.retain(|name| taken.insert((name.clone(), route.path.clone())));
        route.hosts.extend(names);
    }
    if any_host {
        let others: Vec<Route> = before
            .iter()
            .filter(|route| route.hosts == first && !everywhere(&route.path, &before))
            .filter(|route| !matches!(route.target, Target::Redirect { .. }))
            .map(|route| Route {
                hosts: Vec::new(),
                ..route.clone()
            })
            .collect();
        routes.extend(others);
    }
}

/// The names of this machine for its own users, and whether visitors may use any other
/// (listening on every address, it has names that nobody can list).
fn local_names(listen_host: &str) -> (Vec<String>, bool) {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "[::1]", "*.localhost"]
        .map(str::to_owned)
        .into();
    let bare = listen_host.trim_start_matches('[').trim_end_matches(']');
    let own = match bare.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => return (names, true),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Err(_) => bare.to_ascii_lowercase(),
    };
    if !names.contains(&own) {
        names.push(own);
    }
    (names, false)
}

/// The table before the first release serves: visitors wait in the queue. It knows no routes yet; so where some of
/// them decide who may come in, or what the app gets to see, everybody is asked to come back later.
pub(super) fn waiting_room(manifest: &Manifest, root: &std::path::Path) -> RoutingTable {
    let name = format!("{}.web", manifest.app);
    let decides = |route: &ManifestRoute| {
        !route.users.is_empty()
            || route.users_file.is_some()
            || route.maintenance.is_some()
            || route.rewrite.is_some()
            || !route.request_headers.is_empty()
            || !route.remove_request_headers.is_empty()
    };
    let closed = manifest.route.iter().any(decides).then(|| {
        Box::new(Rules {
            maintenance: Some(Maintenance {
                file: None,
                allow: Vec::new(),
            }),
            ..Rules::default()
        })
    });
    RoutingTable {
        generation: 0,
        routes: vec![Route {
            hosts: Vec::new(),
            path: "/".to_owned(),
            target: Target::Upstream(name.clone()),
            body_limit: 100 * 1024 * 1024,
            timeouts: stead_model::routing::RouteTimeouts::default(),
            rules: closed,
            limit: None,
            tls: manifest.tls.of_routes(root),
        }],
        edge: manifest.edge.clone(),
        upstreams: BTreeMap::from([(
            name,
            Upstream {
                app: manifest.app.clone(),
                process: "web".to_owned(),
                release: 0,
                protocol: Protocol::Http,
                instances: Vec::new(),
                timeout: WAITING_TIME,
                timeouts: stead_model::routing::Timeouts::default(),
                sticky: false,
                check: None,
                queue_limit: WAITING_VISITORS,
                queue_timeout: WAITING_TIME,
            },
        )]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(hosts: &[&str], path: &str, upstream: &str) -> Route {
        Route {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            path: path.to_owned(),
            target: Target::Upstream(upstream.to_owned()),
            body_limit: 1,
            timeouts: stead_model::routing::RouteTimeouts::default(),
            rules: None,
            limit: None,
            tls: None,
        }
    }

    fn answers<'r>(routes: &'r [Route], host: &str, path: &str) -> Option<&'r Route> {
        let mut found = routes
            .iter()
            .filter(|route| route.path == path && route.hosts.iter().any(|name| name == host));
        let answer = found.next();
        assert!(found.next().is_none(), "two routes for {host}{path}");
        answer
    }

    #[test]
    fn the_first_set_of_hosts_answers_at_localhost() {
        let mut routes = vec![
            route(&["shop.example.com"], "/static", "files"),
            route(&["shop.example.com"], "/", "shop.web"),
            route(&["api.example.com"], "/", "shop.api"),
        ];
        add(&mut routes, "127.0.0.1");
        for host in [
            "localhost",
            "127.0.0.1",
            "*.localhost",
            "shop.example.com.localhost",
        ] {
            assert_eq!(answers(&routes, host, "/"), Some(&routes[1]), "{host}");
        }
        assert_eq!(answers(&routes, "localhost", "/static"), Some(&routes[0]));
        assert_eq!(
            answers(&routes, "api.example.com.localhost", "/"),
            Some(&routes[2])
        );
    }

    #[test]
    fn nobody_waits_for_the_first_release_where_a_route_decides_who_may_come_in() {
        let closed = |text: &str| {
            let manifest = Manifest::parse(text, "stead.toml").unwrap();
            waiting_room(&manifest, std::path::Path::new("/srv/shop")).routes[0]
                .rules
                .is_some()
        };
        assert!(!closed("[route]\nheaders = { X-A = \"1\" }\n"));
        for line in [
            "maintenance = true",
            "rewrite = \"/\"",
            "request-headers = { X-A = \"1\" }",
        ] {
            assert!(
                closed(&format!("[route]\npath = \"/a\"\n{line}\n")),
                "{line}"
            );
        }
    }

    #[test]
    fn redirects_do_not_apply_to_local_names() {
        let mut redirect = route(&["www.example.com"], "/", "");
        redirect.target = Target::Redirect {
            host: "example.com".to_owned(),
            status: 308,
        };
        let mut routes = vec![redirect.clone(), route(&["example.com"], "/", "web")];
        add(&mut routes, "192.0.2.1");
        assert_eq!(routes[0], redirect);
        assert_eq!(answers(&routes, "192.0.2.1", "/"), Some(&routes[1]));
    }

    #[test]
    fn a_route_of_every_host_keeps_localhost() {
        let mut routes = vec![
            route(&["api.example.com"], "/", "api"),
            route(&[], "/", "web"),
        ];
        add(&mut routes, "127.0.0.1");
        assert_eq!(answers(&routes, "localhost", "/"), None);
        assert_eq!(
            answers(&routes, "api.example.com.localhost", "/"),
            Some(&routes[0])
        );
    }

    #[test]
    fn listening_everywhere_the_first_set_answers_every_name() {
        let mut routes = vec![route(&["example.com"], "/", "web")];
        add(&mut routes, "0.0.0.0");
        assert_eq!(routes[1], route(&[], "/", "web"));
    }
}
