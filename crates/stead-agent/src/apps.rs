//! The apps of a host: a loop for each of them, which alone decides about it.
//!
//! | from | what comes | over |
//! |---|---|---|
//! | clients | wishes about the app | the agent's socket, [`crate::Asked`] |
//! | the edge | table confirmed, instance drained, instance unhealthy, … | `link::Link` |
//! | systemd | how the units of the app are | asked for, often while something is under way |
//! | time | the planner's next wake, jobs | a timer |
//!
//! The loop asks [`stead_model::plan::plan`] what to do, as `stead up` does. What it must know after it was killed is in the
//! [`crate::store`] before it is done: an instance's id before its unit is started, the table before the edge gets it. What runs is
//! never concluded from what was written down, but seen in systemd; so nothing is started twice.
//!
//! A deploy has happened when its table is in the store ([`crate::store::Store::publish`]). An agent that begins anew undoes what has not come
//! so far, and brings to its end what has.

mod app;
mod certificates;
mod journal;
mod link;
mod metrics;
mod places;
mod systemd;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stead_model::agent::{Answer, AppStatus, Wish};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::api::Asked;
use crate::store::Store;

use app::{App, Message};
use certificates::Keeping;
use link::Link;
use places::Places;
use systemd::Systemd;

/// Where the apps of a host are kept, and by whom.
#[derive(Clone, Debug)]
pub struct Apps {
    /// `/var/lib/stead`.
    pub state: PathBuf,
    /// `/run/stead/apps`: sockets of instances.
    pub run: PathBuf,
    /// Where the edge is controlled.
    pub edge: PathBuf,
    /// Where the edge says what it has counted.
    pub metrics: PathBuf,
    /// The program that builds: `PROGRAM build-release`.
    pub program: PathBuf,
    /// Sentences about what happened, for the agent's own log.
    pub remarks: UnboundedSender<String>,
}

/// What all apps share.
#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    systemd: Systemd,
    link: Link,
    certificates: Keeping,
    places: Places,
    metrics: PathBuf,
    recent: metrics::Recent,
    program: PathBuf,
    remarks: UnboundedSender<String>,
}

/// A sentence for the agent's own log.
fn say(shared: &Shared, text: &str) {
    let _ = shared.remarks.send(text.to_owned());
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        // Every write is whole or not at all, so what a panic left is sound.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An app that takes longer to say how it is has other things to do.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until it is tried again to find what runs.
const AGAIN: Duration = Duration::from_secs(1);

/// Keep the apps, and carry out what is asked, until nobody can ask any more.
///
/// Needs a tokio runtime with I/O and time.
pub async fn keep(apps: Apps, mut asked: UnboundedReceiver<Asked>) {
    let opened = open(&apps);
    let shared = match opened {
        Ok(shared) => Arc::new(shared),
        Err(failure) => {
            // Nothing is done to apps of which nothing is known; what serves goes on.
            let _ = apps.remarks.send(failure.to_string());
            while let Some(asked) = asked.recv().await {
                let causes = vec![failure.act.clone(), failure.cause.clone()];
                asked.client.end(Answer::Refused { causes }).await;
            }
            return;
        }
    };
    let looks = Arc::clone(&shared);
    tokio::spawn(async move { looks.recent.look(&looks.metrics).await });
    let mut running = BTreeMap::new();
    let names = shared.store().apps();
    for name in names.unwrap_or_default() {
        running.insert(name.clone(), start(&shared, &name));
    }
    while let Some(asked) = asked.recv().await {
        // Those that were removed.
        running.retain(|_, app| !app.is_closed());
        // Whether there is such an app is said below.
        let is_known = asked.wish.app().is_none_or(|app| running.contains_key(app));
        let asked = match is_known {
            true => match shared.certificates.take(asked) {
                Some(asked) => asked,
                None => continue,
            },
            false => asked,
        };
        match asked.wish.app() {
            None => {
                let apps: Vec<_> = running.values().cloned().collect();
                tokio::spawn(async move {
                    let statuses = statuses(&apps).await;
                    asked.client.end(Answer::Apps(statuses)).await;
                });
            }
            Some(name) => {
                let known = running.contains_key(name);
                if !known && !matches!(asked.wish, Wish::Deploy(_)) {
                    let causes = vec![format!("there is no app `{name}` on this host")];
                    asked.client.end(Answer::Refused { causes }).await;
                    continue;
                }
                let name = name.to_owned();
                if !known && let Err(failure) = shared.store().add_app(&name) {
                    let causes = vec![failure.act, failure.cause];
                    let client = asked.client.clone();
                    tokio::spawn(async move { client.end(Answer::Refused { causes }).await });
                    continue;
                }
                let app = running
                    .entry(name.clone())
                    .or_insert_with(|| start(&shared, &name));
                if let Err(lost) = app.send(Message::Asked(asked)) {
                    // It was removed.
                    *app = start(&shared, &name);
                    let _ = app.send(lost.0);
                }
            }
        }
        running.retain(|_, app| !app.is_closed());
    }
}

fn open(apps: &Apps) -> Result<Shared, crate::store::Failure> {
    let store = Store::open(&apps.state.join("state.db"))?;
    let mut parts = BTreeMap::new();
    for app in store.apps()? {
        if let Some(part) = store.part(&app)? {
            parts.insert(app, part);
        }
    }
    let places = Places {
        state: apps.state.clone(),
        run: apps.run.clone(),
        units: stead_model::units::DIRECTORY.into(),
    };
    let link = Link::start(apps.edge.clone(), parts);
    Ok(Shared {
        certificates: Keeping::start(&store, &places, &link, &apps.remarks)?,
        store: Mutex::new(store),
        systemd: Systemd::default(),
        link,
        places,
        metrics: apps.metrics.clone(),
        recent: metrics::Recent::default(),
        program: apps.program.clone(),
        remarks: apps.remarks.clone(),
    })
}

/// An app's loop. It begins with what it finds.
fn start(shared: &Arc<Shared>, name: &str) -> UnboundedSender<Message> {
    let (sender, messages) = unbounded_channel();
    let app = App::new(Arc::clone(shared), name.to_owned(), sender.clone());
    tokio::spawn(Box::pin(run(app, messages)));
    sender
}

async fn run(mut app: App, messages: UnboundedReceiver<Message>) {
    let mut said = None;
    while let Err(why) = app.adopt().await {
        if said.as_ref() != Some(&why.0) {
            app.remark(format!("nothing is done to it yet: {why}"));
        }
        said = Some(why.0);
        sleep(AGAIN).await;
    }
    app.run(messages).await;
}

async fn statuses(apps: &[UnboundedSender<Message>]) -> Vec<AppStatus> {
    let mut statuses = Vec::new();
    for app in apps {
        let (answer, status) = oneshot::channel();
        let sent = app.send(Message::Status(answer)).is_ok();
        if sent && let Ok(Ok(status)) = timeout(PATIENCE, status).await {
            statuses.push(*status);
        }
    }
    statuses
}
