//! `stead rm`: what is there is shown, and goes when the person says so.

use std::path::Path;
use std::process::ExitCode;

use stead_model::agent::{Answer, AppStatus, Wish};
use stead_remote::{GiveUp, Session};

use super::{Place, Where, ask, sessions, wave};
use crate::host::laptop::{consents, someone_can_be_asked};
use crate::problem::Problem;
use crate::render::{Terminal, apps};

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Volumes and secrets, too.
    pub(crate) data: bool,
    /// Ask nothing.
    pub(crate) yes: bool,
    /// Show what would be done.
    pub(crate) dry_run: bool,
    /// Print JSON.
    pub(crate) json: bool,
    /// Which app, and where.
    pub(crate) on: Where,
}

/// Remove it from each of its hosts, and no further when one fails.
pub(crate) fn run(wanted: &Wanted, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let place = Place::find(Path::new("."), wanted.on.clone())?;
    let act = || format!("cannot remove `{}`", place.app);
    if !wanted.yes && !wanted.dry_run {
        someone_can_be_asked(&act())?;
    }
    let sessions = sessions(&place)?;
    let mut found = Vec::new();
    for session in &sessions {
        found.push((session.target().to_string(), status(session, &place.app)?));
    }
    if !wanted.json {
        terminal.out(&apps::removal(&found, wanted.data));
    }
    if wanted.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let question = match wanted.data {
        true => "remove it with its data, which cannot be undone",
        false => "remove it; visitors will not be answered by it any more",
    };
    if !wanted.yes && !consents(question, terminal)? {
        return Err(Problem::new(act())
            .cause("you did not consent")
            .state("nothing was done"));
    }
    let give_up = GiveUp::default();
    let wish = |_| Wish::Remove {
        app: place.app.clone(),
        data: wanted.data,
    };
    let outcomes = wave::run(&sessions, &wish, &give_up, terminal);
    match wanted.json {
        true => terminal.raw(apps::changes_json(&place, &outcomes).as_bytes()),
        false => {
            terminal.out(&apps::deployed(&place, &outcomes));
            if !wanted.data {
                let left = sessions.iter().zip(&outcomes);
                let left = left.filter(|(_, came)| matches!(came, Some(wave::Came::Done(_))));
                for (session, _) in left {
                    terminal.out(&apps::left_behind(session, &place.app));
                }
            }
        }
    }
    let mut pairs = outcomes.iter().zip(&place.targets);
    let failed =
        pairs.find_map(|(came, target)| came.as_ref()?.problem("remove", &place.app, target));
    match failed {
        Some(problem) => Err(problem),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// How the app is there. That it is not is an error.
fn status(session: &Session, app: &str) -> Result<AppStatus, Problem> {
    match session.ask(Wish::Apps)? {
        Answer::Apps(apps) => ask::only(session, apps, app),
        Answer::Refused { causes } => Err(ask::refused(session, causes)),
        _ => Err(super::unexpected(session.target())),
    }
}
