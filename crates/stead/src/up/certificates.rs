//! Certificates for the hosts of the app that is served to the world.

use std::collections::BTreeMap;
use std::path::Path;

use stead_agent::Report;
use stead_agent::certificates::{CertificateWish, Certificates, keep_certificates};
use stead_model::manifest::Manifest;
use stead_model::messages::{EdgeCommand, EdgeEvent};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::local_tls;
use crate::problem::Problem;

/// There is one app, whatever it is called at the moment.
const APP: &str = "app";

/// The program's side of what keeps certificates.
#[derive(Debug)]
pub(super) struct Keeping {
    wanted: UnboundedSender<(String, Option<CertificateWish>)>,
    events: UnboundedSender<EdgeEvent>,
}

impl Keeping {
    /// Begin, on the runtime of the caller.
    pub(super) fn start(
        state: &Path,
        edge: UnboundedSender<EdgeCommand>,
        reports: UnboundedSender<Report>,
        http_port: u16,
    ) -> Self {
        let (wanted, wishes) = unbounded_channel();
        let (events, edge_events) = unbounded_channel();
        tokio::spawn(keep_certificates(Certificates {
            state: state.to_owned(),
            edge,
            edge_events,
            wishes: BTreeMap::new(),
            wanted: wishes,
            readers: None,
            reports,
            http_port,
        }));
        Self { wanted, events }
    }

    /// The release that serves wants these.
    pub(super) fn want(&self, wish: CertificateWish) {
        let _ = self.wanted.send((APP.to_owned(), Some(wish)));
    }

    /// What the edge said. `Some`: it is not about certificates.
    pub(super) fn heard(&self, event: EdgeEvent) -> Option<EdgeEvent> {
        match event {
            EdgeEvent::Answering { .. }
            | EdgeEvent::Asked { .. }
            | EdgeEvent::Wanted { .. }
            | EdgeEvent::Certificates(_) => {
                let _ = self.events.send(event);
                None
            }
            other => Some(other),
        }
    }
}

/// What an app wants: a certificate for every host that its routes name, those that only lead to another included.
///
/// # Errors
/// The certificate that `[tls]` names cannot be used.
pub(super) fn wish(
    manifest: &Manifest,
    source: &Path,
    root: &Path,
    state: &Path,
) -> Result<CertificateWish, Problem> {
    let routes = manifest.route.iter();
    let mut hosts: Vec<String> = routes
        .flat_map(|route| route.hosts.iter().chain(route.redirects.keys()))
        // What is redirected may be a path.
        .filter(|from| !from.starts_with('/'))
        .cloned()
        .collect();
    hosts.sort();
    hosts.dedup();
    let routes = manifest.route.iter();
    let mut served = routes.flat_map(|route| {
        let hosts = route.hosts.iter();
        hosts.filter(|host| !route.redirects.contains_key(*host) && !host.starts_with('*'))
    });
    Ok(CertificateWish {
        ask_host: served
            .next()
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned()),
        until: manifest.tls.until,
        hosts,
        acme: manifest.acme.clone(),
        source: source.to_owned(),
        state: state.to_owned(),
        user: None,
        own: local_tls::own(manifest, root)?,
    })
}
