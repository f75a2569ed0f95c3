//! What `stead host` says.

use std::fmt::Write;

use serde_json::json;
use stead_model::host::{Facts, LOGS, Progress, STATE, Step};
use stead_remote::known::Known;

use super::text::{ERROR, FAINT, GOOD, STRONG, WARNING, shown, styled};
use crate::host::laptop::doctor::{Finding, Mark};

/// What a host is, in one line.
pub(crate) fn facts(target: &str, facts: &Facts) -> String {
    let systemd = facts.systemd.map_or_else(
        || "no systemd".to_owned(),
        |version| format!("systemd {version}"),
    );
    let cpus = match facts.cpus {
        1 => "1 CPU".to_owned(),
        cpus => format!("{cpus} CPUs"),
    };
    format!(
        "{} ({target}): {}, {}, {cpus}, {} of memory, {} free, {systemd}\n",
        styled(STRONG, &shown(&facts.name)),
        shown(&facts.system),
        shown(&facts.architecture),
        bytes(facts.memory),
        bytes(facts.disk_free),
    )
}

/// What would be done.
pub(crate) fn plan(steps: &[Step]) -> String {
    let mut text = "to do there:\n".to_owned();
    for step in steps {
        let _ = writeln!(text, "  {}", step.text());
    }
    text
}

/// A step that was done.
pub(crate) fn progress(progress: &Progress) -> String {
    match progress {
        Progress::Done { what, milliseconds } => {
            let took = match milliseconds {
                0..100 => String::new(),
                more => styled(
                    FAINT,
                    &format!(" ({}.{} s)", more / 1000, more % 1000 / 100),
                ),
            };
            format!("  {} {}{took}\n", styled(GOOD, "done:"), shown(what))
        }
        Progress::Failed { .. } | Progress::Finished => String::new(),
    }
}

/// What would be removed.
pub(crate) fn removal(target: &str, facts: &Facts, data: bool) -> String {
    let found = &facts.found;
    let mut text = format!(
        "of Stead, on {} ({target}):\n",
        styled(STRONG, &shown(&facts.name))
    );
    for unit in found.units.keys() {
        let _ = writeln!(text, "  the unit `{}`", shown(unit));
    }
    for file in found.files.keys() {
        let _ = writeln!(text, "  `{}`", shown(file));
    }
    for user in &found.users {
        let _ = writeln!(text, "  the user `{}`", shown(user));
    }
    if found.binary.is_some() {
        let _ = writeln!(text, "  `{}`", stead_model::host::BINARY);
    }
    if found.data {
        let goes = if data {
            "what apps keep"
        } else {
            "what apps keep, which stays unless you say otherwise"
        };
        let _ = writeln!(text, "  `{STATE}` and `{LOGS}`: {goes}");
    }
    text
}

/// The hosts that were added.
pub(crate) fn list(hosts: &[Known]) -> String {
    if hosts.is_empty() {
        return "no hosts yet: `stead host add USER@HOST` adds one\n".to_owned();
    }
    let width = hosts
        .iter()
        .map(|host| host.target.len())
        .max()
        .unwrap_or_default();
    hosts
        .iter()
        .map(|host| {
            format!(
                "{:width$}  {}, {}, {}, stead {}\n",
                host.target,
                shown(&host.name),
                shown(&host.system),
                shown(&host.architecture),
                shown(&host.version)
            )
        })
        .collect()
}

/// The same for a program.
pub(crate) fn list_json(hosts: &[Known]) -> String {
    serde_json::to_string_pretty(hosts).unwrap_or_default() + "\n"
}

/// How a host is, finding by finding.
pub(crate) fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (style, mark) = match finding.mark {
            Mark::Ok => (GOOD, "   ok"),
            Mark::Note => (WARNING, " note"),
            Mark::Wrong => (ERROR, "wrong"),
        };
        let _ = writeln!(text, "  {}  {}", styled(style, mark), shown(&finding.text));
    }
    text
}

/// The same for a program, with everything that was found.
pub(crate) fn findings_json(facts: &Facts, findings: &[Finding]) -> String {
    let all = json!({ "facts": facts, "findings": findings });
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}

/// `981 MB`, `17 GB`.
fn bytes(count: u64) -> String {
    match count >> 20 {
        megabytes @ 0..10_240 => format!("{megabytes} MB"),
        megabytes => format!("{} GB", megabytes >> 10),
    }
}
