//! Doors for the fuzz targets in `fuzz/`; nobody else's business.
#![allow(missing_docs)]

use stead_model::routing::{Route, RoutingTable, Target};

use crate::folder::{Ranges, parse_range};
use crate::router::{LONGEST_HOST, Router, clean_host};
use crate::{date, path};

/// A target that is accepted decodes to a path without a way up.
pub fn request_path(target: &[u8]) {
    let Ok(parts) = path::split(target) else {
        return;
    };
    let Ok(clean) = path::clean(parts.path) else {
        return;
    };
    assert_eq!(clean.bytes.first(), Some(&b'/'));
    assert!(!clean.bytes.contains(&0));
    let segments: Vec<&[u8]> = clean.bytes[1..].split(|&byte| byte == b'/').collect();
    for (index, segment) in segments.iter().enumerate() {
        assert!(!matches!(*segment, b"." | b".."));
        assert!(!segment.is_empty() || index == segments.len() - 1);
    }
    // What a redirect says of it leads to the same path, on the same host.
    let mut location = String::new();
    path::encode(&clean.bytes, &mut location);
    assert!(!location.starts_with("//") && location.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(path::clean(location.as_bytes()).is_ok_and(|again| again.bytes == clean.bytes));
}

/// Parts lie within the file, and together they are no more than it.
pub fn range_header(size: u64, value: &[u8]) {
    if let Ranges::Parts(parts) = parse_range(value, size) {
        assert!(!parts.is_empty());
        let mut total = 0_u64;
        for part in parts {
            assert!(part.length > 0);
            assert!(
                part.offset
                    .checked_add(part.length)
                    .is_some_and(|end| end <= size)
            );
            total = total.saturating_add(part.length);
        }
        assert!(total <= size);
    }
}

/// A date that is read is written and read again as the same.
pub fn http_date(now: i64, text: &[u8]) {
    if let Some(at) = date::parse(text, now) {
        assert_eq!(date::parse(&date::format(at), now), Some(at));
    }
}

/// A host that is accepted is clean already, and the router does not stumble over it.
pub fn router_host(router: &FuzzRouter, host: &[u8], path: &[u8]) {
    let mut buffer = [0; LONGEST_HOST];
    let mut again = [0; LONGEST_HOST];
    let clean = clean_host(host, &mut buffer);
    if let Some(clean) = clean {
        assert_eq!(clean_host(clean, &mut again), Some(clean));
    } else {
        assert!(router.0.find(host, path).is_none());
    }
    if let Some(entry) = router.0.find(host, path) {
        assert!(entry.prefix_length <= path.len());
    }
}

/// A router with every kind of host and path.
pub struct FuzzRouter(Router);

impl FuzzRouter {
    /// # Panics
    /// Never: the table is valid.
    #[allow(clippy::new_without_default, clippy::expect_used)]
    pub fn new() -> FuzzRouter {
        let route = |host: &str, path: String| Route {
            hosts: if host.is_empty() {
                Vec::new()
            } else {
                vec![host.to_owned()]
            },
            path,
            target: Target::Redirect {
                host: "elsewhere.example".into(),
            },
            body_limit: 0,
        };
        let mut routes: Vec<Route> = ["", "a.test", "*.test", "*.a.test", "[::1]", "127.0.0.1"]
            .iter()
            .flat_map(|host| [route(host, "/a".into()), route(host, "/a/b".into())])
            .collect();
        routes.extend((0..20).map(|number| route("many.test", format!("/{number}/a"))));
        let table = RoutingTable {
            routes,
            ..RoutingTable::default()
        };
        FuzzRouter(Router::new(&table).expect("the table is valid"))
    }
}

#[cfg(test)]
mod tests;
