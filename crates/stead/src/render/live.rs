//! What `stead up` shows while it runs.
//!
//! A thread of its own prints, so that a terminal which stopped reading (Ctrl-S, a full pipe)
//! stops neither the supervisor nor an app. Lines of apps that nobody reads are dropped and
//! counted; they are all in the log files. What Stead itself has to say is never dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use stead_agent::Report;

use super::Terminal;
use super::line::Prefixes;
use super::text::{FAINT, GOOD, STRONG, shown, styled};
use crate::problem::Problem;

/// How many lines of apps may wait to be printed.
const WAITING: usize = 4096;
/// How many lines above an error still count as read together with it.
const RECENT: usize = 30;
/// What a step says that had nothing to do; nobody needs to read that at every reload.
const UNCHANGED: &str = "unchanged";
/// A step of a build that takes longer than this is shown before it ends.
const SLOW: Duration = Duration::from_millis(400);

/// Something to show.
#[derive(Debug)]
pub(crate) enum Event {
    /// From the agent. `Answering`, `Serving` and `Failed` are told by the caller in its own words.
    Report(Report),
    /// A step of a build begins.
    Step(String),
    /// A line that the step's program printed.
    Output(String),
    /// The step ended.
    Done(String),
    /// The build is over, however it ended.
    BuildOver,
    /// Where visitors find the app.
    Address(String),
    /// A sentence of Stead's own.
    Said(String),
    /// Something that a person should know.
    Note(String),
    /// A failure.
    Problem(Box<Problem>),
}

/// The printing thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Live {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// How many of `events` are lines of apps.
    lines: usize,
    /// Lines that were not shown since the last one that was.
    dropped: usize,
    closed: bool,
    finished: bool,
}

impl Live {
    /// Start printing.
    pub(crate) fn start(terminal: &Terminal) -> std::io::Result<(Self, JoinHandle<()>)> {
        let queue = Arc::new(Queue::default());
        let printer = Printer {
            terminal: terminal.clone(),
            prefixes: Prefixes::new(),
            recent: VecDeque::new(),
            step: None,
        };
        let read = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("render".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || print_all(&read, printer))?;
        Ok((Self { queue }, thread))
    }

    /// Show this, soon. Never waits for the terminal.
    pub(crate) fn show(&self, event: Event) {
        let mut state = self.queue.lock();
        if matches!(event, Event::Report(Report::Line { .. })) {
            if state.lines >= WAITING {
                state.dropped += 1;
                return;
            }
            state.lines += 1;
        }
        if matches!(event, Event::Output(_)) && state.events.len() >= WAITING {
            return;
        }
        state.events.push_back(event);
        self.queue.wake.notify_all();
    }

    /// Say a sentence of Stead's own.
    pub(crate) fn say(&self, sentence: impl Into<String>) {
        self.show(Event::Said(sentence.into()));
    }

    /// Show a failure.
    pub(crate) fn fail(&self, problem: Problem) {
        self.show(Event::Problem(Box::new(problem)));
    }

    /// Print what waits, for as long as the terminal reads, at most a second.
    pub(crate) fn finish(&self) {
        let mut state = self.queue.lock();
        state.closed = true;
        self.queue.wake.notify_all();
        let until = Instant::now() + Duration::from_secs(1);
        while !state.finished {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.queue.wake.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event; `Ok(None)` when `patience` ran out, `Err` when no more will come.
    fn next(&self, patience: Option<Duration>) -> Result<Option<(Event, usize)>, ()> {
        let mut state = self.lock();
        loop {
            if let Some(event) = state.events.pop_front() {
                if matches!(event, Event::Report(Report::Line { .. })) {
                    state.lines -= 1;
                }
                let dropped = match state.lines {
                    0 => std::mem::take(&mut state.dropped),
                    _ => 0,
                };
                return Ok(Some((event, dropped)));
            }
            if state.closed {
                state.finished = true;
                self.wake.notify_all();
                return Err(());
            }
            state = match patience {
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.wake.wait_timeout(state, patience);
                    let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && state.events.is_empty() && !state.closed {
                        return Ok(None);
                    }
                    state
                }
            };
        }
    }
}

fn print_all(queue: &Queue, mut printer: Printer) {
    loop {
        let patience = printer
            .step
            .as_ref()
            .filter(|step| !step.shown)
            .map(|_| SLOW);
        match queue.next(patience) {
            Ok(Some((event, dropped))) => {
                printer.print(event);
                if dropped > 0 {
                    printer.terminal.note(&format!(
                        "{dropped} lines are not shown here: they came faster than they could be printed; the log files have them"
                    ));
                }
            }
            Ok(None) => printer.show_step(),
            Err(()) => {
                printer.terminal.set_bar(None);
                return;
            }
        }
    }
}

struct Printer {
    terminal: Terminal,
    prefixes: Prefixes,
    /// The last lines of apps that were printed.
    recent: VecDeque<String>,
    step: Option<Step>,
}

/// A step of a build that is going on.
struct Step {
    text: String,
    bar: Option<ProgressBar>,
    /// A plain line was printed for it.
    shown: bool,
}

impl Printer {
    fn print(&mut self, event: Event) {
        match event {
            Event::Report(Report::Line { source, text, .. }) => {
                let line = self.prefixes.line(&source, &text);
                self.terminal.out(&line);
                if self.recent.len() == RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(text);
            }
            Event::Report(Report::Note {
                source,
                warning,
                text,
            }) => {
                let note = self.prefixes.note(&source, warning, &text);
                self.terminal.out(&note);
            }
            // Whoever runs the agent makes sentences and failures of these.
            Event::Report(
                Report::Serving { .. }
                | Report::Answering { .. }
                | Report::Failed { .. }
                | Report::CrashLoop { .. },
            ) => {}
            Event::Step(text) => self.begin(text),
            Event::Output(line) => {
                if let Some(bar) = self.step.as_ref().and_then(|step| step.bar.as_ref()) {
                    bar.set_message(one_line(&line));
                }
            }
            Event::Done(detail) => self.end(&detail),
            Event::BuildOver => {
                self.step = None;
                self.terminal.set_bar(None);
            }
            Event::Address(address) => self
                .terminal
                .out(&format!("{}\n", styled(STRONG, &address))),
            Event::Said(sentence) => self.terminal.out(&format!("{}\n", shown_lines(&sentence))),
            Event::Note(sentence) => self.terminal.note(&sentence),
            Event::Problem(mut problem) => {
                // Nobody wants to read the same traceback twice in a row.
                if problem.output.iter().all(|line| self.recent.contains(line)) {
                    problem.output.clear();
                }
                self.terminal.problem(&problem);
            }
        }
    }

    fn begin(&mut self, text: String) {
        let bar = self.terminal.moving.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(one_line(&text));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        self.terminal.set_bar(bar.clone());
        let shown = bar.is_some();
        self.step = Some(Step { text, bar, shown });
    }

    /// Without a terminal that moves: say what takes so long.
    fn show_step(&mut self) {
        if let Some(step) = self.step.as_mut().filter(|step| !step.shown) {
            step.shown = true;
            let line = format!("build: {} …\n", one_line(&step.text));
            self.terminal.out(&line);
        }
    }

    fn end(&mut self, detail: &str) {
        self.terminal.set_bar(None);
        let Some(step) = self.step.take() else { return };
        let silent = step.bar.is_some() || !step.shown;
        if silent && detail == UNCHANGED {
            return;
        }
        let (text, detail) = (one_line(&step.text), one_line(detail));
        let line = match detail.is_empty() {
            true => format!("{} {text}\n", styled(GOOD, "build:")),
            false => format!(
                "{} {text}{} {detail}\n",
                styled(GOOD, "build:"),
                styled(FAINT, ":")
            ),
        };
        self.terminal.out(&line);
    }
}

fn shown_lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// For a progress line: neither colours nor anything that moves.
fn one_line(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    plain.chars().filter(|c| !c.is_control()).collect()
}
