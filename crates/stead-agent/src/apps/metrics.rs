//! What visitors of an app got, as the edge counts it (docs/metrics.md).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

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

/// Ask the edge what it has counted for an app, by release.
pub(crate) async fn ask(socket: &Path, app: &str) -> io::Result<BTreeMap<u64, Answered>> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut text = Vec::new();
        stream.take(LONGEST).read_to_end(&mut text).await?;
        io::Result::Ok(text)
    };
    let text = timeout(PATIENCE, asked).await??;
    Ok(read(&String::from_utf8_lossy(&text), app))
}

/// The lines of `stead_requests_total` that are about an app. Names and numbers need no escapes.
fn read(text: &str, app: &str) -> BTreeMap<u64, Answered> {
    let mut found: BTreeMap<u64, Answered> = BTreeMap::new();
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
        let (Some(number), Some(count), true) = (number, count, label("app") == Some(app)) else {
            continue;
        };
        let of: &mut Answered = found.entry(number).or_default();
        of.requests = of.requests.saturating_add(count);
        if label("status") == Some("5xx") {
            of.errors = of.errors.saturating_add(count);
        }
    }
    found
}

#[cfg(test)]
mod tests;
