//! Certificates for the hosts of all apps: kept by one loop ([`keep_certificates`]), which has the apps' way to the edge.
//!
//! What is wanted follows from the releases that serve. It is told from the store before anything else is done, so that an agent that begins anew
//! never takes a certificate from visitors that it has only not been asked for yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use stead_model::agent::{Answer, CertificateStatus, ImportedCertificate, Wish};
use stead_model::build::Built;
use stead_model::certificates::{CertificateFiles, Listing, Renewal};
use stead_model::manifest::{Acme, Tls};
use stead_model::release::Release;
use stead_model::routing::Target;
use stead_model::units;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::link::{Link, News};
use super::places::Places;
use crate::Report;
use crate::api::Asked;
use crate::certificates::{self, CertificateWish, Certificates, Known, Unasked, keep_certificates};
use crate::spawn::io_text;
use crate::store::{LaunchState, Store};

/// Where visitors come over plain HTTP.
const HTTP: u16 = 80;

/// The apps' side of it.
#[derive(Debug)]
pub(super) struct Keeping {
    wanted: UnboundedSender<(String, Option<CertificateWish>)>,
    wishes: Mutex<BTreeMap<String, CertificateWish>>,
    known: Arc<Mutex<Known>>,
    state: PathBuf,
    /// The edge's group.
    readers: Option<u32>,
}

impl Keeping {
    /// Begin, with what the releases want that serve.
    pub(super) fn start(
        store: &Store,
        places: &Places,
        link: &Link,
        remarks: &UnboundedSender<String>,
    ) -> Result<Self, crate::store::Failure> {
        let mut wishes = BTreeMap::new();
        for app in store.apps()? {
            let mut launches = store.launches(&app)?.into_iter();
            let serving = launches.rfind(|launch| launch.state == LaunchState::Serving);
            let Some(serving) = serving else { continue };
            let record = store.release(&app, serving.release)?;
            if let Some(built) = record.and_then(|record| record.built) {
                let Built { release, acme, tls } = built;
                wishes.insert(app, wish(&release, &acme, &tls, places));
            }
        }
        let (wanted, wishes_to_come) = unbounded_channel();
        let (edge, mut commands) = unbounded_channel();
        let (events, edge_events) = unbounded_channel();
        let (reports, mut reported) = unbounded_channel();
        let readers = places.edge_group();
        let keeping = Certificates {
            state: places.state.clone(),
            edge,
            edge_events,
            wishes: wishes.clone(),
            wanted: wishes_to_come,
            readers,
            reports,
            http_port: HTTP,
        };
        tokio::spawn(Box::pin(keep_certificates(keeping)));
        let to = link.clone();
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                to.command(command);
            }
        });
        let (news, mut heard) = unbounded_channel();
        link.hear(news);
        tokio::spawn(async move {
            while let Some(news) = heard.recv().await {
                if let News::Said(event) = news
                    && events.send(event).is_err()
                {
                    return;
                }
            }
        });
        let remarks = remarks.clone();
        tokio::spawn(async move {
            while let Some(report) = reported.recv().await {
                if let Report::Note { source, text, .. } = report {
                    let _ = remarks.send(format!("{source}: {text}"));
                }
            }
        });
        Ok(Self {
            wanted,
            wishes: Mutex::new(wishes),
            known: Arc::new(Mutex::new(Known::at(&places.state))),
            state: places.state.clone(),
            readers,
        })
    }

    /// What an app wants from now on; `None`: nothing any more.
    pub(super) fn want(&self, app: &str, wish: Option<CertificateWish>) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        match &wish {
            Some(wish) => wishes.insert(app.to_owned(), wish.clone()),
            None => wishes.remove(app),
        };
        let _ = self.wanted.send((app.to_owned(), wish));
    }

    fn wish(&self, app: &str) -> Option<CertificateWish> {
        let wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.get(app).cloned()
    }

    /// How it stands with the hosts of an app, or why that is not known.
    pub(super) async fn status(&self, app: &str) -> Result<Vec<CertificateStatus>, String> {
        let Some(wish) = self.wish(app) else {
            return Ok(Vec::new());
        };
        let known = Arc::clone(&self.known);
        let asked = tokio::task::spawn_blocking(move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.of(&wish, Timestamp::now())
        });
        match asked.await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(format!("certificates cannot be read: {}", io_text(&error))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Carry a wish about certificates out, beside everything else. Any other comes back.
    pub(super) fn take(&self, asked: Asked) -> Option<Asked> {
        let Asked { wish, client } = asked;
        let state = self.state.clone();
        let act: Box<dyn FnOnce() -> Result<Answer, Vec<String>> + Send> = match wish {
            Wish::Certificates { app } => {
                let hosts = self
                    .wishes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let known = Arc::clone(&self.known);
                Box::new(move || list(&known, app.as_deref(), &hosts))
            }
            Wish::RenewCertificates { app, hosts } => {
                let own = self.wish(&app).map(|wish| wish.hosts).unwrap_or_default();
                Box::new(move || renew(&state, &hosts, own))
            }
            Wish::ImportCertificate(imported) => {
                let readers = self.readers;
                Box::new(move || import(&state, readers, &imported))
            }
            wish => return Some(Asked { wish, client }),
        };
        tokio::spawn(async move {
            let answer = match tokio::task::spawn_blocking(act).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(causes)) => Answer::Refused { causes },
                Err(error) => Answer::Refused {
                    causes: vec![error.to_string()],
                },
            };
            client.end(answer).await;
        });
        None
    }
}

/// What the release that serves wants: a certificate for every host that its routes name, those that only lead to another included.
pub(super) fn wish(release: &Release, acme: &Acme, tls: &Tls, places: &Places) -> CertificateWish {
    let hosts: BTreeSet<&String> = release
        .routes
        .iter()
        .flat_map(|route| &route.hosts)
        .collect();
    let routes = release.routes.iter();
    let mut served = routes
        .filter(|route| !matches!(route.target, Target::Redirect { .. }))
        .flat_map(|route| &route.hosts)
        .filter(|host| !host.starts_with('*'));
    let app = places.app(&release.app);
    // The code may be a directory within the tree.
    let releases = app.join("releases");
    let tree = release.code.strip_prefix(&releases).ok();
    let tree = tree.and_then(|inner| inner.components().next());
    let own = tls.certificate.as_ref().zip(tls.key.as_ref());
    CertificateWish {
        ask_host: served
            .next()
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned()),
        hosts: hosts.into_iter().cloned().collect(),
        acme: acme.clone(),
        source: tree.map_or_else(|| release.code.clone(), |tree| releases.join(tree)),
        state: app,
        user: Some(units::user(&release.app)),
        until: tls.until,
        own: own.map(|(chain, key)| CertificateFiles {
            chain: release.code.join(chain),
            key: release.code.join(key),
        }),
    }
}

/// Everything, or what is an app's: its hosts, and domains that no route names if it is asked about them.
fn list(
    known: &Mutex<Known>,
    app: Option<&str>,
    wishes: &BTreeMap<String, CertificateWish>,
) -> Result<Answer, Vec<String>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let listing = known.listing(Timestamp::now());
    let listing =
        listing.map_err(|error| vec!["certificates cannot be read".to_owned(), io_text(&error)])?;
    let Some(app) = app else {
        return Ok(Answer::Certificates(Box::new(listing)));
    };
    let wish = wishes.get(app);
    let asked = wish.is_some_and(|wish| wish.acme.on_demand.is_some());
    let own: BTreeSet<&String> = wish.iter().flat_map(|wish| &wish.hosts).collect();
    let all: BTreeSet<&String> = wishes.values().flat_map(|wish| &wish.hosts).collect();
    let is_its = |name: &String| own.contains(name) || asked && !all.contains(name);
    // A wildcard is for hosts one level below it.
    let covers = |name: &String| {
        let below = |host: &&&String| {
            host.split_once('.')
                .is_some_and(|(_, above)| name.get(2..) == Some(above))
        };
        is_its(name) || name.starts_with("*.") && own.iter().any(|host| below(&host))
    };
    let Listing {
        mut certificates,
        mut pending,
        broken,
    } = listing;
    certificates.retain(|listed| listed.hosts.iter().any(covers));
    pending.retain(|pending| is_its(&pending.host));
    Ok(Answer::Certificates(Box::new(Listing {
        certificates,
        pending,
        broken,
    })))
}

fn renew(
    state: &std::path::Path,
    hosts: &[String],
    own: Vec<String>,
) -> Result<Answer, Vec<String>> {
    let (wanted, others): (Vec<String>, Vec<String>) = match hosts {
        [] => (own, Vec::new()),
        hosts => hosts.iter().cloned().partition(|host| own.contains(host)),
    };
    let others = others.into_iter().map(|host| Renewal {
        host,
        done: false,
        text: "no route of the release that serves has this host".to_owned(),
    });
    let mut renewals = Vec::new();
    if !wanted.is_empty() {
        renewals = certificates::renew(state, &wanted).map_err(|unasked| match unasked {
            Unasked::NotRunning => {
                vec!["the agent keeps no certificates: its log says why".to_owned()]
            }
            Unasked::Failed(error) => vec![io_text(&error)],
        })?;
    }
    renewals.extend(others);
    Ok(Answer::Renewals(renewals))
}

fn import(
    state: &std::path::Path,
    readers: Option<u32>,
    imported: &ImportedCertificate,
) -> Result<Answer, Vec<String>> {
    let now = Timestamp::now();
    let listed = certificates::import(state, readers, imported, now).map_err(|why| vec![why])?;
    Ok(Answer::Certificates(Box::new(Listing {
        certificates: vec![listed],
        pending: Vec::new(),
        broken: Vec::new(),
    })))
}

#[cfg(test)]
mod tests;
