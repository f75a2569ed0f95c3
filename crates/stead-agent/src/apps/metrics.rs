//! What visitors of an app got, as the edge counts it (docs/metrics.md).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The edge answers at once, on a thread of its own.
const PATIENCE: Duration = Duration::from_secs(5);
/// Some thousand apps.
const LONGEST: u64 = 64 << 20;

/// Requests of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// All of them.
    pub(crate) requests: u64,
    /// Those with a status from 500 on.
    pub(crate) errors: u64,
}

impl Answered {
    /// The share of errors, 0 to 1.
    fn share(self) -> f64 {
        self.errors as f64 / self.requests.max(1) as f64
    }

    /// Whether a release fails its visitors as the one before it did not: at least 10 requests, and more than one in ten, and
    /// more than three times as many as before.
    pub(crate) fn is_worse_than(self, before: Self) -> bool {
        const FEW: u64 = 10;
        const TOLERATED: f64 = 0.1;
        self.errors >= FEW && self.share() > TOLERATED && self.share() > 3.0 * before.share()
    }
}

/// What an edge has counted: by app, then by release.
pub(crate) type Counted = BTreeMap<String, BTreeMap<u64, Answered>>;

/// What the edge had counted at some moments of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<(Instant, Counted)>>);

impl Recent {
    /// Between two looks.
    const PAUSE: Duration = Duration::from_secs(10);
    /// What is called a minute: the oldest look that is no older than the second, and at least as old as the first.
    const MINUTE: (Duration, Duration) = (Duration::from_secs(50), Duration::from_secs(70));

    /// Look every ten seconds, for as long as the agent runs.
    pub(crate) async fn look(&self, socket: &Path) {
        loop {
            match ask_all(socket).await {
                Ok(counted) => self.remember(Instant::now(), counted),
                // An edge that is replaced answers again soon, and has counted from the beginning.
                Err(_) => self.lock().clear(),
            }
            tokio::time::sleep(Self::PAUSE).await;
        }
    }

    fn remember(&self, at: Instant, counted: Counted) {
        let mut looks = self.lock();
        looks.push_back((at, counted));
        while looks
            .front()
            .is_some_and(|(old, _)| at.duration_since(*old) > Self::MINUTE.1)
        {
            looks.pop_front();
        }
    }

    /// What an app has answered in the last minute, `is` being what is counted now. `None`: nobody looked a minute ago, or the edge has
    /// begun to count anew.
    pub(crate) fn last_minute(
        &self,
        now: Instant,
        app: &str,
        is: &BTreeMap<u64, Answered>,
    ) -> Option<Answered> {
        let looks = self.lock();
        let ago = |at: Instant| now.saturating_duration_since(at);
        let minute = Self::MINUTE.0..=Self::MINUTE.1;
        let (_, counted) = looks.iter().find(|(at, _)| minute.contains(&ago(*at)))?;
        let none = BTreeMap::new();
        let was = counted.get(app).unwrap_or(&none);
        let mut since = Answered::default();
        for (number, is) in is {
            let was = was.get(number).copied().unwrap_or_default();
            since.requests += is.requests.checked_sub(was.requests)?;
            since.errors += is.errors.checked_sub(was.errors)?;
        }
        Some(since)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Counted)>> {
        // What a panic left is a list all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ask the edge what it has counted for an app, by release.
pub(crate) async fn ask(socket: &Path, app: &str) -> io::Result<BTreeMap<u64, Answered>> {
    Ok(ask_all(socket).await?.remove(app).unwrap_or_default())
}

/// Ask the edge what it has counted.
async fn ask_all(socket: &Path) -> io::Result<Counted> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut text = Vec::new();
        stream.take(LONGEST).read_to_end(&mut text).await?;
        io::Result::Ok(text)
    };
    let text = timeout(PATIENCE, asked).await??;
    Ok(read(&String::from_utf8_lossy(&text)))
}

/// The lines of `stead_requests_total`. Names and numbers need no escapes.
fn read(text: &str) -> Counted {
    let mut found = Counted::new();
    for line in text.lines() {
        let Some((labels, count)) = line
            .strip_prefix("stead_requests_total{")
            .and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let label = |name: &str| {
            labels.split(',').find_map(|label| {
                let value = label.strip_prefix(name)?.strip_prefix("=\"")?;
                value.strip_suffix('"')
            })
        };
        let number = label("release").and_then(|release| release.parse().ok());
        let count = count.split(' ').next().and_then(|count| count.parse().ok());
        let (Some(number), Some(count), Some(app)) = (number, count, label("app")) else {
            continue;
        };
        let app = found.entry(app.to_owned()).or_default();
        let of: &mut Answered = app.entry(number).or_default();
        of.requests = of.requests.saturating_add(count);
        if label("status") == Some("5xx") {
            of.errors = of.errors.saturating_add(count);
        }
    }
    found
}

#[cfg(test)]
mod tests;
