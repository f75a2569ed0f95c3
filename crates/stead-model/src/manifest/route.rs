//! `[route]` and `[[route]]`: which visitors go where.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

mod places;
mod rules;

use places::Place;

use super::section::{Pair, Section, describe};
use super::{Process, Program, Route, keys, values};
use crate::config_error::{Problem, SourceFile, nearest};

/// Processes that a hint names.
const KNOWN_SHOWN: usize = 12;

/// Every route of the file in its order, each with where it was read.
pub(super) fn read<'a>(top: &Section<'a>) -> Vec<(Section<'a>, Route)> {
    let mut seen = Seen::default();
    let routes = sections(top)
        .into_iter()
        .map(|section| {
            let route = route(&section, &mut seen);
            (section, route)
        })
        .collect();
    check_loops(top.file, &seen.redirects);
    routes
}

/// What must not be said twice in one file.
#[derive(Default)]
struct Seen {
    routed: BTreeSet<Place>,
    /// From → to, and where.
    redirects: BTreeMap<String, (String, usize)>,
}

fn sections<'a>(top: &Section<'a>) -> Vec<Section<'a>> {
    let Some((at, value)) = top.value("route") else {
        return Vec::new();
    };
    let open = |table, at| Section::open(top.file, table, "route".to_owned(), at, &keys::ROUTE);
    match value.get_ref() {
        DeValue::Table(table) => vec![open(table, at)],
        DeValue::Array(list) => {
            let mut sections = Vec::new();
            for item in list.iter() {
                match item.get_ref().as_table() {
                    Some(table) => sections.push(open(table, item.span().start)),
                    None => not_a_route(
                        top,
                        item.span().start,
                        item.get_ref(),
                        top.given(item.span()),
                    ),
                }
            }
            sections
        }
        other => {
            not_a_route(top, value.span().start, other, top.given(value.span()));
            Vec::new()
        }
    }
}

fn not_a_route(top: &Section<'_>, at: usize, value: &DeValue<'_>, written: &str) {
    let message = format!(
        "invalid `route`: wanted a table, got {}",
        describe(value, written)
    );
    top.file.report(
        at,
        "route",
        message,
        Some("it is a table: `[route]`, or several `[[route]]`".into()),
    );
}

fn route(section: &Section<'_>, seen: &mut Seen) -> Route {
    let path = section.string("path", values::url_prefix);
    let path_known = path.is_some() || !section.has("path");
    let route = Route {
        hosts: section.strings("hosts", |text| values::host(text, true)),
        path: path.unwrap_or_else(|| "/".into()),
        process: section.string("process", |text| {
            values::name(text).map(|()| text.to_owned())
        }),
        static_folders: static_folders(section),
        body_limit: section.size("body-limit", "1B"),
        timeout: section.duration("timeout", "1ms", "1d"),
        idle_timeout: section.duration("idle-timeout", "1ms", "1d"),
        total_timeout: section.duration("total-timeout", "1ms", "1d"),
        redirects: redirects(section, &mut seen.redirects),
        redirect_status: rules::redirect_status(section),
        rewrite: section.string("rewrite", values::url_prefix),
        headers: rules::headers(section, "headers", values::response_header),
        remove_headers: section.strings("remove-headers", |name| {
            values::response_header(name).map(|()| name.to_owned())
        }),
        request_headers: rules::headers(section, "request-headers", values::request_header),
        remove_request_headers: section.strings("remove-request-headers", |name| {
            values::request_header(name).map(|()| name.to_owned())
        }),
        users: rules::users(section),
        users_file: section.string("users-file", values::file_of_route),
        pass_authorization: section.boolean("pass-authorization"),
        maintenance: rules::maintenance(section),
        maintenance_allow: rules::networks(section, "maintenance-allow"),
        errors: rules::errors(section),
        rate: section.string("rate", values::rate),
        burst: section.number("burst", 1, 1_000_000),
        compress: section.boolean("compress"),
        fallback: section.string("fallback", values::path_below),
        cache: rules::cache(section),
    };
    if section.has("burst") && !section.has_or_means("rate") {
        let hint = "for example: rate = \"10/s\"".to_owned();
        section.conflict("burst", "it is only of use with a `rate`", hint);
    }
    if section.has("pass-authorization")
        && !section.has_or_means("users")
        && !section.has_or_means("users-file")
    {
        let hint = "for example: users-file = \"/etc/shop/htpasswd\"".to_owned();
        section.conflict(
            "pass-authorization",
            "it is only of use with `users` or a `users-file`",
            hint,
        );
    }
    section.within_total(
        &[
            ("timeout", route.timeout),
            ("idle-timeout", route.idle_timeout),
        ],
        route.total_timeout,
    );
    rules::check(section);
    for prefix in route.static_folders.keys() {
        if route
            .redirects
            .get(prefix)
            .is_some_and(|to| !is_below(prefix, to))
        {
            section.conflict(
                "redirects",
                format!("`{prefix}` is sent elsewhere, and is a folder in `static`"),
                None,
            );
        }
    }
    if section.table.is_empty() {
        section.wrong(
            "`route` is empty".into(),
            Some("for example: hosts = [\"shop.example.com\"]".into()),
        );
    }
    let empty_list = section
        .value("hosts")
        .and_then(|(_, value)| value.get_ref().as_array());
    if empty_list.is_some_and(|list| list.is_empty()) {
        section.conflict(
            "hosts",
            "the list is empty",
            "leave `hosts` out: every host is meant then".to_owned(),
        );
    }
    if path_known {
        places::check(section, &route, &mut seen.routed);
    }
    route
}

/// Whether a redirect leads to a path below its own, and is meant for that one path alone.
pub(super) fn is_below(from: &str, to: &str) -> bool {
    let below = to.strip_prefix(from.trim_end_matches('/'));
    below.is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

fn static_folders(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut folders = BTreeMap::new();
    for Pair {
        key,
        key_at,
        value,
        value_at,
    } in section.pairs("static")
    {
        let prefix =
            values::url_prefix(key).map_err(|problem| section.invalid("static", key_at, problem));
        let folder = values::relative_path(value)
            .map_err(|problem| section.invalid("static", value_at, problem));
        let (Ok(prefix), Ok(folder)) = (prefix, folder) else {
            continue;
        };
        if folder == "." {
            let problem =
                Problem::new("the whole source would be served, with its configuration and code");
            section.invalid(
                "static",
                value_at,
                problem.hint("name the folder with the files for visitors"),
            );
        } else if folders.insert(prefix.clone(), folder).is_some() {
            section.invalid(
                "static",
                key_at,
                Problem::new(format!("`{prefix}` is there twice")),
            );
        }
    }
    folders
}

fn redirects(
    section: &Section<'_>,
    all: &mut BTreeMap<String, (String, usize)>,
) -> BTreeMap<String, String> {
    let mut own = BTreeMap::new();
    let mut paths = BTreeMap::new();
    for Pair {
        key,
        key_at,
        value,
        value_at,
    } in section.pairs("redirects")
    {
        // Hosts are the file's, paths are those of the route's hosts.
        let (from, to, seen) = match key.starts_with('/') {
            true => (
                values::url_prefix(key),
                values::destination(value),
                &mut paths,
            ),
            false => (
                values::host(key, false),
                values::host(value, false),
                &mut *all,
            ),
        };
        let from = from.map_err(|problem| section.invalid("redirects", key_at, problem));
        let to = to.map_err(|problem| section.invalid("redirects", value_at, problem));
        let (Ok(from), Ok(to)) = (from, to) else {
            continue;
        };
        match seen.insert(from.clone(), (to.clone(), key_at)) {
            Some(_) => section.invalid(
                "redirects",
                key_at,
                Problem::new(format!("`{from}` is redirected twice")),
            ),
            None => {
                own.insert(from, to);
            }
        }
    }
    check_loops(section.file, &paths);
    own
}

/// Report redirects that never end, at each of their links.
fn check_loops(file: &SourceFile<'_>, all: &BTreeMap<String, (String, usize)>) {
    for (from, (_, at)) in all {
        let mut chain = vec![from.as_str()];
        while let Some((next, _)) = chain.last().and_then(|host| all.get(*host)) {
            let known = chain.contains(&next.as_str());
            chain.push(next);
            if next == from {
                let path: Vec<String> = chain.iter().map(|host| format!("`{host}`")).collect();
                let message = format!(
                    "invalid `redirects` in `route`: they go round in a circle: {}",
                    path.join(" → ")
                );
                file.report(*at, "route.redirects", message, None);
            }
            if known {
                break;
            }
        }
    }
}

/// Routes that name a process must name one of the file, if it has any.
pub(super) fn check_processes(
    routes: &[(Section<'_>, Route)],
    processes: &BTreeMap<String, Process>,
) {
    if processes.is_empty() {
        return;
    }
    for (section, route) in routes {
        let process = route.process.as_deref().unwrap_or("web");
        let program = processes.get(process).map(|process| &process.program);
        let has_folder = matches!(program, Some(Program::Static(_)))
            || route.static_folders.contains_key(&route.path);
        if section.has("fallback") && !has_folder {
            section.conflict(
                "fallback",
                "no folder is served at the route's own path",
                "a `static` process, or `static = { \"/\" = \"dist\" }`".to_owned(),
            );
        }
        let named = section.value("process");
        let to = match &named {
            None => Some("web"),
            Some((_, value)) => value.get_ref().as_str(),
        };
        if let Some((name, process)) = to.and_then(|name| Some((name, processes.get(name)?))) {
            check_total(section, route, name, process);
        }
        let Some((_, value)) = named else {
            continue;
        };
        if route.static_folders.contains_key(&route.path) {
            let why = format!("all of `{}` is a folder in `static`", route.path);
            section.conflict("process", why, None);
        }
        let Some(name) = value.get_ref().as_str() else {
            continue;
        };
        let at = value.span().start;
        match processes.get(name) {
            Some(process) => {
                if !matches!(process.program, Program::Static(_)) {
                    continue;
                }
                if section.has("body-limit") {
                    section.conflict(
                        "body-limit",
                        "a `static` process takes no request body",
                        None,
                    );
                }
                for key in ["timeout", "idle-timeout", "total-timeout"] {
                    if section.has(key) {
                        section.conflict(key, "the files of a `static` process need no time", None);
                    }
                }
            }
            None if name == "web" => {}
            None => {
                let problem =
                    Problem::new(format!("there is no `process.{}`", super::shorten(name)));
                let hint = match nearest(name, processes.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => known(processes),
                };
                section.invalid("process", at, problem.hint(hint));
            }
        }
    }
}

/// The processes that a route may name, in the order of the alphabet.
fn known(processes: &BTreeMap<String, Process>) -> String {
    let shown = processes.keys().take(KNOWN_SHOWN);
    let shown: Vec<String> = shown.map(|name| format!("\"{name}\"")).collect();
    let more = match processes.len().saturating_sub(KNOWN_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("known here: {}{more}", shown.join(", "))
}

/// A route's own time that the whole answer's time of its process cuts short.
fn check_total(section: &Section<'_>, route: &Route, name: &str, process: &Process) {
    let Some(total) = process.total_timeout else {
        return;
    };
    if section.has("total-timeout") || matches!(process.program, Program::Static(_)) {
        return;
    }
    for (key, time) in [
        ("timeout", route.timeout),
        ("idle-timeout", route.idle_timeout),
    ] {
        if time.is_some_and(|time| time > total) {
            section.conflict(
                key,
                format!("it is longer than the `total-timeout` of `process.{name}`, which ends the answer first"),
                "give the route a longer `total-timeout` of its own".to_owned(),
            );
        }
    }
}
