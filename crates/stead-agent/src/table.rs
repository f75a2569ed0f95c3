//! From a release to the app's part of the routing table.

use std::time::Duration;

use stead_model::release::{Listen, ProcessSpec, Protocol, Release};
use stead_model::routing::{Address, Check, Instance, InstanceId, RoutingTable, Upstream};

/// How many requests may wait for a free thread, and for how long.
const QUEUE_LIMIT: u32 = 1024;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// Its routes, and these instances of each process.
pub(crate) fn of_release(
    release: &Release,
    instances: &dyn Fn(&str) -> Vec<(InstanceId, Address)>,
) -> RoutingTable {
    let mut table = RoutingTable {
        generation: 0,
        routes: release.routes.clone(),
        edge: release.edge.clone(),
        ..RoutingTable::default()
    };
    for (name, spec) in &release.processes {
        let Some(listen) = spec.listen else { continue };
        let instance = |(id, address)| Instance {
            id,
            address,
            capacity: spec.capacity.max(1),
        };
        let upstream = Upstream {
            app: release.app.clone(),
            process: name.clone(),
            release: release.number,
            protocol: protocol(listen),
            instances: instances(name).into_iter().map(instance).collect(),
            timeout: spec.timeout,
            timeouts: spec.timeouts,
            sticky: spec.sticky,
            check: spec.health.every.map(|every| Check {
                path: spec.health.path.clone(),
                host: health_host(release, spec),
                status: spec.health.status,
                every,
            }),
            queue_limit: QUEUE_LIMIT,
            queue_timeout: QUEUE_TIMEOUT,
        };
        table
            .upstreams
            .insert(format!("{}.{name}", release.app), upstream);
    }
    table
}

/// What an instance speaks.
pub(crate) fn protocol(listen: Listen) -> Protocol {
    match listen {
        Listen::Descriptor(protocol) | Listen::Path(protocol) | Listen::Port(protocol) => protocol,
    }
}

/// The Host header of a probe: what the process says, else the first name that visitors use.
pub(crate) fn health_host(release: &Release, spec: &ProcessSpec) -> String {
    if let Some(host) = &spec.health.host {
        return host.clone();
    }
    let names = release.routes.iter().flat_map(|route| &route.hosts);
    let mut plain = names.filter(|host| !host.starts_with('*'));
    plain.next().cloned().unwrap_or_else(|| "localhost".into())
}
