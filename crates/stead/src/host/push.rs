//! An app is pushed to this host: what git runs here, before and within.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use stead_agent::push::WHO;
use stead_model::agent::{Answer, AppStatus, Wish};
use stead_model::push::{self, Repository};
use stead_remote::{GiveUp, Session, Snapshot, Target};

use crate::apps::deploy::{self, Carried};
use crate::apps::{self, Place};
use crate::problem::{Problem, because};
use crate::render::Terminal;

/// Make or change the repository that standard input describes, and answer what came of it.
pub(crate) fn repository(apps: &Path, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let wanted: Repository = super::asked()?;
    super::say(terminal, &stead_agent::push::prepare(apps, &wanted));
    Ok(ExitCode::SUCCESS)
}

/// Let git hear who pushes to the repository at `path`. When who pushes has gone away, git is ended, and with it what it had
/// begun: by itself it would wait for its hook, and move the branch.
pub(crate) fn receive(apps: &Path, path: PathBuf, who: &str) -> Result<ExitCode, Problem> {
    let act = || Problem::new("cannot take a push");
    stead_agent::push::repository(apps, &path).map_err(|error| {
        Problem {
            causes: error.causes,
            ..act()
        }
        .hint("stead deploy --git-remote")
    })?;
    let failed = |error: io::Error| act().cause(format!("cannot run `git`: {}", because(&error)));
    let mut git = stead_agent::push::receive(path, who)
        .spawn()
        .map_err(failed)?;
    let running = Pid::from_child(&git);
    when_nobody_reads(io::stdout(), move || {
        // It was not waited for: nobody else has its number.
        let _ = kill_process(running, Signal::TERM);
    })?;
    let ended = git.wait().map_err(failed)?;
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Within git's hook: deploy what was pushed. git refuses the push unless this ends well.
pub(crate) fn received(apps: &Path, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let act = || Problem::new("cannot take a push");
    let within = std::env::current_dir().map_err(|error| act().cause(because(&error)))?;
    // git is where the repository is, whatever links lead there.
    let apps = apps.canonicalize().unwrap_or_else(|_| apps.to_owned());
    let repository = stead_agent::push::repository(&apps, &within).map_err(|error| Problem {
        causes: error.causes,
        ..act()
    })?;
    let mut updates = String::new();
    let read = io::stdin()
        .lock()
        .take(push::LONGEST)
        .read_to_string(&mut updates);
    read.map_err(|error| act().cause(because(&error)))?;
    let app = &repository.app;
    let commit = push::judge(&updates, &repository.branch)
        .map_err(|why| Problem::new(format!("cannot deploy `{app}`")).cause(why))?;
    let give_up = GiveUp::default();
    // git passes on what is printed; without git nobody wants it any more.
    let nobody = give_up.clone();
    when_nobody_reads(io::stderr(), move || nobody.now())?;
    apps::give_up_by_signal(&give_up, terminal)?;
    let who = std::env::var(WHO).unwrap_or_default();
    let snapshot = Snapshot::pushed(
        &within,
        &commit,
        &repository.branch,
        &repository.directory,
        if who.is_empty() { apps::who() } else { who },
    );
    let done = snapshot
        .map_err(Problem::from)
        .and_then(|snapshot| deploy(app, &snapshot, &give_up, terminal));
    if give_up.is_given_up() {
        remove_what_came(&within);
    }
    done
}

/// A git that was ended leaves what it had received, in the directory that it names to its hook (`GIT_QUARANTINE_PATH`).
fn remove_what_came(repository: &Path) {
    let named = std::env::var_os("GIT_QUARANTINE_PATH").map(PathBuf::from);
    let objects = repository.join("objects");
    let is_one = |path: &PathBuf| path.parent() == Some(&objects) && path.file_name().is_some();
    if let Some(path) = named.filter(is_one) {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// As `stead deploy` does from a laptop.
pub(super) fn deploy(
    app: &str,
    snapshot: &Snapshot,
    give_up: &GiveUp,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let sessions = [here()?];
    let place = Place {
        app: app.to_owned(),
        targets: vec![sessions[0].target().clone()],
        ssh_config: None,
    };
    deploy::carry(
        &Carried {
            place: &place,
            sessions: &sessions,
            snapshot,
            json: false,
        },
        give_up,
        terminal,
    )
}

/// This machine, as the host that it is.
fn here() -> Result<Session, Problem> {
    let own = std::env::current_exe();
    let own =
        own.map_err(|error| Problem::new("cannot find this program").cause(because(&error)))?;
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let target = Target::parse(&name).or_else(|_| Target::parse("localhost"));
    let target = target.map_err(|why| Problem::new("this host has no name").cause(why))?;
    Ok(Session::here(target, &own))
}

/// Wait until nobody changes the app, looking `again` and again, for `patience` at most. How it is then; `None`: it was never deployed.
pub(super) fn wait_until_free(
    app: &str,
    patience: Duration,
    again: Duration,
) -> Result<Option<AppStatus>, Problem> {
    let (session, began) = (here()?, Instant::now());
    while began.elapsed() < patience {
        let Answer::Apps(apps) = session.ask(Wish::Apps)? else {
            return Ok(None);
        };
        let found = apps.into_iter().find(|status| status.app == app);
        if found
            .as_ref()
            .is_none_or(|status| status.deploying.is_none())
        {
            return Ok(found);
        }
        std::thread::sleep(again);
    }
    Err(
        Problem::new(format!("cannot deploy `{app}`")).cause(format!(
            "it is being changed for more than {} s",
            patience.as_secs()
        )),
    )
}

/// Do it when whoever reads this has gone away. No event is asked for: an error alone ends the wait, POLLERR of poll(2) for a pipe
/// without a reader.
fn when_nobody_reads(
    printed: impl AsFd + Send + 'static,
    act: impl FnOnce() + Send + 'static,
) -> Result<(), Problem> {
    let watching = move || {
        let mut watched = [PollFd::from_borrowed_fd(
            printed.as_fd(),
            PollFlags::empty(),
        )];
        loop {
            match poll(&mut watched, None) {
                Ok(_) => return act(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    };
    let thread = std::thread::Builder::new().name("reader".to_owned());
    let started = thread.spawn(watching);
    started
        .map(drop)
        .map_err(|error| Problem::new("cannot begin").cause(because(&error)))
}
