//! The loop: what is known, what happens, what is done about it. See the crate's documentation.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use stead_model::htpasswd;
use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::plan::{self, Desired, Observed, Step, Table};
use stead_model::routing::InstanceId;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::keeper::{Keeper, Kept};
use crate::listener::RunDir;
use crate::logs::Logs;
use crate::spawn::Spawner;
use crate::state::{Failure, State};
use crate::{Control, Embedded, Report, Stopped, machine};

mod children;
mod endings;
mod generation;
mod jobs;
mod pace;
mod preload;
mod probe;
mod programs;
mod publish;
mod size;
mod start;
mod switch;

use children::{Children, Ended};
use generation::{Generation, Live};

/// What the loop's own tasks tell it.
#[derive(Debug)]
enum Event {
    /// A child and everything that belonged to it has ended.
    Ended(Ended),
    /// What an instance that is starting listens on.
    Listening(probe::Listening),
    /// A preloading worker said something.
    Worker(preload::Said),
    /// What instances take of memory, and sessions found below them.
    Measured(size::Measurement),
    /// How busy an instance was while it started.
    Paced(pace::Pace),
}

/// Everything that is known.
#[derive(Debug)]
struct Runtime {
    /// The instant that [`Observed::now`] counts from.
    epoch: Instant,
    reports: UnboundedSender<Report>,
    /// `None`: the edge has ended.
    edge: Option<UnboundedSender<EdgeCommand>>,
    events: UnboundedSender<Event>,
    state: State,
    run_dir: RunDir,
    spawner: Spawner,
    logs: Logs,
    keeper: Kept,
    keeper_settings: Keeper,
    /// When the keeper was started; not again within a few seconds.
    keeper_started: Instant,
    children: Children,
    desired: Desired,
    observed: Observed,
    generations: BTreeMap<u64, Generation>,
    live: HashMap<InstanceId, Live>,
    next_release: u64,
    /// Tables that the edge has neither confirmed nor refused, by generation.
    unanswered: BTreeMap<u64, Table>,
    next_table: u64,
    /// When the last table was sent, while it is not confirmed.
    unconfirmed_since: Option<Duration>,
    /// What the edge said when it refused a table.
    refusal: String,
    probes: HashMap<u64, InstanceId>,
    next_probe: u64,
    /// Processes that insist on a port, and which, as the last release showed.
    insisting: HashMap<String, u16>,
    measuring: size::Measuring,
    jobs: jobs::Jobs,
    workers: Vec<preload::Worker>,
    next_worker: u64,
    ending: programs::Ending,
    cpus: u32,
    stopping: bool,
    /// The first release could not be started.
    failed: bool,
}

/// Run until stopped.
pub(crate) async fn run(embedded: Embedded, keeper: Keeper) -> Result<(), Stopped> {
    let Embedded {
        state,
        edge,
        mut edge_events,
        mut control,
        reports,
        descriptors,
    } = embedded;
    let (events, mut happened) = unbounded_channel();
    let opened = open(&state, edge, reports.clone(), events, keeper, descriptors);
    let (mut runtime, mut child_signal) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            let _ = reports.send(Report::Failed {
                number: 0,
                causes: failure.causes,
                state: "nothing was started".into(),
                hint: failure.hint,
                log: Vec::new(),
            });
            return Err(Stopped);
        }
    };
    let mut control_open = true;
    loop {
        runtime.settle().await;
        if runtime.is_finished() {
            break;
        }
        let wake = runtime.next_wake();
        let edge_open = runtime.edge.is_some();
        tokio::select! {
            wish = control.recv(), if control_open => match wish {
                Some(wish) => runtime.wish(wish),
                None => {
                    control_open = false;
                    runtime.wish(Control::Stop);
                }
            },
            event = edge_events.recv(), if edge_open => match event {
                Some(event) => runtime.edge_event(event),
                None => runtime.edge_ended(),
            },
            Some(event) = happened.recv() => runtime.event(event),
            _ = child_signal.recv() => runtime.bury_children(),
            () = tokio::time::sleep(wake) => runtime.bury_children(),
        }
        // Whatever else happened meanwhile is one picture with it.
        while let Ok(event) = edge_events.try_recv() {
            runtime.edge_event(event);
        }
        while let Ok(event) = happened.try_recv() {
            runtime.event(event);
        }
    }
    runtime.close().await
}

fn open(
    dir: &std::path::Path,
    edge: UnboundedSender<EdgeCommand>,
    reports: UnboundedSender<Report>,
    events: UnboundedSender<Event>,
    keeper_settings: Keeper,
    descriptors: Option<u64>,
) -> Result<(Runtime, Signal), Failure> {
    let state = State::open(dir)?;
    let failed = |what: &str| {
        let what = format!("cannot {what}");
        move |error: std::io::Error| Failure::new(what, crate::spawn::io_text(&error))
    };
    let run_dir = RunDir::create(state.dir()).map_err(failed("make the directory of sockets"))?;
    let child_signal = signal(SignalKind::child()).map_err(failed("watch child processes"))?;
    let keeper = Kept::start(&keeper_settings, &state.run, []).map_err(failed(
        "start the keeper, which ends what Stead leaves behind",
    ))?;
    let spawner = Spawner::start(descriptors).map_err(failed("start a thread"))?;
    let logs =
        Logs::start(state.dir().join("logs"), reports.clone()).map_err(failed("start a thread"))?;
    let jobs = jobs::Jobs::new(crate::clock::Clocks::open(state.dir()));
    let cpus = machine::cpus();
    let runtime = Runtime {
        epoch: Instant::now(),
        reports,
        edge: Some(edge),
        events,
        state,
        run_dir,
        spawner,
        logs,
        keeper,
        keeper_settings,
        keeper_started: Instant::now(),
        children: Children::default(),
        desired: Desired {
            starting_limit: pace::base(cpus),
            ..Desired::default()
        },
        observed: Observed {
            next_id: 1,
            ..Observed::default()
        },
        generations: BTreeMap::new(),
        live: HashMap::new(),
        next_release: 1,
        unanswered: BTreeMap::new(),
        next_table: 1,
        unconfirmed_since: None,
        refusal: String::new(),
        probes: HashMap::new(),
        next_probe: 1,
        insisting: HashMap::new(),
        measuring: size::Measuring::default(),
        jobs,
        workers: Vec::new(),
        next_worker: 1,
        ending: Vec::new(),
        cpus,
        stopping: false,
        failed: false,
    };
    Ok((runtime, child_signal))
}

impl Runtime {
    /// Plan and act until there is nothing to do.
    async fn settle(&mut self) {
        // Every step changes what is observed, so this ends; the bound is for a planner that does not.
        for _ in 0..1000 {
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
        self.end_idle_workers();
        self.kill_those_overdue();
        self.measure_if_due();
        self.report_when_complete();
        self.forget_generations();
        self.mind_the_keeper();
    }

    async fn act(&mut self, step: Step) {
        match step {
            Step::RunReleaseCommand { release } => self.run_release_command(release).await,
            Step::Start {
                id,
                release,
                process,
                slot,
            } => self.start(id, release, process, slot).await,
            Step::Publish(table) => self.publish(table),
            Step::Drain(id) => self.set_phase(id, plan::Phase::Draining),
            Step::Terminate(id) => self.terminate(id),
            Step::Kill(id) => self.kill(id),
            Step::Abandon { release, why } => self.abandon(release, why),
        }
    }

    fn wish(&mut self, wish: Control) {
        match wish {
            Control::Switch(release) => {
                if !self.stopping && !self.failed {
                    self.switch(*release);
                }
            }
            Control::Stop => {
                self.desired.at_once = self.stopping;
                self.stopping = true;
                self.stop_everything();
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Ended(ended) => self.ended(ended),
            Event::Listening(found) => self.listening(found),
            Event::Worker(said) => self.worker_said(said),
            Event::Measured(measured) => self.measured(measured),
            Event::Paced(pace) => self.paced(pace),
        }
    }

    fn edge_event(&mut self, event: EdgeEvent) {
        match event {
            EdgeEvent::Published { generation } => self.published(generation),
            EdgeEvent::Refused { generation, why } => self.refused(generation, why),
            EdgeEvent::Probed { id, outcome } => self.probed(id, outcome),
            EdgeEvent::Drained { instance } => {
                if let Some(i) = self.instance_mut(instance) {
                    i.drained = true;
                }
            }
            EdgeEvent::RequestTimedOut {
                instance,
                request,
                after,
            } => {
                self.request_timed_out(instance, &request, after);
            }
            EdgeEvent::InstanceUnhealthy { instance, why } => {
                self.instance_unhealthy(instance, &why);
            }
            EdgeEvent::InstanceFailed { instance, why } => self.instance_failed(instance, &why),
            // Those of the certificates.
            EdgeEvent::Answering { .. } | EdgeEvent::Asked { .. } | EdgeEvent::Wanted { .. } => {}
            EdgeEvent::UsersFile { file, problem } => {
                let text = htpasswd::report(&file, problem.as_deref());
                self.note("users", problem.is_some(), text);
            }
            EdgeEvent::Certificates(report) => {
                for problem in report.problems {
                    let text = format!("`{}`: {}", problem.subject, problem.why);
                    self.note("certificate", true, text);
                }
            }
        }
    }

    fn instance_mut(&mut self, id: InstanceId) -> Option<&mut plan::Instance> {
        self.observed.instances.iter_mut().find(|i| i.id == id)
    }

    fn instance(&self, id: InstanceId) -> Option<&plan::Instance> {
        self.observed.instances.iter().find(|i| i.id == id)
    }

    fn set_phase(&mut self, id: InstanceId, phase: plan::Phase) {
        let now = self.epoch.elapsed();
        if let Some(instance) = self.instance_mut(id) {
            instance.phase = phase;
            instance.since = now;
        }
    }

    fn note(&self, source: impl Into<String>, warning: bool, text: impl Into<String>) {
        let _ = self.reports.send(Report::Note {
            source: source.into(),
            warning,
            text: text.into(),
        });
    }

    /// How long nothing has to be done by itself. A child whose signal got lost is found within 5 s.
    fn next_wake(&self) -> Duration {
        let now = self.epoch.elapsed();
        let confirm = self
            .unconfirmed_since
            .map(|since| since + publish::PATIENCE);
        [
            plan::next_wake(&self.observed),
            self.next_probe_due(),
            confirm,
            self.next_job(),
            self.next_overdue(),
        ]
        .into_iter()
        .flatten()
        .chain(self.next_measuring())
        .map(|at| at.saturating_sub(now))
        .min()
        .unwrap_or_default()
        .clamp(Duration::from_millis(1), Duration::from_secs(5))
    }

    fn is_finished(&self) -> bool {
        (self.stopping || self.failed) && self.children.is_empty()
    }

    async fn close(self) -> Result<(), Stopped> {
        let keeper = self.keeper;
        let _ = tokio::task::spawn_blocking(move || keeper.finish()).await;
        drop(self.generations);
        drop(self.run_dir);
        self.logs.finish().await;
        self.state.close();
        if self.failed { Err(Stopped) } else { Ok(()) }
    }
}
