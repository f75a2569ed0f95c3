//! `--watch`: changes of the source, in batches.
//!
//! Every directory of the source has a watch of its own, so that `node_modules` and the like cost
//! none. What counts as a change is in [`rules`]; what git ignores, in [`ignore`].

mod ignore;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use stead_model::manifest::Manifest;
use tokio::sync::mpsc::UnboundedSender;

use crate::problem::Problem;
use rules::Rules;

/// A batch ends when nothing changed for this long,
const QUIET: Duration = Duration::from_millis(200);
/// or when it has lasted for this long.
const LONGEST: Duration = Duration::from_secs(2);
/// Changes this soon after a load are still the app's own start.
const AFTERMATH: Duration = Duration::from_millis(500);
/// A file that changed during so many loads in a row, each of which it caused and each of which
/// went well, is written by the app itself: data,
const STRIKES_OF_DATA: u8 = 2;
/// and what a person may well save again and again while a slow app starts.
const STRIKES_OF_CODE: u8 = 6;
/// More directories than this are not watched: something is wrong with what is ignored.
const MOST_DIRECTORIES: usize = 20_000;

/// Something happened to the source.
#[derive(Debug)]
pub(super) enum Change {
    /// These files changed, relative to the source.
    Files(Vec<PathBuf>),
    /// A sentence for the person.
    Note(String),
}

/// Watches a source tree for as long as it lives.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What the manifest says about paths.
    rules: Rules,
    /// A load is going on, or ended just now.
    loading: Option<Loading>,
    /// Files that change whenever the app is loaded, and how often in a row they did.
    strikes: BTreeMap<PathBuf, u8>,
}

#[derive(Debug)]
struct Loading {
    /// What caused the load.
    causes: BTreeSet<PathBuf>,
    /// Those causes that changed again meanwhile.
    again: BTreeSet<PathBuf>,
    /// When the load ended.
    ended: Option<Instant>,
    /// The app did not start: whatever changed since was a person mending it.
    failed: bool,
}

impl Watch {
    /// Start watching `dir`, but for `state`.
    pub(super) fn start(
        dir: &Path,
        state: &Path,
        changes: UnboundedSender<Change>,
    ) -> Result<Self, Problem> {
        let failed =
            |why: String| Problem::new(format!("cannot watch `{}`", dir.display())).cause(why);
        let (sender, events) = channel();
        let watcher = notify::recommended_watcher(sender).map_err(|error| failed(why(&error)))?;
        let shared = Arc::new(Mutex::new(Shared {
            rules: Rules::new(dir, state),
            ..Shared::default()
        }));
        let tree = Tree {
            dir: dir.to_owned(),
            watcher,
            watched: BTreeSet::new(),
            full: false,
            changes,
            shared: Arc::clone(&shared),
        };
        std::thread::Builder::new()
            .name("watch".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || tree.run(&events))
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { shared })
    }

    /// A load of this manifest begins.
    pub(super) fn expect(&self, manifest: &Manifest) {
        let mut shared = lock(&self.shared);
        shared.rules.learn(manifest);
        if let Some(loading) = &mut shared.loading {
            loading.ended = None;
        }
    }

    /// The load is over; `well`: the release serves.
    pub(super) fn settled(&self, well: bool) {
        if let Some(loading) = &mut lock(&self.shared).loading {
            loading.ended = Some(Instant::now());
            loading.failed = !well;
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `app.py`, or `app.py and 3 more`, for a sentence.
pub(super) fn named(files: &[PathBuf]) -> String {
    match files {
        [] => "the source changed".to_owned(),
        [one] => format!("{} changed", one.display()),
        [one, others @ ..] => format!("{} and {} more changed", one.display(), others.len()),
    }
}

/// What the thread has.
struct Tree {
    dir: PathBuf,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// The kernel refused further watches, and the person knows.
    full: bool,
    changes: UnboundedSender<Change>,
    shared: Arc<Mutex<Shared>>,
}

impl Tree {
    fn run(mut self, events: &Receiver<notify::Result<notify::Event>>) {
        let top = self.dir.clone();
        self.watch_below(&top, None);
        while let Ok(event) = events.recv() {
            let mut files = BTreeSet::new();
            let began = Instant::now();
            self.collect(event, &mut files);
            loop {
                match events.recv_timeout(QUIET) {
                    Ok(event) => self.collect(event, &mut files),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if began.elapsed() > LONGEST {
                    break;
                }
            }
            let (files, notes) = lock(&self.shared).judge(files, began);
            for note in notes {
                let _ = self.changes.send(Change::Note(note));
            }
            if !files.is_empty() && self.changes.send(Change::Files(files)).is_err() {
                return;
            }
        }
    }

    /// Put the files that an event is about into `files`.
    fn collect(&mut self, event: notify::Result<notify::Event>, files: &mut BTreeSet<PathBuf>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let note = format!(
                    "a change of the source may have been missed: {}",
                    why(&error)
                );
                let _ = self.changes.send(Change::Note(note));
                return;
            }
        };
        if event.need_rescan() {
            let note = "changes came faster than they could be noticed; `kill -HUP` reloads";
            let _ = self.changes.send(Change::Note(note.to_owned()));
            let top = self.dir.clone();
            self.watch_below(&top, None);
            return;
        }
        // Reading is no change; neither is a new owner or access time.
        let relevant = matches!(
            event.kind,
            EventKind::Create(_)
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Name(_) | ModifyKind::Any)
        );
        if !relevant {
            return;
        }
        for path in event.paths {
            let is_dir = path
                .symlink_metadata()
                .is_ok_and(|metadata| metadata.is_dir());
            if is_dir {
                self.watch_below(&path, Some(files));
                continue;
            }
            let gone_dir = self.watched.remove(&path);
            let relative = path.strip_prefix(&self.dir).unwrap_or(&path).to_owned();
            if !gone_dir && lock(&self.shared).rules.counts(&relative) {
                files.insert(relative);
            }
        }
    }

    /// Watch a directory and those below it. `found`: files there are new, so they count.
    fn watch_below(&mut self, dir: &Path, mut found: Option<&mut BTreeSet<PathBuf>>) {
        let mut pending = vec![dir.to_owned()];
        while let Some(dir) = pending.pop() {
            let relative = dir.strip_prefix(&self.dir).unwrap_or(&dir).to_owned();
            if !lock(&self.shared).rules.enters(&relative) || !self.watch_one(&dir) {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&dir) else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                if kind.is_dir() {
                    pending.push(entry.path());
                } else if let Some(found) = &mut found {
                    let relative = relative.join(entry.file_name());
                    if lock(&self.shared).rules.counts(&relative) {
                        found.insert(relative);
                    }
                }
            }
        }
    }

    fn watch_one(&mut self, dir: &Path) -> bool {
        if self.full || self.watched.contains(dir) {
            return !self.full;
        }
        let refusal = match self.watched.len() < MOST_DIRECTORIES {
            true => self.watcher.watch(dir, RecursiveMode::NonRecursive).err(),
            false => Some(notify::Error::new(notify::ErrorKind::MaxFilesWatch)),
        };
        match refusal {
            None => {
                self.watched.insert(dir.to_owned());
                true
            }
            Some(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
                self.full = true;
                let note = format!(
                    "only {} directories are watched, the system allows no more; to allow more, run: sudo sysctl fs.inotify.max_user_watches=524288",
                    self.watched.len()
                );
                let _ = self.changes.send(Change::Note(note));
                false
            }
            // It is gone again, or may not be read.
            Some(_) => false,
        }
    }
}

impl Shared {
    /// Which of the changed files are a reason to load again. A file that the app writes while it
    /// starts would be one for ever; after a few loads it no longer is.
    fn judge(
        &mut self,
        files: BTreeSet<PathBuf>,
        changed_at: Instant,
    ) -> (Vec<PathBuf>, Vec<String>) {
        let mut notes = Vec::new();
        let during_load = self.loading.as_ref().is_some_and(|loading| {
            let soon = |ended: Instant| changed_at.saturating_duration_since(ended) < AFTERMATH;
            !loading.failed && loading.ended.is_none_or(soon)
        });
        let files: BTreeSet<PathBuf> = files
            .into_iter()
            .filter(|file| !self.is_own(file))
            .collect();
        if let Some(loading) = self.loading.as_mut().filter(|_| during_load) {
            loading
                .again
                .extend(files.intersection(&loading.causes).cloned());
        }
        if files.is_empty() {
            return (Vec::new(), notes);
        }
        if let Some(last) = self.loading.take() {
            for file in &last.causes {
                match last.again.contains(file) {
                    true => *self.strikes.entry(file.clone()).or_default() += 1,
                    false => drop(self.strikes.remove(file)),
                }
            }
        }
        let (own, changed): (Vec<PathBuf>, Vec<PathBuf>) =
            files.into_iter().partition(|file| self.is_own(file));
        if !own.is_empty() {
            notes.push(format!(
                "{} whenever the app starts: not watched any more; name it in .gitignore",
                named(&own).replace(" changed", " changes")
            ));
        }
        if !changed.is_empty() {
            self.loading = Some(Loading {
                causes: changed.iter().cloned().collect(),
                again: BTreeSet::new(),
                ended: None,
                failed: false,
            });
        }
        (changed, notes)
    }

    /// Whether the app writes this file itself.
    fn is_own(&self, file: &Path) -> bool {
        let limit = match rules::is_data(file) {
            true => STRIKES_OF_DATA,
            false => STRIKES_OF_CODE,
        };
        self.strikes
            .get(file)
            .is_some_and(|strikes| *strikes >= limit)
    }
}

fn why(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::Io(error) => crate::problem::because(error),
        notify::ErrorKind::MaxFilesWatch => "the system allows no more watches".to_owned(),
        _ => error.to_string(),
    }
}
