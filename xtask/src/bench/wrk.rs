//! Load by `wrk`, and what it prints.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalog;
use super::catalog::Work;
use super::server::Server;

/// What one run measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// Answered.
    pub(crate) requests: u64,
    /// Answered in a second.
    pub(crate) rate: f64,
    /// Seconds that half of the requests stayed under.
    pub(crate) p50: f64,
    /// Seconds that 99 of 100 stayed under.
    pub(crate) p99: f64,
    /// Connections refused or cut, time-outs, and answers other than 2xx and 3xx.
    pub(crate) errors: u64,
}

/// Ask for `work` for some time.
pub(crate) fn run(
    scripts: &Path,
    work: &Work,
    server: &Server,
    connections: u32,
    time: Duration,
) -> Result<Load, String> {
    let mut command = Command::new("wrk");
    command.args(["--latency", "--threads", "1", "--timeout", "30s"]);
    command.arg(format!("--connections={connections}"));
    command.arg(format!("--duration={}s", time.as_secs().max(1)));
    match work.load {
        catalog::Load::Script(script) => {
            command.arg("--script").arg(scripts.join(script));
        }
        catalog::Load::Hosts => {
            command.arg("--script").arg(scripts.join("hosts.lua"));
        }
        catalog::Load::New => {
            command.args(["--header", "Connection: close"]);
        }
        _ => {}
    }
    command.arg(server.url(work));
    if work.load == catalog::Load::Hosts {
        command.arg("--").arg(server.peer.name);
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        format!("wrk measured nothing: {}{}", text.trim(), stderr.trim())
    })
}

fn parse(text: &str) -> Option<Load> {
    let mut load = Load::default();
    let mut complete = false;
    for line in text.lines() {
        let words: Vec<&str> = line
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            ["50%", value] => load.p50 = seconds(value)?,
            ["99%", value] => load.p99 = seconds(value)?,
            [requests, "requests", "in", ..] => load.requests = requests.parse().ok()?,
            ["Requests/sec:", rate] => {
                load.rate = rate.parse().ok()?;
                complete = true;
            }
            ["Socket", "errors:", rest @ ..] => {
                load.errors += rest
                    .iter()
                    .filter_map(|word| word.parse::<u64>().ok())
                    .sum::<u64>();
            }
            ["Non-2xx", "or", "3xx", "responses:", count] => {
                load.errors += count.parse::<u64>().ok()?
            }
            _ => {}
        }
    }
    complete.then_some(load)
}

/// `1.23ms`, `850.00us`, `1.02s`, `1.10m`.
fn seconds(text: &str) -> Option<f64> {
    for (unit, factor) in [
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Load, parse};

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "Running 2s test @ http://127.0.0.1:8000/\n\
            \x20 1 threads and 32 connections\n\
            \x20 Thread Stats   Avg      Stdev     Max   +/- Stdev\n\
            \x20   Latency     2.10ms    1.00ms  20.00ms   90.00%\n\
            \x20   Req/Sec    15.00k     1.00k   16.00k    70.00%\n\
            \x20 Latency Distribution\n\
            \x20    50%  850.00us\n\
            \x20    75%    2.00ms\n\
            \x20    90%    3.00ms\n\
            \x20    99%    1.02s\n\
            \x20 30000 requests in 2.00s, 4.00MB read\n\
            \x20 Socket errors: connect 1, read 2, write 0, timeout 3\n\
            \x20 Non-2xx or 3xx responses: 4\n\
            Requests/sec:  15000.50\n\
            Transfer/sec:      2.00MB\n";
        let load = parse(text).unwrap();
        let expected = Load {
            requests: 30_000,
            rate: 15_000.5,
            p50: 850e-6,
            p99: 1.02,
            errors: 10,
        };
        assert!((load.p50 - expected.p50).abs() < 1e-9);
        assert_eq!(
            Load {
                p50: expected.p50,
                ..load
            },
            expected
        );
    }

    #[test]
    fn an_aborted_run_is_no_measurement() {
        assert_eq!(
            parse("unable to connect to 127.0.0.1:1 Connection refused\n"),
            None
        );
    }
}
