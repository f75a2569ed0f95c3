//! The loop of `stead up`: signals, changes of the source, builds and the agent's reports come
//! in; releases go out to the agent, and everything worth knowing to the person.

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stead_agent::certificates::CertificateWish;
use stead_agent::{Control, Custody, Embedded, Report, Stopped};
use stead_build::Source;
use stead_edge::Edge;
use stead_model::messages::{EdgeCommand, EdgeEvent};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::build::{self, Built};
use super::certificates::{self, Keeping};
use super::interrupt::{Interrupt, Signals};
use super::local_tls::LocalTls;
use super::state::State;
use super::watch::{self, Change, Watch};
use super::{Options, browser};
use crate::problem::{Problem, because};
use crate::render::{Event, Live};
use crate::source::{self, Loaded};

/// What the edge tells the agent.
pub(super) type EdgeEvents = UnboundedReceiver<EdgeEvent>;

/// After the drain deadline of the processes, the edge may take this much longer to cut the rest.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);

/// Signals this close together are one wish: `timeout` and terminals signal a process and then
/// its group, which it is in as well.
const SAME_WISH: Duration = Duration::from_millis(300);

type Agent = Pin<Box<dyn Future<Output = Result<(), Stopped>>>>;
type Drain = Pin<Box<dyn Future<Output = usize>>>;

/// Everything that `stead up` holds while it runs.
pub(super) struct Up {
    options: Options,
    /// How many descriptors a program may open, as long as it asks for no more.
    descriptors: Option<u64>,
    state: State,
    /// Visitors come over TLS.
    tls: Option<LocalTls>,
    live: Live,
    address: String,
    /// Where the agent's reports come out.
    reports: (UnboundedSender<Report>, UnboundedReceiver<Report>),
    builds: (UnboundedSender<Built>, UnboundedReceiver<Built>),
    edge: Option<Edge>,
    edge_commands: UnboundedSender<EdgeCommand>,
    edge_events: EdgeEvents,
    agent: Option<Agent>,
    /// Of the agent that runs.
    control: Option<UnboundedSender<Control>>,
    /// Where the edge's events go: the agent that runs.
    events_to: Option<UnboundedSender<EdgeEvent>>,
    /// With `--public`.
    certificates: Option<Keeping>,
    /// What the release that is being loaded wants of it.
    wish: Option<CertificateWish>,
    watch: Option<Watch>,
    drain: Option<Drain>,
    /// The longest drain of the newest release's processes.
    drain_time: Duration,
    /// The release that serves.
    serving: Option<u64>,
    /// The load that is going on.
    load: Option<Load>,
    /// Of the build that is going on: dropped, it ends what the build runs.
    custody: Option<Custody>,
    /// Something changed while a build ran: build again when it ends.
    again: Option<Instant>,
    stopping: bool,
    opened: bool,
    /// Notes of detection that were shown.
    told: BTreeSet<String>,
    /// When the first signal to stop came.
    asked_to_stop: Option<Instant>,
    /// A second one came.
    forced: bool,
}

/// From the wish for a release to its serving.
#[derive(Debug)]
struct Load {
    began: Instant,
    building: bool,
    number: u64,
    built: Option<Instant>,
    answered: Option<Instant>,
}

impl Up {
    #[expect(
        clippy::too_many_arguments,
        reason = "what was prepared before the runtime began"
    )]
    pub(super) fn new(
        options: Options,
        descriptors: Option<u64>,
        state: State,
        tls: Option<LocalTls>,
        live: Live,
        edge: Edge,
        edge_events: EdgeEvents,
        began: Instant,
    ) -> Self {
        let mut addresses = edge.addresses.iter().chain(&edge.tls_addresses);
        let port = addresses.next().map_or(0, std::net::SocketAddr::port);
        let address = visible_address(&options.host, port, options.tls);
        Self {
            options,
            descriptors,
            state,
            tls,
            live,
            address,
            reports: unbounded_channel(),
            builds: unbounded_channel(),
            edge_commands: edge.commands.clone(),
            edge: Some(edge),
            edge_events,
            agent: None,
            control: None,
            events_to: None,
            certificates: None,
            wish: None,
            watch: None,
            drain: None,
            drain_time: Duration::from_secs(30),
            serving: None,
            load: None,
            custody: None,
            again: Some(began),
            stopping: false,
            opened: false,
            told: BTreeSet::new(),
            asked_to_stop: None,
            forced: false,
        }
    }

    /// Run until stopped; `loaded` becomes the first release.
    pub(super) async fn run(mut self, loaded: Loaded) -> ExitCode {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => {
                return self
                    .end_with(Problem::new("cannot listen to signals").cause(because(&error)));
            }
        };
        if self.options.public.is_some() {
            let port = self.edge.as_ref().and_then(|edge| edge.addresses.first());
            let port = port.map_or(0, std::net::SocketAddr::port);
            self.certificates = Some(Keeping::start(
                &self.state.path,
                self.edge_commands.clone(),
                self.reports.0.clone(),
                port,
            ));
        }
        let (change_sender, mut changes) = unbounded_channel();
        if self.options.watch {
            match Watch::start(&self.options.dir, &self.state.path, change_sender) {
                Ok(watch) => self.watch = Some(watch),
                Err(problem) => return self.end_with(problem),
            }
        }
        let began = self.again.take().unwrap_or_else(Instant::now);
        self.tell_notes(&loaded);
        if let Err(problem) = self.begin(loaded, began) {
            return self.end_with(problem);
        }
        loop {
            let ended = tokio::select! {
                biased;
                interrupt = signals.next() => self.interrupted(interrupt),
                Some(event) = self.edge_events.recv() => {
                    let event = match &self.certificates {
                        Some(certificates) => certificates.heard(event),
                        None => Some(event),
                    };
                    if let Some(event) = event {
                        self.happened(event);
                    }
                    None
                }
                Some(built) = self.builds.1.recv() => self.built(built),
                cut = maybe(&mut self.drain) => self.drained(cut),
                Some(report) = self.reports.1.recv() => {
                    self.reported(report);
                    None
                }
                Some(change) = changes.recv() => {
                    self.changed(change);
                    None
                }
                ended = maybe(&mut self.agent) => self.agent_ended(ended),
            };
            if let Some(code) = ended {
                self.show_rest();
                return code;
            }
        }
    }

    /// What the edge says is for the agent, but for certificates, which are this program's.
    fn happened(&self, event: EdgeEvent) {
        match event {
            EdgeEvent::Certificates(report) => {
                for problem in report.problems {
                    let sentence = format!("certificate {}: {}", problem.subject, problem.why);
                    self.live.show(Event::Note(sentence));
                }
            }
            event => {
                if let Some(agent) = &self.events_to {
                    let _ = agent.send(event);
                }
            }
        }
    }

    /// Build the release that `loaded` describes.
    fn begin(&mut self, loaded: Loaded, began: Instant) -> Result<(), Problem> {
        let root = source::root(&self.options.dir, &loaded.manifest);
        let wish =
            certificates::wish(&loaded.manifest, &self.options.dir, &root, &self.state.path)?;
        if wish.own.is_some() && self.tls.is_none() && self.certificates.is_none() {
            self.live.show(Event::Note(
                "the certificate of `tls` is not shown to visitors of plain HTTP: `stead up --tls` speaks HTTPS"
                    .to_owned(),
            ));
        }
        if let Some(tls) = &self.tls {
            let table = tls.table(&loaded.manifest, &root)?;
            let _ = self.edge_commands.send(EdgeCommand::Certificates(table));
        }
        let number = self.state.next_number()?;
        let custody = Custody::start()
            .map_err(|error| Problem::new("cannot start a build").cause(because(&error)))?;
        let (name, value) = custody.mark();
        let source = Source {
            keeps_environments: false,
            dir: self.options.dir.clone(),
            state: self.state.path.clone(),
            number,
            mark: Some((name.to_owned(), value.to_owned())),
        };
        if let Some(watch) = &self.watch {
            watch.expect(&loaded.manifest);
        }
        self.load = Some(Load {
            began,
            building: true,
            number,
            built: None,
            answered: None,
        });
        self.custody = Some(custody);
        self.wish = Some(wish);
        let host = self.options.host.clone();
        build::start(
            loaded,
            source,
            host,
            self.live.clone(),
            self.builds.0.clone(),
        )
    }

    /// Load everything again, unless a build is going on: then when it ends.
    fn reload(&mut self) {
        if self.stopping {
            return;
        }
        if self.load.as_ref().is_some_and(|load| load.building) {
            self.again = Some(Instant::now());
            return;
        }
        let began = Instant::now();
        let begun = source::load(&self.options.dir).and_then(|loaded| {
            self.tell_notes(&loaded);
            self.begin(loaded, began)
        });
        if let Err(problem) = begun {
            self.load = None;
            self.fail_load(problem);
        }
    }

    /// What detection has to say, each sentence once.
    fn tell_notes(&mut self, loaded: &Loaded) {
        let Some(detection) = &loaded.detection else {
            return;
        };
        for remark in detection.remarks(|name| std::env::var_os(name).is_some()) {
            if self.told.insert(remark.clone()) {
                self.live.show(Event::Note(remark));
            }
        }
    }

    fn built(&mut self, built: Built) -> Option<ExitCode> {
        if let Some(custody) = self.custody.take() {
            // Nothing that a build command left in the background stays. Nobody waits for that.
            tokio::task::spawn_blocking(move || drop(custody));
        }
        if let Some(load) = &mut self.load {
            load.building = false;
            load.built = Some(Instant::now());
        }
        if self.stopping {
            return None;
        }
        if self.again.take().is_some() {
            // What was built is older than the source already.
            self.load = None;
            self.reload();
            return None;
        }
        match built {
            Ok(release) => {
                let drains = release.processes.values().map(|process| process.drain);
                self.drain_time = drains.max().unwrap_or(Duration::ZERO);
                self.switch(Control::Switch(release));
                None
            }
            Err(problem) => {
                self.load = None;
                self.fail_load(*problem);
                self.give_up()
            }
        }
    }

    /// Hand a release to the agent that runs, or to a new one.
    fn switch(&mut self, release: Control) {
        let release = match &self.control {
            Some(control) => match control.send(release) {
                Ok(()) => return,
                Err(refused) => refused.0,
            },
            None => release,
        };
        let (control, control_receiver) = unbounded_channel();
        let (events, edge_events) = unbounded_channel();
        let _ = control.send(release);
        self.control = Some(control);
        self.events_to = Some(events);
        self.agent = Some(Box::pin(stead_agent::run_embedded(Embedded {
            state: self.state.path.clone(),
            edge: self.edge_commands.clone(),
            edge_events,
            control: control_receiver,
            reports: self.reports.0.clone(),
            descriptors: self.descriptors,
        })));
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Answering { number } => self.answering(number),
            Report::Serving { number, counts } => self.serves(number, &counts),
            Report::Failed {
                number,
                causes,
                state,
                hint,
                log,
            } => {
                let mut causes = causes.into_iter();
                let act = causes
                    .next()
                    .unwrap_or_else(|| format!("cannot start release {number}"));
                let problem = Problem {
                    causes: causes.collect(),
                    state: Some(state),
                    hint,
                    output: log,
                    ..Problem::new(act)
                };
                if self.load.as_ref().is_some_and(|load| load.number == number) {
                    self.load = None;
                }
                self.settled(false);
                self.live.fail(problem);
            }
            Report::CrashLoop {
                source,
                text,
                state,
                log,
            } => self.live.fail(Problem {
                output: log,
                ..Problem::new(format!("cannot keep `{source}` running"))
                    .cause(text)
                    .state(state)
            }),
            line @ (Report::Line { .. } | Report::Note { .. }) => {
                self.live.show(Event::Report(line));
            }
        }
    }

    fn answering(&mut self, number: u64) {
        if let Some(load) = self.load.as_mut().filter(|load| load.number == number) {
            load.answered.get_or_insert_with(Instant::now);
        }
        self.serving = Some(number);
        if !self.opened {
            self.opened = true;
            self.live.show(Event::Address(self.address.clone()));
            if self.options.open
                && let Err(why) = browser::open(&self.address)
            {
                self.live.show(Event::Note(why));
            }
        }
    }

    fn serves(&mut self, number: u64, counts: &[String]) {
        self.answering(number);
        let times = match self.load.take_if(|load| load.number == number) {
            Some(load) => times(&load),
            None => String::new(),
        };
        let mut summary = format!("release {number} serves{times}");
        for count in counts {
            summary.push_str("\n  ");
            summary.push_str(count);
        }
        self.live.say(summary);
        if let (Some(certificates), Some(wish)) = (&self.certificates, self.wish.take()) {
            if wish.hosts.is_empty() {
                let note = "no route names a host, so there is nothing to get a certificate for";
                self.live.show(Event::Note(note.to_owned()));
            }
            certificates.want(wish);
        }
        self.settled(true);
    }

    /// A load is over; `well`: its release serves.
    fn settled(&self, well: bool) {
        if let Some(watch) = &self.watch {
            watch.settled(well);
        }
    }

    /// A load failed before the agent knew of it.
    fn fail_load(&mut self, problem: Problem) {
        let state = match self.serving {
            Some(number) => format!("release {number} still serves"),
            None => "nothing serves".to_owned(),
        };
        self.live.fail(match problem.state {
            Some(_) => problem,
            None => problem.state(state),
        });
        self.settled(false);
    }

    /// Nothing serves and nothing will, unless the source is watched.
    fn give_up(&mut self) -> Option<ExitCode> {
        if self.agent.is_some() || self.serving.is_some() {
            return None;
        }
        if self.watch.is_some() {
            self.live.say("waiting for the source to change");
            return None;
        }
        Some(ExitCode::FAILURE)
    }

    fn changed(&mut self, change: Change) {
        match change {
            Change::Files(files) => {
                self.live
                    .say(format!("reloading: {}", watch::named(&files)));
                self.reload();
            }
            Change::Note(note) => self.live.show(Event::Note(note)),
        }
    }

    fn interrupted(&mut self, interrupt: Interrupt) -> Option<ExitCode> {
        match interrupt {
            Interrupt::Reload if self.stopping => None,
            Interrupt::Reload => {
                self.live.say("reloading: SIGHUP");
                self.reload();
                None
            }
            Interrupt::Stop(signal) => self.stop(signal),
        }
    }

    fn stop(&mut self, signal: u8) -> Option<ExitCode> {
        let asked = *self.asked_to_stop.get_or_insert_with(Instant::now);
        if self.stopping {
            if asked.elapsed() < SAME_WISH {
                return None;
            }
            self.forced = true;
            self.live.say("stopping now");
            // Requests in flight are cut, the agent skips what is left of its drain.
            self.drain = None;
            self.tell_agent_to_stop();
            self.tell_agent_to_stop();
            return self.agent.is_none().then(|| ExitCode::from(128 + signal));
        }
        self.stopping = true;
        if self.agent.is_none() {
            // Nothing ever served: there is nobody to wait for.
            self.live.say("stopped");
            return Some(ExitCode::SUCCESS);
        }
        let Some(edge) = self.edge.take() else {
            self.tell_agent_to_stop();
            return None;
        };
        let sentence = match edge.connections() {
            0 => "stopping".to_owned(),
            1 => "stopping: draining 1 connection; again to stop now".to_owned(),
            count => format!("stopping: draining {count} connections; again to stop now"),
        };
        self.live.say(sentence);
        let patience = match self.serving {
            Some(_) => self.drain_time,
            // Those who wait for an instance would wait in vain.
            None => Duration::ZERO,
        };
        let deadline = Instant::now() + patience + DRAIN_MARGIN;
        self.drain = Some(Box::pin(edge.drain(deadline)));
        None
    }

    fn drained(&mut self, cut: usize) -> Option<ExitCode> {
        if cut > 0 {
            self.live
                .say(format!("{cut} connections were cut at the deadline"));
        }
        self.tell_agent_to_stop();
        None
    }

    fn tell_agent_to_stop(&self) {
        if let Some(control) = &self.control {
            let _ = control.send(Control::Stop);
        }
    }

    fn agent_ended(&mut self, ended: Result<(), Stopped>) -> Option<ExitCode> {
        self.agent = None;
        self.control = None;
        self.events_to = None;
        self.show_rest();
        if self.stopping {
            self.live.say("stopped");
            // A second signal cut requests short, which is not what exit code 0 says.
            return Some(match self.forced {
                false => ExitCode::SUCCESS,
                true => ExitCode::from(130),
            });
        }
        if ended.is_ok() || self.serving.is_some() {
            self.live.fail(
                Problem::new("the agent ended without having been asked to")
                    .state("nothing serves any more"),
            );
            return Some(ExitCode::FAILURE);
        }
        self.load = None;
        self.give_up()
    }

    /// Reports that are still in the channel.
    fn show_rest(&mut self) {
        while let Ok(report) = self.reports.1.try_recv() {
            self.reported(report);
        }
    }

    fn end_with(self, problem: Problem) -> ExitCode {
        let code = problem.exit_code();
        self.live.fail(problem);
        ExitCode::from(code)
    }
}

/// ` after 0.61 s (build 0.05 s, first answer 0.32 s)`.
fn times(load: &Load) -> String {
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let mut parts = Vec::new();
    if let Some(built) = load.built {
        parts.push(format!("build {}", seconds(built - load.began)));
    }
    if let Some(answered) = load.answered {
        parts.push(format!("first answer {}", seconds(answered - load.began)));
    }
    let total = seconds(load.began.elapsed());
    match parts.is_empty() {
        true => format!(" after {total}"),
        false => format!(" after {total} ({})", parts.join(", ")),
    }
}

/// What a person types into a browser of this machine.
fn visible_address(host: &str, port: u16, tls: bool) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(std::net::IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".to_owned(),
        Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => bare.to_owned(),
    };
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{host}:{port}")
}

/// The future's outcome, once; never when there is none.
async fn maybe<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    let Some(running) = future else {
        return pending().await;
    };
    let output = running.await;
    *future = None;
    output
}
