//! How an app is, on one screen.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::json;
use stead_model::agent::{
    AppStatus, CertificateStatus, InstanceState, InstanceStatus, JobStatus, ProcessStatus,
};

use super::super::text::{ERROR, FAINT, GOOD, STRONG, WARNING, shown, styled};
use super::{bytes, minute, of};

/// A certificate that has fewer days left than this is not renewed as it should be.
const NEAR: i64 = 14;
/// As wide as the longest word before a line.
const WIDTH: usize = 13;

/// For a person.
pub(crate) fn status(all: &[(String, AppStatus)], now: Timestamp) -> String {
    let mut text = String::new();
    for (at, (host, status)) in all.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let name = styled(STRONG, &shown(&status.app));
        let _ = writeln!(text, "{name} on {}", shown(host));
        for (word, line) in lines(status, now) {
            let _ = writeln!(text, "  {word:WIDTH$}{line}");
        }
    }
    text
}

fn lines(status: &AppStatus, now: Timestamp) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut say = |word: &str, line: String| lines.push((word.to_owned(), line));
    match &status.release {
        Some(release) => {
            let since = format!("{} ({} ago)", minute(release.at), ago(release.at, now));
            let origin = of(&release.origin);
            let who = shown(&release.origin.who);
            let by = [who, origin].into_iter().filter(|text| !text.is_empty());
            let by: Vec<String> = by.collect();
            say(
                "release",
                format!("{}, {since}: {}", release.number, by.join(", ")),
            );
        }
        None => say("release", styled(ERROR, "none serves yet")),
    }
    if let Some(deploying) = &status.deploying {
        let (who, step) = (shown(&deploying.who), shown(&deploying.step));
        let line = format!(
            "release {} of {who}, for {}: {step}",
            deploying.release,
            ago(deploying.since, now)
        );
        say("deploying", styled(WARNING, &line));
    }
    for process in &status.processes {
        say(&shown(&process.name), process_line(process));
        for instance in &process.instances {
            say("", instance_line(instance, now));
        }
    }
    if let Some(traffic) = &status.traffic {
        let counted = |requests: u64, errors: u64| match errors {
            0 => format!("{requests}, no errors"),
            errors => {
                let share = errors as f64 * 100.0 / requests.max(1) as f64;
                let errors = styled(WARNING, &format!("{errors} errors ({share:.1} %)"));
                format!("{requests}, {errors}")
            }
        };
        let mut line = counted(traffic.requests, traffic.errors);
        let _ = write!(line, " in {}", ago(traffic.since, now));
        if let (Some(requests), Some(errors)) =
            (traffic.requests_last_minute, traffic.errors_last_minute)
        {
            let _ = write!(line, "; {} in the last minute", counted(requests, errors));
        }
        say("requests", line);
    }
    for certificate in &status.certificates {
        say("certificate", certificate_line(certificate, now));
    }
    for job in &status.jobs {
        say("job", job_line(job, now));
    }
    let disk = &status.disk;
    say(
        "disk",
        format!(
            "{} of releases, {} of volumes, {} free",
            bytes(disk.releases),
            bytes(disk.volumes),
            bytes(disk.free)
        ),
    );
    for problem in &status.problems {
        say("problem", styled(ERROR, &shown(problem)));
    }
    lines
}

fn process_line(process: &ProcessStatus) -> String {
    let running = process.instances.iter();
    let running = running.filter(|instance| instance.state == InstanceState::Running);
    let running = running.count();
    let style = match running as u64 >= u64::from(process.wanted) {
        true => GOOD,
        false => ERROR,
    };
    let scaled = match process.scaled {
        true => ", as `stead scale` said",
        false => "",
    };
    let count = format!("{running} of {} run", process.wanted);
    format!("{}{scaled}", styled(style, &count))
}

fn instance_line(instance: &InstanceStatus, now: Timestamp) -> String {
    let state = match instance.state {
        InstanceState::Starting => styled(WARNING, "starts"),
        InstanceState::Running => "runs".to_owned(),
        InstanceState::Draining => styled(WARNING, "drains"),
        InstanceState::Failed => styled(ERROR, "failed"),
    };
    let mut line = format!(
        "{:10} {state}, release {}, for {}",
        shown(&instance.name),
        instance.release,
        ago(instance.since, now)
    );
    if let Some(memory) = instance.memory {
        let _ = write!(line, ", {}", bytes(memory));
    }
    match instance.restarts {
        0 => {}
        1 => line.push_str(&styled(WARNING, ", restarted once")),
        times => line.push_str(&styled(WARNING, &format!(", restarted {times} times"))),
    }
    line
}

fn certificate_line(certificate: &CertificateStatus, now: Timestamp) -> String {
    let host = shown(&certificate.host);
    let mut line = match (certificate.ends, &certificate.issuer) {
        (Some(ends), issuer) => {
            let days = (ends - now.as_second()).div_euclid(86_400);
            let issuer = issuer.as_deref().map(shown).unwrap_or_default();
            let left = match days {
                ..0 => styled(ERROR, &format!("ended {} ago", ago(ends, now))),
                0 => styled(ERROR, "ends today"),
                1 => styled(WARNING, "ends tomorrow"),
                2..NEAR => styled(WARNING, &format!("ends in {days} days")),
                days => format!("{days} days left"),
            };
            format!("{host}: of {issuer}, {left}")
        }
        (None, _) => format!("{host}: {}", styled(WARNING, "none yet")),
    };
    if let Some(problem) = &certificate.problem {
        let _ = write!(line, "; {}", styled(ERROR, &shown(problem)));
    }
    line
}

fn job_line(job: &JobStatus, now: Timestamp) -> String {
    let mut line = shown(&job.name);
    if let Some(schedule) = &job.schedule {
        let _ = write!(line, " ({})", shown(schedule));
    }
    match (job.running_since, job.last, &job.last_failure) {
        (Some(since), ..) => {
            let _ = write!(line, ": runs for {}", ago(since, now));
        }
        (None, Some(last), None) => {
            let _ = write!(line, ": went well {} ago", ago(last, now));
        }
        (None, Some(last), Some(why)) => {
            let failed = format!("failed {} ago: {}", ago(last, now), shown(why));
            let _ = write!(line, ": {}", styled(ERROR, &failed));
        }
        (None, None, _) => line.push_str(": has not run since the agent began"),
    }
    if let Some(next) = job.next {
        let next = styled(FAINT, &format!("next {}", minute(next)));
        let _ = write!(line, "; {next}");
    }
    line
}

/// The distance between two moments: `12 s`, `3 min`, `5 h`, `9 days`.
fn ago(seconds: i64, now: Timestamp) -> String {
    match now.as_second().abs_diff(seconds) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// For a program.
pub(crate) fn status_json(all: &[(String, AppStatus)]) -> String {
    let hosts = all.iter();
    let hosts = hosts.map(|(host, status)| json!({ "host": host, "status": status }));
    format!("{:#}\n", json!(hosts.collect::<Vec<_>>()))
}
