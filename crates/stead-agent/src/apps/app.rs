//! One app of a host: what is known of it, and the loop.

mod edge;
mod make;
mod observe;
mod start;
mod status;
mod switch;
mod watch;
mod webhook;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stead_model::agent::{Answer, AppStatus, Progress};
use stead_model::manifest::{Acme, Tls};
use stead_model::plan::{self, Desired, Observed, Phase, Step, Wanted};
use stead_model::release::{ProcessSpec, Release};
use stead_model::routing::{Address, InstanceId, RoutingTable};
use stead_model::units::Names;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::Shared;
use super::link::News;
use crate::api::{Asked, Client};
use crate::machine;
use crate::state::Failure;

/// Between two looks at the units while something is under way, and while nothing is.
const SOON: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_secs(5);

/// What the loop is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Somebody wants something.
    Asked(Asked),
    /// How is the app?
    Status(oneshot::Sender<Box<AppStatus>>),
    /// The edge said something.
    Edge(News),
    /// The edge has this table in force, or not.
    Published(u64, Result<(), String>),
    /// An instance was asked whether it is ready.
    Probed(InstanceId, Result<u16, String>),
    /// A release that is being made.
    Making(u64, make::Making),
}

/// Everything that is known of an app.
#[derive(Debug)]
pub(super) struct App {
    shared: Arc<Shared>,
    name: String,
    messages: UnboundedSender<Message>,
    /// The instant that [`Observed::now`] counts from.
    epoch: Instant,
    desired: Desired,
    observed: Observed,
    /// Launches, by the key that the planner knows them by.
    generations: BTreeMap<u64, Generation>,
    live: BTreeMap<InstanceId, Live>,
    /// Tables that the edge has neither confirmed nor refused, by our own count.
    unanswered: BTreeMap<u64, plan::Table>,
    next_table: u64,
    refusal: String,
    /// What is being carried out.
    ongoing: Option<Ongoing>,
    looked: Option<Duration>,
    /// Failures in a row of a place.
    falls: BTreeMap<(String, u32), u32>,
    jobs: wishes::Jobs,
    removed: bool,
    /// The release that has met its first visitors.
    watch: Option<watch::Watch>,
    /// What a person should know until the next change.
    notice: Option<String>,
    /// The launch whose certificates are wanted.
    certified: Option<u64>,
    /// The launch whose webhook was set up.
    webhook_of: Option<u64>,
}

/// A launch of a release.
#[derive(Debug)]
struct Generation {
    release: Arc<Release>,
    wanted: Wanted,
    /// Where certificates for its hosts come from, and how it is spoken to over TLS.
    acme: Acme,
    tls: Tls,
    variables: BTreeMap<String, String>,
    /// Memory of one instance as measured last, bytes, by process.
    measured: BTreeMap<String, u64>,
    /// Why it cannot serve, and the last lines of the log.
    failure: Option<(Failure, Vec<String>)>,
}

impl Generation {
    fn spec(&self, process: &str) -> Option<&ProcessSpec> {
        self.release.processes.get(process)
    }
}

/// An instance, beside what the planner knows.
#[derive(Debug)]
struct Live {
    name: String,
    units: Names,
    address: Option<Address>,
    /// When the next probe is due, while none is under way.
    due: Option<Duration>,
    /// What the last one found.
    probed: Option<Result<u16, String>>,
}

/// A wish that is being carried out. It is also the lock: there is one at a time, and it ends with the agent.
#[derive(Debug)]
struct Ongoing {
    client: Client,
    act: String,
    who: String,
    began: Instant,
    at: i64,
    /// The release that is made.
    number: u64,
    /// Its launch, when there is one.
    key: Option<u64>,
    /// The one that served before.
    previous: Option<u64>,
    step: Option<OngoingStep>,
    /// The task that makes the release.
    making: Option<tokio::task::JoinHandle<()>>,
    run_release_command: bool,
    /// A release is made, rather than one that serves changed.
    makes: bool,
    /// When it fails its visitors, the one before it comes back.
    is_watched: bool,
    /// The app is to be no more; `true`: neither its data.
    removes: Option<bool>,
    /// Instances that are to be gone.
    replaced: BTreeSet<InstanceId>,
}

#[derive(Debug)]
struct OngoingStep {
    name: String,
    began: Instant,
    id: Option<i64>,
}

impl App {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: String,
        messages: UnboundedSender<Message>,
    ) -> Self {
        Self {
            shared,
            name,
            messages,
            epoch: Instant::now(),
            desired: Desired {
                starting_limit: machine::cpus().max(2),
                ..Desired::default()
            },
            observed: Observed {
                next_id: 1,
                ..Observed::default()
            },
            generations: BTreeMap::new(),
            live: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            next_table: 1,
            refusal: String::new(),
            ongoing: None,
            looked: None,
            falls: BTreeMap::new(),
            jobs: wishes::Jobs::default(),
            removed: false,
            watch: None,
            notice: None,
            certified: None,
            webhook_of: None,
        }
    }

    /// Until the app is removed, or nobody can ask any more.
    pub(super) async fn run(mut self, mut messages: UnboundedReceiver<Message>) {
        let (news, mut heard) = unbounded_channel();
        self.shared.link.hear(news);
        loop {
            self.settle().await;
            if self.removed {
                return;
            }
            let wake = self.next_wake();
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.message(message).await,
                    None => return,
                },
                Some(news) = heard.recv() => self.message(Message::Edge(news)).await,
                () = tokio::time::sleep(wake) => {}
            }
            // Whatever else happened meanwhile is one picture with it.
            while let Ok(news) = heard.try_recv() {
                self.message(Message::Edge(news)).await;
            }
            while let Ok(message) = messages.try_recv() {
                self.message(message).await;
            }
        }
    }

    async fn message(&mut self, message: Message) {
        match message {
            Message::Asked(asked) => self.asked(asked).await,
            Message::Status(answer) => {
                let status = self.status().await;
                let _ = answer.send(Box::new(status));
            }
            Message::Edge(news) => self.news(news),
            Message::Published(table, outcome) => self.published(table, outcome),
            Message::Probed(id, outcome) => self.probed(id, outcome).await,
            Message::Making(number, making) => self.made(number, making).await,
        }
    }

    /// Look, plan and act until there is nothing to do.
    async fn settle(&mut self) {
        self.mind_the_client().await;
        self.observe_if_due().await;
        // Every step changes what is observed, so this ends; the bound is for a planner that does not.
        for _ in 0..100 {
            self.observed.now = self.epoch.elapsed();
            self.observed.unanswered = u32::try_from(self.unanswered.len()).unwrap_or(u32::MAX);
            let steps = plan::plan(&self.desired, &self.observed);
            if steps.is_empty() {
                break;
            }
            for step in steps {
                self.act(step).await;
            }
        }
        self.probe_those_due();
        self.mind_the_jobs().await;
        self.mind_the_webhook().await;
        self.mind_the_watch().await;
        self.end_if_done().await;
        self.forget_generations();
    }

    async fn act(&mut self, step: Step) {
        match step {
            Step::RunReleaseCommand { release } => self.run_release_command(release).await,
            Step::Start {
                release,
                process,
                slot,
                ..
            } => self.start(release, process, slot).await,
            Step::Publish(table) => self.publish(table),
            Step::Drain(id) => self.set_phase(id, Phase::Draining),
            Step::Terminate(id) => self.terminate(id).await,
            Step::Kill(id) => self.kill(id).await,
            Step::Abandon { release, why } => self.abandon(release, why).await,
        }
    }

    fn instance(&self, id: InstanceId) -> Option<&plan::Instance> {
        self.observed.instances.iter().find(|i| i.id == id)
    }

    fn instance_mut(&mut self, id: InstanceId) -> Option<&mut plan::Instance> {
        self.observed.instances.iter_mut().find(|i| i.id == id)
    }

    fn set_phase(&mut self, id: InstanceId, phase: Phase) {
        let now = self.epoch.elapsed();
        if let Some(instance) = self.instance_mut(id) {
            instance.phase = phase;
            instance.since = now;
        }
    }

    fn dir(&self) -> PathBuf {
        self.shared.places.app(&self.name)
    }

    /// Something is under way that is seen only by looking.
    fn in_hurry(&self) -> bool {
        self.ongoing.is_some()
            || self
                .observed
                .release_command
                .is_some_and(|command| matches!(command, plan::ReleaseCommand::Running(_)))
            || self
                .observed
                .instances
                .iter()
                .any(|i| i.phase != Phase::Healthy && i.visited)
            || self
                .observed
                .instances
                .iter()
                .any(|i| i.phase > Phase::Healthy)
    }

    fn next_wake(&self) -> Duration {
        let now = self.epoch.elapsed();
        let look = self.looked.unwrap_or_default() + if self.in_hurry() { SOON } else { LATER };
        let probes = self.live.values().filter_map(|live| live.due);
        let all = probes
            .chain(plan::next_wake(&self.observed))
            .chain(self.next_job());
        all.chain(self.watch.iter().map(|watch| watch.next))
            .chain([look])
            .map(|at| at.saturating_sub(now))
            .min()
            .unwrap_or(LATER)
            .clamp(Duration::from_millis(1), LATER)
    }

    /// A sentence for the agent's own log, and for whoever waits for a wish.
    pub(super) fn remark(&self, text: String) {
        super::say(&self.shared, &format!("{}: {text}", self.name));
        if let Some(ongoing) = &self.ongoing {
            ongoing.client.say(Progress::Note { text });
        }
    }

    /// What the edge is told of the app.
    fn part(&self, table: &plan::Table) -> RoutingTable {
        let Some(generation) = table.release.and_then(|key| self.generations.get(&key)) else {
            return RoutingTable::default();
        };
        let mut part = crate::table::of_release(&generation.release, &|process| {
            self.observed
                .instances
                .iter()
                .filter(|i| i.process == process && table.instances.contains(&i.id))
                .filter_map(|i| Some((i.id, self.live.get(&i.id)?.address.clone()?)))
                .collect()
        });
        self.route_webhook(&generation.release, &mut part);
        part
    }

    /// Nothing was done.
    async fn refuse(client: &Client, causes: Vec<String>) {
        client.end(Answer::Refused { causes }).await;
    }

    /// Forget launches of which nothing is left.
    fn forget_generations(&mut self) {
        let needed: BTreeSet<u64> = [&self.desired.target, &self.desired.serving]
            .into_iter()
            .flatten()
            .map(|wanted| wanted.release)
            .chain(self.observed.instances.iter().map(|i| i.release))
            .chain(self.unanswered.values().filter_map(|table| table.release))
            .chain(self.observed.sent.release)
            .chain(self.observed.confirmed.release)
            .chain(self.ongoing.as_ref().and_then(|ongoing| ongoing.key))
            .collect();
        self.generations.retain(|key, _| needed.contains(key));
        self.observed
            .holds
            .retain(|hold| needed.contains(&hold.release));
    }
}

/// Seconds since 1970.
fn clock() -> i64 {
    jiff::Timestamp::now().as_second()
}
