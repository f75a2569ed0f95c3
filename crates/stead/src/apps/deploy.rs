//! `stead deploy`: check here, send what is new, have each host build and switch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use stead_model::agent::{Answer, AppStatus, Deploy, Wish};
use stead_remote::{GiveUp, Session, Snapshot};

use super::wave::{self, Outcomes};
use super::{Place, Where, sessions, who};
use crate::problem::{Fault, Problem};
use crate::render::{Steps, Terminal, apps};
use crate::source::{self, Loaded};

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The app's source.
    pub(crate) dir: PathBuf,
    /// The files as they are, rather than the commit.
    pub(crate) dirty: bool,
    /// Show what would be done.
    pub(crate) dry_run: bool,
    /// Print JSON.
    pub(crate) json: bool,
    /// To where.
    pub(crate) to: Where,
}

/// Deploy. `Ok`: the new release serves everywhere.
pub(crate) fn run(wanted: Wanted, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let dir = source::directory(&wanted.dir, "deploy")?;
    // Whoever has a wrong configuration should not have to wait for a host to say so.
    let loaded = source::load(&dir)?;
    let place = Place::of(
        loaded.manifest.app.clone(),
        &loaded.manifest.hosts,
        wanted.to.clone(),
    )?;
    let snapshot = Snapshot::take(&dir, wanted.dirty, who())?;
    includes_its_file(&snapshot, &loaded)?;
    for note in &snapshot.notes {
        terminal.note(note);
    }
    let sessions = sessions(&place)?;
    if wanted.dry_run {
        terminal.err(&apps::sending(&place, &snapshot));
        let before = before(&place, &sessions)?;
        terminal.out(&apps::deploy_plan(&place, &loaded, &before));
        return Ok(ExitCode::SUCCESS);
    }
    let give_up = GiveUp::default();
    super::give_up_by_signal(&give_up, terminal)?;
    let carried = Carried {
        place: &place,
        sessions: &sessions,
        snapshot: &snapshot,
        json: wanted.json,
    };
    carry(&carried, &give_up, terminal)
}

/// What is deployed, and where.
pub(crate) struct Carried<'a> {
    /// The app and its hosts.
    pub(crate) place: &'a Place,
    /// A session for each of them, in their order.
    pub(crate) sessions: &'a [Session],
    /// The source.
    pub(crate) snapshot: &'a Snapshot,
    /// Print JSON.
    pub(crate) json: bool,
}

/// Send it, and have each host build and switch. `Ok`: the new release serves everywhere.
pub(crate) fn carry(
    carried: &Carried<'_>,
    give_up: &GiveUp,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let Carried {
        place,
        sessions,
        snapshot,
        json,
    } = *carried;
    terminal.err(&apps::sending(place, snapshot));
    let send = || send(place, sessions, snapshot, give_up, terminal);
    // A host is asked how it is while it takes the source, which changes nothing for anybody.
    let (before, tree) = match sessions.iter().any(Session::asks) {
        true => (before(place, sessions)?, send()?),
        false => std::thread::scope(|scope| {
            let asked = scope.spawn(|| before(place, sessions));
            let tree = send();
            let before = asked.join().unwrap_or_else(|_| Err(bug()));
            Ok::<_, Problem>((before?, tree?))
        })?,
    };
    let wish = |is_first: bool| {
        Wish::Deploy(Deploy {
            app: place.app.clone(),
            tree: tree.clone(),
            origin: snapshot.origin.clone(),
            release_command: is_first,
        })
    };
    let outcomes = wave::run(sessions, &wish, give_up, terminal);
    let failed = failure(place, &outcomes, &before);
    match json {
        true => terminal.raw(apps::outcomes_json(place, snapshot, &outcomes).as_bytes()),
        false => terminal.out(&apps::deployed(place, &outcomes)),
    }
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some(problem) => Err(problem),
    }
}

/// A stead.toml that is read here and not sent would be another app there.
fn includes_its_file(snapshot: &Snapshot, loaded: &Loaded) -> Result<(), Problem> {
    let mut entries = snapshot.tree.entries().iter();
    let sent = entries.any(|entry| entry.path == source::FILE.as_bytes());
    match sent || !loaded.has_file {
        true => Ok(()),
        false => Err(
            Problem::new(format!("cannot deploy `{}`", loaded.manifest.app))
                .cause(format!("its {} is not committed", source::FILE))
                .hint(format!("git add {}", source::FILE)),
        ),
    }
}

fn bug() -> Problem {
    Problem::new("cannot deploy").cause("it ended by a bug, see above")
}

/// How the app is on each host, before anything is done.
fn before(place: &Place, sessions: &[Session]) -> Result<Vec<Option<AppStatus>>, Problem> {
    let mut all = Vec::new();
    for session in sessions {
        match session.ask(Wish::Apps)? {
            Answer::Apps(apps) => {
                all.push(apps.into_iter().find(|status| status.app == place.app));
            }
            Answer::Refused { causes } => {
                return Err(Problem {
                    causes,
                    ..Problem::new(format!("cannot deploy to `{}`", session.target()))
                }
                .state("nothing was done anywhere")
                .hint(format!("stead host upgrade {}", session.target())));
            }
            _ => return Err(super::unexpected(session.target())),
        }
    }
    Ok(all)
}

/// To all hosts before anything is done on any: one that cannot be reached changes nothing.
fn send(
    place: &Place,
    sessions: &[Session],
    snapshot: &Snapshot,
    give_up: &GiveUp,
    terminal: &Terminal,
) -> Result<String, Problem> {
    let mut tree = String::new();
    for session in sessions {
        let mut steps = Steps::new(terminal, &prefix(sessions, session), sessions.len() == 1);
        let sent = session.send(&place.app, snapshot, give_up, &mut |sent| {
            steps.sending(sent);
        });
        tree = sent.map_err(|failure| {
            Problem::from(failure).state("nothing was done; what serves still serves")
        })?;
        steps.sent();
    }
    Ok(tree)
}

/// Whose line it is, where there are several hosts.
pub(super) fn prefix(sessions: &[Session], session: &Session) -> String {
    match sessions.len() {
        1 => String::new(),
        _ => session.target().host().to_owned(),
    }
}

/// What is said of a deploy that did not reach all: the first failure, and which host runs what.
fn failure(place: &Place, outcomes: &Outcomes, before: &[Option<AppStatus>]) -> Option<Problem> {
    let (at, mut problem) = outcomes.iter().enumerate().find_map(|(at, outcome)| {
        let problem = outcome
            .as_ref()?
            .problem("deploy", &place.app, &place.targets[at]);
        Some((at, problem?))
    })?;
    if outcomes.len() > 1 {
        let mut state: BTreeMap<usize, String> = BTreeMap::new();
        for (other, outcome) in outcomes.iter().enumerate() {
            let target = &place.targets[other];
            let release = before[other]
                .as_ref()
                .and_then(|status| status.release.as_ref());
            let serves = match release {
                Some(release) => format!("release {} still serves", release.number),
                None => "nothing serves".to_owned(),
            };
            let text = match outcome {
                Some(outcome) if other == at => {
                    let said = problem.state.clone();
                    let _ = outcome;
                    format!("{target}: {}", said.unwrap_or(serves))
                }
                Some(outcome) => format!("{target}: {}", outcome.state().unwrap_or(serves)),
                None => format!("{target}: not begun, {serves}"),
            };
            state.insert(other, text);
        }
        let lines: Vec<String> = state.into_values().collect();
        problem.state = Some(lines.join("\n"));
    }
    if problem.fault == Fault::Failure && problem.state.is_none() {
        problem.state = Some("what serves still serves".to_owned());
    }
    Some(problem)
}
