//! The certificates of an app that is deployed: listed, renewed, imported on each of its hosts.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use stead_model::agent::{Answer, ImportedCertificate, LONGEST_QUESTION, Wish};
use stead_remote::Session;

use super::ask::refused;
use super::{Place, sessions, unexpected};
use crate::problem::Problem;
use crate::render::{self, Terminal};

/// Say what there is, and what is missing why.
pub(crate) fn list(place: &Place, json: bool, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let mut all = Vec::new();
    for session in sessions(place)? {
        let app = Some(place.app.clone());
        let listing = match session.ask(Wish::Certificates { app })? {
            Answer::Certificates(listing) => *listing,
            answer => return Err(other(&session, answer)),
        };
        all.push((session.target().to_string(), listing));
    }
    match json {
        true => terminal.raw(render::certificates_of_hosts_json(&all).as_bytes()),
        false => terminal.out(&render::certificates_of_hosts(&all, Timestamp::now())),
    }
    Ok(ExitCode::SUCCESS)
}

/// Renew, those for `hosts` or all. The exit code says whether each has a new one.
pub(crate) fn renew(
    place: &Place,
    hosts: Vec<String>,
    json: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let mut all = Vec::new();
    for session in sessions(place)? {
        let wish = Wish::RenewCertificates {
            app: place.app.clone(),
            hosts: hosts.clone(),
        };
        let renewals = match session.ask(wish)? {
            Answer::Renewals(renewals) => renewals,
            answer => return Err(other(&session, answer)),
        };
        all.push((session.target().to_string(), renewals));
    }
    match json {
        true => terminal.raw(render::renewals_of_hosts_json(&all).as_bytes()),
        false => terminal.out(&render::renewals_of_hosts(&all)),
    }
    let mut renewals = all.iter().flat_map(|(_, renewals)| renewals);
    Ok(match renewals.all(|renewal| renewal.done) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Have a certificate shown. `chain` is the file that it is in, for a person.
pub(crate) fn import(
    place: &Place,
    imported: &ImportedCertificate,
    chain: &Path,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let act =
        |target: &str| Problem::new(format!("cannot import `{}` to `{target}`", chain.display()));
    // A line of JSON has a few bytes more, each end of a line among them.
    if imported.chain.len() + imported.key.len() > LONGEST_QUESTION / 2 {
        return Err(act(place.targets[0].as_str()).cause(format!(
            "chain and key together have {} KB at most",
            LONGEST_QUESTION / 2048
        )));
    }
    for session in sessions(place)? {
        let target = session.target().to_string();
        let listing = match session.ask(Wish::ImportCertificate(imported.clone()))? {
            Answer::Certificates(listing) => *listing,
            Answer::Refused { causes } => {
                return Err(Problem {
                    causes,
                    ..act(&target)
                });
            }
            _ => return Err(unexpected(session.target())),
        };
        terminal.out(&render::certificates_of_hosts(
            &[(target, listing)],
            Timestamp::now(),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn other(session: &Session, answer: Answer) -> Problem {
    match answer {
        Answer::Refused { causes } => refused(session, causes),
        _ => unexpected(session.target()),
    }
}
