//! What a routing table must be before it is swapped in. Messages are for a person.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use stead_model::routing::{Address, Moved, Route, RoutingTable, Target as ModelTarget};

use super::{Target, host};
use crate::folder::Folder;
use crate::response::check_header;
use crate::rules::check_moved;

/// `sun_path` of a unix socket's address, with its NUL.
const LONGEST_SOCKET_PATH: usize = 107;

/// Check every upstream; their positions by name.
pub(super) fn upstreams(table: &RoutingTable) -> Result<HashMap<&str, usize>, String> {
    let mut owners = HashMap::new();
    let mut positions = HashMap::with_capacity(table.upstreams.len());
    for (position, (name, upstream)) in table.upstreams.iter().enumerate() {
        if upstream.timeout.is_zero() {
            return Err(format!(
                "upstream `{name}` has a timeout of zero, so that every request would fail"
            ));
        }
        for instance in &upstream.instances {
            let id = instance.id.0;
            if let Some(owner) = owners.insert(id, name) {
                return Err(format!(
                    "instance {id} is twice in the table, in `{owner}` and in `{name}`"
                ));
            }
            if instance.capacity == 0 {
                return Err(format!(
                    "instance {id} of `{name}` has a capacity of zero requests"
                ));
            }
            address(&instance.address).map_err(|why| {
                format!("instance {id} of `{name}` listens at an address that cannot be: {why}")
            })?;
        }
        positions.insert(name.as_str(), position);
    }
    Ok(positions)
}

fn address(address: &Address) -> Result<(), String> {
    match address {
        Address::Unix(path) => {
            absolute(path)?;
            if path.as_os_str().len() > LONGEST_SOCKET_PATH {
                return Err(format!(
                    "`{}` is longer than the {LONGEST_SOCKET_PATH} bytes that a unix socket's path may have",
                    path.display()
                ));
            }
            Ok(())
        }
        Address::Tcp(address) => tcp(address),
    }
}

fn tcp(address: &SocketAddr) -> Result<(), String> {
    if address.port() == 0 {
        return Err(format!("`{address}` has no port"));
    }
    if address.ip().is_unspecified() {
        return Err(format!("`{address}` is no address to connect to"));
    }
    Ok(())
}

/// Whether a path leads from the root of the file system, without NUL.
fn absolute(path: &Path) -> Result<(), String> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(format!(
            "`{}` has a NUL byte",
            path.display().to_string().replace('\0', "\\0")
        ));
    }
    if !path.is_absolute() {
        return Err(format!("`{}` is not an absolute path", path.display()));
    }
    Ok(())
}

/// A route's path prefix, without the slash at its end: `` for `/`.
pub(crate) fn path(path: &str) -> Result<&str, String> {
    let refuse = |why: &str| {
        Err(format!(
            "the route path `{}` {why}",
            path.replace('\0', "\\0")
        ))
    };
    let prefix = path.strip_suffix('/').unwrap_or(path);
    if path.contains('\0') {
        return refuse("has a NUL byte");
    }
    if !path.starts_with('/') {
        return refuse("does not begin with a slash");
    }
    if path.contains("//") {
        return refuse("has two slashes in a row");
    }
    if path.contains(['?', '#']) {
        return refuse("has a query or a fragment, which routes do not look at");
    }
    if path.contains('\\') {
        return refuse("has a backslash");
    }
    if path.contains('%') {
        return refuse("has a percent sign; write the characters themselves");
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return refuse("has a dot segment");
    }
    Ok(prefix)
}

/// A route's hosts as they are looked up.
pub(super) fn hosts(route: &Route) -> Result<Vec<String>, String> {
    let clean = |host: &String| {
        host::of_route(host).map_err(|why| {
            format!(
                "the route host `{}` cannot be used: {why}",
                host.replace('\0', "\\0")
            )
        })
    };
    route.hosts.iter().map(clean).collect()
}

/// A route's target with names resolved.
pub(super) fn target(
    route: &Route,
    hosts: &[String],
    positions: &HashMap<&str, usize>,
) -> Result<Target, String> {
    let upstream = |name: &String| {
        positions.get(name.as_str()).copied().ok_or_else(|| {
            format!(
                "the route `{}` goes to the upstream `{name}`, which is not in the table",
                display(route)
            )
        })
    };
    match &route.target {
        ModelTarget::Upstream(name) => Ok(Target::Upstream(upstream(name)?)),
        ModelTarget::Folder(folder) => {
            absolute(&folder.root).map_err(|why| {
                format!(
                    "the folder of the route `{}` cannot be served: {why}",
                    display(route)
                )
            })?;
            for (_, value) in &folder.cache {
                check_header(b"cache-control", value.as_bytes()).map_err(|_| {
                    format!(
                        "what `{}` says to caches is no header's value",
                        display(route)
                    )
                })?;
            }
            let fallback = folder.fallback.as_ref().map(upstream).transpose()?;
            Ok(Target::Folder {
                folder: Box::new(
                    Folder::new(folder.root.clone(), fallback.is_some())
                        .with(folder.page.as_deref(), &folder.cache)
                        .compressed(folder.compress),
                ),
                fallback,
            })
        }
        ModelTarget::Moved(moved) => {
            check_moved(&route.path, moved)?;
            Ok(Target::Moved(Box::new(moved.clone())))
        }
        ModelTarget::Redirect { host, status } => {
            host::of_redirect(host).map_err(|why| {
                format!(
                    "the route `{}` redirects to `{}`, which cannot be: {why}",
                    display(route),
                    host.replace('\0', "\\0")
                )
            })?;
            if hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
                return Err(format!(
                    "the route `{}` redirects `{host}` to itself",
                    display(route)
                ));
            }
            let to = host.clone();
            check_moved(
                &route.path,
                &Moved {
                    to: "/".into(),
                    status: *status,
                },
            )?;
            Ok(Target::Redirect(to.into(), *status))
        }
    }
}

fn display(route: &Route) -> String {
    match route.hosts.first() {
        Some(host) => format!("{host}{}", route.path),
        None => route.path.clone(),
    }
}
