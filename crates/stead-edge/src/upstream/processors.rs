//! Whether the machine's processors have time left, as `/proc/stat` counts it (proc_stat(5)).
//!
//! A request that takes long in an instance either waits for something, and another thread helps, or
//! its instance is not running at all because everybody wants a processor, and another thread makes
//! it worse. The edge sees only that no answer comes; the idle time of the machine tells the two apart.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks. Time is counted in hundredths of a second, so a shorter one would see little.
const WINDOW: Duration = Duration::from_millis(100);
/// After so long without a look nobody knows how it was meanwhile.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// What is known of the processors.
#[derive(Debug, Default)]
pub(super) struct Processors {
    last: Option<(Instant, Ticks)>,
    are_busy: bool,
}

/// Time of all processors together since the machine started, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    all: u64,
    /// With nothing to run; waiting for a disk counts, since a processor is free meanwhile.
    idle: u64,
}

impl Processors {
    /// Hardly any processor time is left to be had. Looks anew when the last look is old enough.
    pub(super) fn are_busy(&mut self, now: Instant) -> bool {
        let age = self.last.map(|(at, _)| now.duration_since(at));
        if age.is_none_or(|age| age >= WINDOW) {
            let line = std::fs::read_to_string("/proc/stat").unwrap_or_default();
            self.look(now, parse(&line));
        }
        self.are_busy
    }

    fn look(&mut self, now: Instant, ticks: Option<Ticks>) {
        let before = std::mem::take(&mut self.last);
        // Where nothing can be read they are taken for idle, as before this was looked at.
        self.are_busy = match (before, ticks) {
            (Some((at, before)), Some(ticks)) if now.duration_since(at) < FORGOTTEN => {
                let all = ticks.all.saturating_sub(before.all);
                let idle = ticks.idle.saturating_sub(before.idle);
                all > 0 && idle * 10 <= all
            }
            _ => false,
        };
        self.last = ticks.map(|ticks| (now, ticks));
    }
}

/// The line of all processors together: user, nice, system, idle, iowait, irq, softirq, steal.
fn parse(stat: &str) -> Option<Ticks> {
    let mut ticks = Ticks::default();
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    for (at, field) in fields.split_ascii_whitespace().take(8).enumerate() {
        let time: u64 = field.parse().ok()?;
        ticks.all = ticks.all.checked_add(time)?;
        if matches!(at, 3 | 4) {
            ticks.idle = ticks.idle.checked_add(time)?;
        }
    }
    Some(ticks)
}

#[cfg(test)]
mod tests;
