//! The webhook of the release that serves: its route, and the units that answer there.

use std::time::Duration;

use sha2::{Digest, Sha256};
use stead_model::host::EDGE_USER;
use stead_model::manifest::Webhook;
use stead_model::release::{Protocol, Release};
use stead_model::routing::{
    Address, Instance, InstanceId, Route, RoutingTable, Target, Timeouts, Upstream,
};
use stead_model::{units, webhook};

use super::App;
use crate::state::generate_secret;

/// Deliveries at the same time: as many as systemd starts programs for, and some that wait for them.
const CAPACITY: u32 = 8;
const WAITING: u32 = 64;
/// For an answer, which takes no longer than a look at a file.
const PATIENCE: Duration = Duration::from_secs(30);

impl App {
    /// Add where deliveries go.
    pub(super) fn route_webhook(&self, release: &Release, table: &mut RoutingTable) {
        let Some(wanted) = &release.webhook else {
            return;
        };
        let name = format!("{}.stead.webhook", self.name);
        let mut hosts: Vec<&Vec<String>> = Vec::new();
        let mut routes = Vec::new();
        for route in &release.routes {
            if !hosts.contains(&&route.hosts) {
                hosts.push(&route.hosts);
                routes.push(Route {
                    path: wanted.path.clone(),
                    target: Target::Upstream(name.clone()),
                    body_limit: webhook::LARGEST_BODY,
                    rules: None,
                    limit: None,
                    ..route.clone()
                });
            }
        }
        table.routes.retain(|route| route.path != wanted.path);
        table.routes.extend(routes);
        let run = self.shared.places.run.join(&self.name);
        let instance = Instance {
            id: instance_id(&self.name),
            address: Address::Unix(webhook::socket_path(&run)),
            capacity: CAPACITY,
        };
        let upstream = Upstream {
            app: self.name.clone(),
            process: "webhook".to_owned(),
            release: release.number,
            protocol: Protocol::Http,
            instances: vec![instance],
            timeout: PATIENCE,
            timeouts: Timeouts::default(),
            sticky: false,
            check: None,
            queue_limit: WAITING,
            queue_timeout: PATIENCE,
        };
        table.upstreams.insert(name, upstream);
    }

    /// Have the units of the release that serves, and no others.
    pub(super) async fn mind_the_webhook(&mut self) {
        let serving = self.desired.serving.as_ref().map(|wanted| wanted.release);
        let Some(key) = serving.filter(|key| self.observed.confirmed.release == Some(*key)) else {
            return;
        };
        if self.webhook_of == Some(key) {
            return;
        }
        let Some(generation) = self.generations.get(&key) else {
            return;
        };
        self.webhook_of = Some(key);
        let wanted = generation.release.webhook.clone();
        let [socket, service] = units::webhook_units(&self.name);
        let Some(wanted) = wanted else {
            if self.shared.places.unit(&socket).exists() {
                self.end_webhook().await;
            }
            return;
        };
        let written = self.write_webhook(&wanted, &socket, &service);
        let started = match written {
            Ok(()) => self
                .shared
                .systemd
                .start(&socket)
                .await
                .map_err(|refusal| refusal.0),
            Err(why) => Err(why),
        };
        if let Err(why) = started {
            self.remark(format!("its webhook does not listen: {why}"));
        }
    }

    fn write_webhook(&self, wanted: &Webhook, socket: &str, service: &str) -> Result<(), String> {
        let places = &self.shared.places;
        let failed = |error: std::io::Error| crate::spawn::io_text(&error);
        let dir = self.dir();
        let secret = dir.join("secrets").join(&wanted.secret);
        if !secret.exists() {
            generate_secret(&secret).map_err(failed)?;
        }
        let text = serde_json::to_string_pretty(wanted).map_err(|error| error.to_string())?;
        places
            .write_private(&dir.join(webhook::FILE), &text)
            .map_err(failed)?;
        places
            .write_unit(service, &units::webhook_service(&self.name))
            .map_err(failed)?;
        let path = webhook::socket_path(&places.run.join(&self.name));
        let text = units::webhook_socket(&self.name, &path, EDGE_USER);
        let text = text.map_err(|unfit| unfit.to_string())?;
        places.write_unit(socket, &text).map_err(failed)
    }

    /// No delivery is heard any more.
    pub(super) async fn end_webhook(&mut self) {
        self.webhook_of = None;
        let [socket, service] = units::webhook_units(&self.name);
        if let Err(refusal) = self.shared.systemd.stop(&socket).await {
            self.remark(format!("its webhook still listens: {refusal}"));
        }
        for unit in [&socket, &service] {
            let _ = std::fs::remove_file(self.shared.places.unit(unit));
        }
        for file in [
            webhook::FILE,
            "webhook.seen",
            "webhook.lock",
            "webhook.waits",
            "webhook.runs",
            "webhook.known_hosts",
        ] {
            let _ = std::fs::remove_file(self.dir().join(file));
        }
    }
}

/// What answers at the socket is no instance, and its number is none of theirs, which count up from 1; it is the same for as long as the app is.
fn instance_id(app: &str) -> InstanceId {
    let digest = Sha256::digest(app);
    let bytes = digest.iter().take(8);
    let number = bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    InstanceId(number | 1 << 63)
}
