//! Load by `h2load`, and what it prints.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalog::Work;
use super::server::Server;
use super::wrk::Load;

/// Ask for `work` for some time, with `streams` requests at once on each connection. `log` is
/// where each request's time is written.
pub(crate) fn run(
    log: &Path,
    work: &Work,
    server: &Server,
    connections: u32,
    streams: u32,
    time: Duration,
) -> Result<Load, String> {
    let _ = fs::remove_file(log);
    let output = Command::new("h2load")
        .args(["--threads", "1"])
        .arg(format!("--clients={connections}"))
        .arg(format!("--max-concurrent-streams={streams}"))
        .arg(format!("--duration={}", time.as_secs().max(1)))
        .arg(format!("--log-file={}", log.display()))
        .arg(server.url(work))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run h2load: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let times = fs::read_to_string(log).unwrap_or_default();
    parse(&text, &times).ok_or_else(|| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        format!("h2load measured nothing: {}{}", text.trim(), stderr.trim())
    })
}

/// `times`: a line for each request, with its begin, its status and how many microseconds it took.
fn parse(text: &str, times: &str) -> Option<Load> {
    let mut load = Load::default();
    for line in text.lines() {
        let words: Vec<&str> = line
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            ["finished", "in", _, rate, "req/s", ..] => load.rate = rate.parse().ok()?,
            [
                "requests:",
                _,
                "total",
                _,
                "started",
                done,
                "done",
                _,
                "succeeded",
                failed,
                "failed",
                errored,
                "errored",
                ..,
            ] => {
                load.requests = done.parse().ok()?;
                load.errors = failed.parse::<u64>().ok()? + errored.parse::<u64>().ok()?;
            }
            _ => {}
        }
    }
    let took = times
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse::<u64>().ok());
    let mut took: Vec<u64> = took.collect();
    took.sort_unstable();
    let at = |share: f64| {
        let last = took.len().checked_sub(1)?;
        let micros = *took.get((last as f64 * share) as usize)?;
        Some(micros as f64 * 1e-6)
    };
    (load.p50, load.p99) = (at(0.5)?, at(0.99)?);
    (load.requests > 0).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_h2load_prints_is_read() {
        let text = "starting benchmark...\n\
            finished in 2.00s, 15000.50 req/s, 16.00MB/s\n\
            requests: 30001 total, 30640 started, 30001 done, 29990 succeeded, 11 failed, 2 errored, 0 timeout\n\
            status codes: 30001 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        let times: String = (1..=200)
            .map(|took| format!("1700000\t200\t{took}\n"))
            .collect();
        let load = parse(text, &times).unwrap();
        assert_eq!((load.requests, load.errors), (30_001, 13));
        assert!((load.rate - 15_000.5).abs() < 1e-9);
        assert!((load.p50 - 100e-6).abs() < 1e-9);
        assert!((load.p99 - 198e-6).abs() < 1e-9);
    }

    #[test]
    fn a_run_without_an_answer_is_no_measurement() {
        assert_eq!(parse("starting benchmark...\n", ""), None);
    }
}
