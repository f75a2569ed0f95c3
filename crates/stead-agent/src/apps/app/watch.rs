//! The first minute of a release: when it fails its visitors as the one before it did not, that one comes back.

use std::time::Duration;

use stead_model::agent::Wish;

use super::App;
use crate::api::{Asked, Client};
use crate::apps::metrics::{self, Answered};

/// For so long.
const LONG: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Debug)]
pub(super) struct Watch {
    /// The release.
    number: u64,
    /// The one that served before.
    previous: u64,
    until: Duration,
    pub(super) next: Duration,
}

impl App {
    /// A release that was made has met its first visitor.
    pub(super) fn begin_watch(&mut self) {
        let now = self.epoch.elapsed();
        let watched = self.ongoing.as_ref().filter(|ongoing| ongoing.is_watched);
        self.watch = watched.and_then(|ongoing| {
            Some(Watch {
                number: ongoing.number,
                previous: ongoing.previous?,
                until: now + LONG,
                next: now + PAUSE,
            })
        });
    }

    /// See what its visitors got, if it is time.
    pub(super) async fn mind_the_watch(&mut self) {
        let now = self.epoch.elapsed();
        let Some(watch) = self.watch.as_mut().filter(|watch| now >= watch.next) else {
            return;
        };
        watch.next = now + PAUSE;
        let (number, previous) = (watch.number, watch.previous);
        if now >= watch.until || self.serving_number() != Some(number) {
            self.watch = None;
            return;
        }
        // While somebody changes something, it is theirs to see. An edge that does not count says nothing.
        if self.ongoing.is_some() {
            return;
        }
        let Ok(counted) = metrics::ask(&self.shared.metrics, &self.name).await else {
            return;
        };
        let of = |number: u64| counted.get(&number).copied().unwrap_or_default();
        let (is, was): (Answered, Answered) = (of(number), of(previous));
        if !is.is_worse_than(was) {
            return;
        }
        self.watch = None;
        let why = format!(
            "release {number} answered {} of its first {} requests with an error, so release {previous} came back by itself",
            is.errors, is.requests
        );
        self.remark(why.clone());
        let blamed = self.shared.store().blame(&self.name, number, &why);
        if let Err(failure) = blamed {
            self.remark(failure.to_string());
        }
        self.notice = Some(why);
        let wish = Wish::Rollback {
            app: self.name.clone(),
            to: Some(previous),
            who: "stead".to_owned(),
        };
        let client = Client::nobody();
        self.asked(Asked { wish, client }).await;
    }
}
