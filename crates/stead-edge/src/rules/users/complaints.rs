//! What is wrong with files of users, told when it begins and when it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stead_model::htpasswd::report;
use stead_model::messages::EdgeEvent;
use tokio::sync::mpsc::UnboundedSender;

/// Files that are not as they should be, and what is wrong with each.
#[derive(Debug)]
pub(crate) struct Complaints {
    by_file: Mutex<BTreeMap<PathBuf, String>>,
    events: UnboundedSender<EdgeEvent>,
}

impl Complaints {
    /// What is told goes to `events`.
    pub(crate) fn new(events: UnboundedSender<EdgeEvent>) -> Self {
        Self {
            by_file: Mutex::default(),
            events,
        }
    }

    /// This is wrong with a file, or nothing. It is told once, however many routes and visitors find it.
    pub(crate) fn tell(&self, file: &Path, problem: Option<String>) {
        let mut by_file = self.lock();
        let before = match &problem {
            Some(problem) => by_file.insert(file.to_owned(), problem.clone()),
            None => by_file.remove(file),
        };
        if before != problem {
            let file = file.to_owned();
            let _ = self.events.send(EdgeEvent::UsersFile { file, problem });
        }
    }

    /// No route names any other file from now on.
    pub(crate) fn keep(&self, is_named: impl Fn(&Path) -> bool) {
        self.lock().retain(|file, _| is_named(file));
    }

    /// All of them, as sentences for a person.
    pub(crate) fn all(&self) -> Vec<String> {
        let by_file = self.lock();
        let sentences = by_file.iter();
        let sentences = sentences.map(|(file, problem)| report(file, Some(problem)));
        sentences.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.by_file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
