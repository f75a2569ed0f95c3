//! Whether an instance of a server that an app brings along can be trusted with requests: how its answers
//! were, how its checks went, and how new it is. No waiting and no clock in here.

use std::time::Duration;

use tokio::time::Instant;

/// Connections in a row that could not be made, before an instance is left out.
const REFUSALS: u32 = 5;
/// Answers are counted over the last one to two of these.
const WINDOW: Duration = Duration::from_secs(5);
/// So many answers are needed before their share of failures says anything: at one failure in twenty,
/// half of twenty failing happens once in a hundred million times.
const ENOUGH: u32 = 20;
/// How long an instance is left out the first time; each further time in a row takes twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause; an instance that did well for as long begins anew.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// An instance that joins others gets its full share of requests after this time: its caches are cold.
const SLOW_START: Duration = Duration::from_secs(10);
/// Checks in a row that must fail.
const CHECKS: u32 = 3;
/// An instance that was left out so often in a row is replaced.
const PAUSES: u32 = 3;
/// The weight of an instance that gets its full share.
pub(super) const FULL: u32 = 100;

/// How a request went for its instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It says nothing: the visitor left, say.
    #[default]
    Unknown,
    /// Answered, and not with 5xx.
    Good,
    /// Answered 5xx, too late, or in a way that cannot be understood.
    Failed,
    /// No connection could be made, so it has seen nothing of the request.
    Unreachable,
}

/// What is known of one instance.
#[derive(Debug)]
pub(super) struct Health {
    /// From when on it gets requests, a few at first; `None`: it always got its share.
    joined: Option<Instant>,
    /// Of the present window and of the one before.
    counts: [Counts; 2],
    /// When the present window began.
    window: Instant,
    refusals: u32,
    /// How often in a row it was left out.
    pauses: u32,
    out_until: Option<Instant>,
    failed_checks: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    answers: u32,
    failures: u32,
}

impl Health {
    /// An instance that is new at `now`; `joins`: beside others that serve already.
    pub(super) fn new(now: Instant, joins: bool) -> Self {
        Self {
            joined: joins.then_some(now),
            counts: [Counts::default(); 2],
            window: now,
            refusals: 0,
            pauses: 0,
            out_until: None,
            failed_checks: 0,
        }
    }

    /// Take note of how a request went.
    pub(super) fn observe(&mut self, outcome: Outcome, now: Instant) {
        self.move_on(now);
        match outcome {
            Outcome::Unknown => {}
            Outcome::Unreachable => self.refusals += 1,
            Outcome::Good | Outcome::Failed => {
                self.refusals = 0;
                self.counts[0].answers += 1;
                self.counts[0].failures += u32::from(outcome == Outcome::Failed);
            }
        }
    }

    fn move_on(&mut self, now: Instant) {
        let age = now.duration_since(self.window);
        if age >= 2 * WINDOW {
            self.counts = [Counts::default(); 2];
        } else if age >= WINDOW {
            self.counts = [Counts::default(), self.counts[0]];
        } else {
            return;
        }
        self.window = now;
    }

    /// Answers that are counted, and how many of them are failures.
    fn tally(&self) -> Counts {
        Counts {
            answers: self.counts[0].answers + self.counts[1].answers,
            failures: self.counts[0].failures + self.counts[1].failures,
        }
    }

    /// Why it should be left out, if the others do better.
    pub(super) fn complaint(&self) -> Option<String> {
        if self.refusals >= REFUSALS {
            return Some(format!("{REFUSALS} connections in a row could not be made"));
        }
        let Counts { answers, failures } = self.tally();
        (answers >= ENOUGH && failures * 2 >= answers)
            .then(|| format!("{failures} of its last {answers} requests failed"))
    }

    /// Fewer than a quarter of its requests fail: that the others' do is not the app's fault.
    pub(super) fn does_better(&self) -> bool {
        let Counts { answers, failures } = self.tally();
        self.refusals == 0 && failures * 4 <= answers
    }

    /// It does better, and that is more than the lack of requests.
    pub(super) fn is_proven(&self) -> bool {
        self.tally().answers >= ENOUGH / 4 && self.does_better()
    }

    /// Leave it out for a while. `true`: it happened so often that it should be replaced.
    pub(super) fn pause(&mut self, now: Instant) -> bool {
        let returned = self.out_until.unwrap_or(now);
        if now.saturating_duration_since(returned) >= LONGEST_PAUSE {
            self.pauses = 0;
        }
        let pause = FIRST_PAUSE * 2_u32.pow(self.pauses.min(8));
        let until = now + pause.min(LONGEST_PAUSE);
        self.pauses += 1;
        self.out_until = Some(until);
        // It comes back like a new one.
        self.joined = Some(until);
        self.counts = [Counts::default(); 2];
        self.refusals = 0;
        self.pauses == PAUSES
    }

    /// It gets no requests, if there is another instance.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        self.failed_checks >= CHECKS || self.out_until.is_some_and(|until| until > now)
    }

    /// A check went like this. `true`: it is the one that makes it count as failing.
    pub(super) fn checked(&mut self, good: bool) -> bool {
        self.failed_checks = if good { 0 } else { self.failed_checks + 1 };
        self.failed_checks == CHECKS
    }

    /// Its share of the requests, up to [`FULL`], beside instances that have their full share.
    pub(super) fn weight(&self, now: Instant) -> u32 {
        let Some(joined) = self.joined else {
            return FULL;
        };
        let age = now.saturating_duration_since(joined).min(SLOW_START);
        let share = age.as_millis() * u128::from(FULL) / SLOW_START.as_millis();
        (share as u32).max(FULL / 10)
    }

    /// In one word.
    pub(super) fn word(&self, now: Instant) -> &'static str {
        if self.failed_checks >= CHECKS {
            "failing"
        } else if self.is_out(now) {
            "ejected"
        } else if self.weight(now) < FULL {
            "starting"
        } else {
            "serving"
        }
    }
}

/// What a check says that failed, for a person.
pub(super) fn failing(path: &str, outcome: &Result<u16, String>) -> String {
    match outcome {
        Ok(status) => {
            format!("{CHECKS} checks in a row failed: `GET {path}` was answered {status}")
        }
        Err(why) => format!("{CHECKS} checks in a row failed: `GET {path}`: {why}"),
    }
}

#[cfg(test)]
mod tests;
