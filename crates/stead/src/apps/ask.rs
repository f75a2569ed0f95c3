//! What is asked of apps that are deployed: how they are, what they were, and that they change.

use std::path::Path;
use std::process::ExitCode;

use stead_model::agent::{Answer, AppStatus, ReleaseInfo, Wish};
use stead_remote::{GiveUp, Session};

use super::{Place, Where, sessions, wave, who};
use crate::problem::Problem;
use crate::render::{Terminal, apps};

/// A change to an app.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Release `to`, or the one before, serves again.
    Rollback {
        /// Its number.
        to: Option<u64>,
    },
    /// New instances.
    Restart {
        /// Of this process alone.
        process: Option<String>,
    },
    /// Another number of instances; `None`: as the release says.
    Scale {
        /// Process and number.
        counts: Vec<(String, Option<u32>)>,
    },
}

impl Change {
    fn verb(&self) -> &'static str {
        match self {
            Self::Rollback { .. } => "roll back",
            Self::Restart { .. } => "restart",
            Self::Scale { .. } => "scale",
        }
    }

    fn wishes(&self, app: &str) -> Vec<Wish> {
        let app = || app.to_owned();
        match self {
            Self::Rollback { to } => vec![Wish::Rollback {
                app: app(),
                to: *to,
                who: who(),
            }],
            Self::Restart { process } => vec![Wish::Restart {
                app: app(),
                process: process.clone(),
            }],
            Self::Scale { counts } => counts
                .iter()
                .map(|(process, count)| Wish::Scale {
                    app: app(),
                    process: process.clone(),
                    count: *count,
                })
                .collect(),
        }
    }
}

/// Change an app on each of its hosts, and no further when one fails.
pub(crate) fn change(
    change: &Change,
    wanted: Where,
    json: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let place = Place::find(Path::new("."), wanted)?;
    let wishes = change.wishes(&place.app);
    for wish in &wishes {
        let act = format!("cannot {} `{}`", change.verb(), place.app);
        wish.check()
            .map_err(|why| Problem::invocation(act).cause(why))?;
    }
    let sessions = sessions(&place)?;
    let give_up = GiveUp::default();
    super::give_up_by_signal(&give_up, terminal)?;
    for wish in &wishes {
        let outcomes = wave::run(&sessions, &|_| wish.clone(), &give_up, terminal);
        match json {
            true => terminal.raw(apps::changes_json(&place, &outcomes).as_bytes()),
            false => terminal.out(&apps::changed(&place, change, &outcomes)),
        }
        let mut pairs = outcomes.iter().zip(&place.targets);
        let failed = pairs
            .find_map(|(came, target)| came.as_ref()?.problem(change.verb(), &place.app, target));
        if let Some(problem) = failed {
            return Err(problem);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Say how the app is on each of its hosts. The exit code says whether all is well.
pub(crate) fn status(wanted: Where, json: bool, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let place = Place::find(Path::new("."), wanted)?;
    let mut all: Vec<(String, AppStatus)> = Vec::new();
    for session in sessions(&place)? {
        let apps = match session.ask(Wish::Apps)? {
            Answer::Apps(apps) => apps,
            Answer::Refused { causes } => return Err(refused(&session, causes)),
            _ => return Err(super::unexpected(session.target())),
        };
        let status = only(&session, apps, &place.app)?;
        all.push((session.target().to_string(), status));
    }
    let now = jiff::Timestamp::now();
    match json {
        true => terminal.raw(apps::status_json(&all).as_bytes()),
        false => terminal.out(&apps::status(&all, now)),
    }
    let well = all.iter().all(|(_, status)| {
        let mut certificates = status.certificates.iter();
        status.release.is_some()
            && status.problems.is_empty()
            && certificates.all(|certificate| certificate.problem.is_none())
    });
    match well {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

/// Of all apps of a host the one that is meant. That it is not there is an error, which names those that are.
pub(super) fn only(
    session: &Session,
    apps: Vec<AppStatus>,
    app: &str,
) -> Result<AppStatus, Problem> {
    let named = |status: &AppStatus| format!("`{}`", status.app);
    let names: Vec<String> = apps.iter().map(named).collect();
    let found = apps.into_iter().find(|status| status.app == app);
    found.ok_or_else(|| {
        let problem = Problem::new(format!("there is no app `{app}` on `{}`", session.target()));
        match names.len() {
            0 => problem
                .cause("no app was deployed there")
                .hint("stead deploy"),
            _ => problem.cause(format!("there are {}", names.join(", "))),
        }
    })
}

/// List the releases of an app on each of its hosts.
pub(crate) fn releases(
    wanted: Where,
    json: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let place = Place::find(Path::new("."), wanted)?;
    let mut all: Vec<(String, Vec<ReleaseInfo>)> = Vec::new();
    for session in sessions(&place)? {
        let app = place.app.clone();
        match session.ask(Wish::Releases { app })? {
            Answer::Releases(releases) => all.push((session.target().to_string(), releases)),
            Answer::Refused { causes } => return Err(refused(&session, causes)),
            _ => return Err(super::unexpected(session.target())),
        }
    }
    match json {
        true => terminal.raw(apps::releases_json(&all).as_bytes()),
        false => terminal.out(&apps::releases(&place.app, &all)),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn refused(session: &Session, causes: Vec<String>) -> Problem {
    Problem {
        causes,
        ..Problem::new(format!("cannot ask the agent of `{}`", session.target()))
    }
}
