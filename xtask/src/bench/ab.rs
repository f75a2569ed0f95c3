//! Load by `ab`, and what it prints: for whole handshakes, since `wrk` takes its sessions up again, and so the server
//! signs nothing.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalog::Work;
use super::server::Server;
use super::wrk::Load;

/// More than are answered in any time; `ab` takes 32 bytes for each.
const MOST_REQUESTS: &str = "1000000";

/// Ask for `work` for some time, each time over a connection of its own that knows nothing of those before.
pub(crate) fn run(
    work: &Work,
    server: &Server,
    connections: u32,
    time: Duration,
) -> Result<Load, String> {
    let output = Command::new("ab")
        .args(["-q", "-f", "TLS1.3", "-s", "30"])
        .args(["-t", &time.as_secs().max(1).to_string()])
        // `-t` sets a bound of its own, so this comes after it.
        .args(["-n", MOST_REQUESTS, "-c", &connections.to_string()])
        .arg(server.url(work))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run ab: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    parse(&text, &stderr)
        .ok_or_else(|| format!("ab measured nothing: {}{}", text.trim(), stderr.trim()))
}

/// `complaints`: what it said beside; a handshake that failed is complete to it, and no failure.
fn parse(text: &str, complaints: &str) -> Option<Load> {
    let mut load = Load::default();
    let (mut half, mut most) = (None, None);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["Complete", "requests:", count] => load.requests = count.parse().ok()?,
            ["Failed", "requests:", count] | ["Non-2xx", "responses:", count] => {
                load.errors += count.parse::<u64>().ok()?;
            }
            ["Requests", "per", "second:", rate, ..] => load.rate = rate.parse().ok()?,
            ["50%", milliseconds] => half = milliseconds.parse::<f64>().ok(),
            ["99%", milliseconds] => most = milliseconds.parse::<f64>().ok(),
            _ => {}
        }
    }
    let failed = complaints
        .lines()
        .filter(|line| line.starts_with("SSL "))
        .count() as u64;
    load.requests = load.requests.saturating_sub(failed);
    load.errors += failed;
    (load.p50, load.p99) = (half? * 1e-3, most? * 1e-3);
    (load.requests > 0).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_ab_prints_is_read() {
        let text = "SSL/TLS Protocol:       TLSv1.3,TLS_AES_256_GCM_SHA384,2048,256\n\
            Complete requests:      852\n\
            Failed requests:        3\n\
            \x20  (Connect: 0, Receive: 0, Length: 3, Exceptions: 0)\n\
            Non-2xx responses:      2\n\
            Requests per second:    425.86 [#/sec] (mean)\n\
            Percentage of the requests served within a certain time (ms)\n\
            \x20 50%    145\n\
            \x20 98%    176\n\
            \x20 99%    178\n\
            \x20100%    184 (longest request)\n";
        let complaints = "SSL handshake failed (1).\n80B5:error:0A000410:SSL routines\n";
        let load = parse(text, complaints).unwrap();
        assert_eq!((load.requests, load.errors), (851, 6));
        assert!((load.rate - 425.86).abs() < 1e-9);
        assert!((load.p50 - 0.145).abs() < 1e-9);
        assert!((load.p99 - 0.178).abs() < 1e-9);
    }

    #[test]
    fn a_run_without_an_answer_is_no_measurement() {
        assert_eq!(
            parse("apr_socket_recv: Connection refused (111)\n", ""),
            None
        );
    }
}
