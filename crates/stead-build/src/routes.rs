//! The app's part of the routing table.

use std::path::Path;

use stead_model::manifest::{Manifest, Program, Route as Wanted};
use stead_model::routing::{Folder, Moved, RateLimit, Route, RouteTimeouts, Target};

mod rules;

/// Largest request body when the manifest says nothing.
const BODY_LIMIT: u64 = 100 * 1024 * 1024;

/// Routes for `manifest`, whose code is at `code`. Without a `[route]`, every host goes to `web`.
pub(crate) fn resolve(manifest: &Manifest, code: &Path) -> Vec<Route> {
    let everything = [Wanted {
        path: "/".into(),
        ..Wanted::default()
    }];
    let wanted = match manifest.route.as_slice() {
        [] if manifest.process.contains_key("web") => everything.as_slice(),
        given => given,
    };
    let tls = manifest.tls.of_routes(code);
    let mut routes: Vec<Route> = wanted
        .iter()
        .flat_map(|route| one(manifest, route, code))
        .collect();
    if manifest.acme.on_demand.is_some() {
        serve_every_host(&mut routes);
    }
    for route in &mut routes {
        route.tls.clone_from(&tls);
        if manifest.acme.on_demand.is_some() {
            route.tls.get_or_insert_default().on_demand = true;
        }
    }
    routes
}

/// Domains that nobody could list lead to the routes without hosts, or else to those of the first hosts.
fn serve_every_host(routes: &mut Vec<Route>) {
    let serves = |route: &&Route| !matches!(route.target, Target::Redirect { .. });
    if routes.iter().any(|route| route.hosts.is_empty()) {
        return;
    }
    let Some(first) = routes.iter().find(serves).map(|route| route.hosts.clone()) else {
        return;
    };
    let of_first = routes.iter().filter(serves);
    let others: Vec<Route> = of_first
        .filter(|route| route.hosts == first)
        .map(|route| Route {
            hosts: Vec::new(),
            ..route.clone()
        })
        .collect();
    routes.extend(others);
}

fn one(manifest: &Manifest, wanted: &Wanted, code: &Path) -> Vec<Route> {
    let body_limit = wanted.body_limit.unwrap_or(BODY_LIMIT);
    let path = match wanted.path.as_str() {
        "" => "/",
        path => path,
    };
    let rules = rules::of(wanted, code);
    // Who is sent elsewhere is let in there, or not.
    let headers = rules::headers(wanted, code);
    let limit = limit(manifest, wanted);
    let route = |hosts: Vec<String>, path: &str, target| Route {
        hosts,
        path: path.to_owned(),
        rules: match target {
            Target::Redirect { .. } | Target::Moved(_) => headers.clone(),
            Target::Upstream(_) | Target::Folder(_) => rules.clone(),
        },
        target,
        body_limit,
        tls: None,
        timeouts: RouteTimeouts {
            first: wanted.timeout,
            idle: wanted.idle_timeout,
            total: wanted.total_timeout,
        },
        limit: limit.clone(),
    };
    let status = wanted.redirect_status.unwrap_or(308);
    let redirects = || wanted.redirects.iter();
    let mut routes = Vec::new();
    for (from, to) in redirects().filter(|(from, _)| !from.starts_with('/')) {
        let host = to.clone();
        let target = Target::Redirect { host, status };
        routes.push(route(vec![from.clone()], "/", target));
    }
    // A host that is only sent elsewhere is not served here as well.
    let hosts: Vec<String> = wanted
        .hosts
        .iter()
        .filter(|host| !wanted.redirects.contains_key(*host))
        .cloned()
        .collect();
    if hosts.is_empty() && !wanted.hosts.is_empty() {
        return routes;
    }
    let prefixes = redirects()
        .filter(|(from, to)| from.starts_with('/') && !Wanted::is_for_one_path(from, to));
    for (from, to) in prefixes {
        let to = to.clone();
        let target = Target::Moved(Moved { to, status });
        routes.push(route(hosts.clone(), from, target));
    }
    let served = |folder: &String, page| Folder {
        root: code.join(folder),
        fallback: None,
        page,
        cache: wanted.cache.clone(),
        compress: wanted.compress.unwrap_or(true),
    };
    for (prefix, folder) in &wanted.static_folders {
        let page = wanted.fallback.clone().filter(|_| prefix == path);
        let target = Target::Folder(served(folder, page));
        routes.push(route(hosts.clone(), prefix, target));
    }
    let process = wanted.process.as_deref().unwrap_or("web");
    let program = manifest
        .process
        .get(process)
        .map(|process| &process.program);
    // All of it is sent elsewhere, or is a folder.
    let is_taken = routes
        .iter()
        .any(|route| route.path == path && !matches!(route.target, Target::Redirect { .. }));
    let target = match program {
        _ if is_taken => None,
        Some(Program::Static(folder)) => {
            Some(Target::Folder(served(folder, wanted.fallback.clone())))
        }
        Some(_) => Some(Target::Upstream(format!("{}.{process}", manifest.app))),
        // A route may serve folders and redirects only.
        None => None,
    };
    routes.extend(target.map(|target| route(hosts, path, target)));
    routes
}

/// All that comes of one route counts together, files too.
fn limit(manifest: &Manifest, wanted: &Wanted) -> Option<RateLimit> {
    let rate = wanted.rate?;
    let hosts = wanted.hosts.join(",");
    Some(RateLimit {
        name: format!("{} {hosts}{}", manifest.app, wanted.path),
        rate,
        burst: wanted.burst.unwrap_or(rate.count),
    })
}
