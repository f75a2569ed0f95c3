//! `stead host doctor`: whether a host is as it should be, finding by finding.

use std::process::ExitCode;

use stead_model::agent::{Answer, Wish};
use stead_model::host::{Facts, TLS_SOCKET, UNITS, objections, plan, remarks};

use super::{Reach, knock, now};
use crate::problem::Problem;
use crate::render::{Terminal, hosts};

/// One thing that was looked at.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Finding {
    /// How it is.
    pub(crate) mark: Mark,
    /// A sentence, lower case.
    pub(crate) text: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Not as it should be.
    Wrong,
}

impl Finding {
    fn new(mark: Mark, text: impl Into<String>) -> Self {
        Self {
            mark,
            text: text.into(),
        }
    }
}

/// Look at a host and say how it is.
pub(crate) fn doctor(reach: &Reach, json: bool, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let (session, digest) = reach.session(true)?;
    let facts = session.look()?;
    let mut findings = findings(&facts, session.installed.as_deref(), &digest);
    if facts.found.units.contains_key("stead-agent.service") {
        findings.push(match session.ask(Wish::Status) {
            Ok(Answer::Status(status)) => match status.edge {
                Ok(edge) => Finding::new(
                    Mark::Ok,
                    format!(
                        "the agent answers, and so does the edge: {} connections of visitors",
                        edge.connections
                    ),
                ),
                Err(causes) => Finding::new(
                    Mark::Wrong,
                    format!("the edge does not answer: {}", causes.join(": ")),
                ),
            },
            Ok(Answer::Refused { causes }) => Finding::new(Mark::Wrong, causes.join(": ")),
            Ok(_) => Finding::new(Mark::Wrong, "the agent answered something else than asked"),
            Err(failure) => Finding::new(
                Mark::Wrong,
                format!("the agent does not answer: {}", failure.causes.join(": ")),
            ),
        });
        findings.push(match knock(reach.target.host()) {
            Ok(()) => Finding::new(Mark::Ok, "visitors from here come as far as port 80"),
            Err(why) => Finding::new(
                Mark::Wrong,
                format!("port 80 is not reached from here ({why}): is there a firewall before it?"),
            ),
        });
    }
    match json {
        true => terminal.raw(hosts::findings_json(&facts, &findings).as_bytes()),
        false => {
            terminal.out(&hosts::facts(reach.target.as_str(), &facts));
            terminal.out(&hosts::findings(&findings));
        }
    }
    match findings.iter().any(|finding| finding.mark == Mark::Wrong) {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}

fn findings(facts: &Facts, installed: Option<&str>, own: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for objection in objections(facts) {
        findings.push(Finding::new(Mark::Wrong, objection.why));
    }
    for remark in remarks(facts, now()) {
        findings.push(Finding::new(Mark::Note, remark));
    }
    let Some(installed) = installed else {
        let text = "Stead is not installed there: `stead host add` does that";
        findings.push(Finding::new(Mark::Wrong, text));
        return findings;
    };
    let version = &facts.version;
    findings.push(match installed == own {
        true => Finding::new(
            Mark::Ok,
            format!("its program is this one, stead {version}"),
        ),
        false => Finding::new(
            Mark::Note,
            format!("its program is another one than this: stead {version}"),
        ),
    });
    for unit in UNITS {
        findings.push(match facts.found.units.get(unit.name) {
            Some(state) if state.active => {
                Finding::new(Mark::Ok, format!("{} is active", unit.name))
            }
            // Who has its port is said above.
            Some(state) if unit.name == TLS_SOCKET && facts.is_https_taken() => {
                Finding::new(Mark::Note, format!("{} is {}", unit.name, state.says))
            }
            Some(state) => Finding::new(Mark::Wrong, format!("{} is {}", unit.name, state.says)),
            None => Finding::new(Mark::Wrong, format!("{} is not there", unit.name)),
        });
    }
    // By the program that is there: a newer one on the laptop is no fault of the host.
    for step in plan(facts, installed) {
        let text = format!("`stead host add` would {}", step.text());
        findings.push(Finding::new(Mark::Wrong, text));
    }
    findings
}
