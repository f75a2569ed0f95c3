//! `stead host` on the laptop: look, show, ask, do, look again.

use std::io::{IsTerminal, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stead_model::agent::{Answer, Wish};
use stead_model::host::{Facts, LOGS, STATE, objections, plan, remarks};
use stead_remote::known::{self, Known};
use stead_remote::{Failure, Own, Session, Target};

use crate::problem::{Problem, because};
use crate::render::{Terminal, hosts};

pub(crate) mod doctor;

pub(crate) use doctor::doctor;

/// How long a host may take to accept a visitor's connection.
const KNOCK: Duration = Duration::from_secs(5);

/// How a host is reached, and with which program.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) target: Target,
    /// For `ssh -F`.
    pub(crate) ssh_config: Option<PathBuf>,
    /// Named by the person.
    pub(crate) binary: Option<PathBuf>,
}

/// What the person means to do, where the same is done for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Make a machine a host.
    Add,
    /// Bring a host up to date.
    Upgrade,
}

impl Intent {
    fn verb(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Upgrade => "upgrade",
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self {
            causes: failure.causes,
            hint: failure.hint,
            ..Self::new(failure.act)
        }
    }
}

impl Reach {
    /// Connect. `any`: whatever program is installed there will do.
    fn session(&self, any: bool) -> Result<(Session, String), Problem> {
        let path = match &self.binary {
            Some(binary) => binary.clone(),
            None => std::env::current_exe()
                .map_err(|error| Problem::new("cannot find this program").cause(because(&error)))?,
        };
        let digest = stead_agent::host::digest(&path).map_err(|error| {
            Problem::new(format!("cannot read `{}`", path.display())).cause(because(&error))
        })?;
        let own = Own {
            path: &path,
            digest: digest.clone(),
            named: self.binary.is_some(),
        };
        let session = Session::open(&self.target, self.ssh_config.as_deref(), &own, any)?;
        Ok((session, digest))
    }
}

/// Set a host up, or bring it up to date.
pub(crate) fn add(
    reach: &Reach,
    intent: Intent,
    yes: bool,
    dry_run: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let target = &reach.target;
    if !yes && !dry_run {
        someone_can_be_asked(&format!("cannot {} `{target}`", intent.verb()))?;
    }
    let (session, digest) = reach.session(false)?;
    let facts = session.look()?;
    terminal.out(&hosts::facts(target.as_str(), &facts));
    for remark in remarks(&facts, now()) {
        terminal.note(&remark);
    }
    if intent == Intent::Upgrade && facts.found.binary.is_none() {
        return Err(Problem::new(format!("cannot upgrade `{target}`"))
            .cause("it is no host yet")
            .hint(format!("stead host add {target}")));
    }
    refuse(&facts, intent, target)?;
    let steps = plan(&facts, &digest);
    if steps.is_empty() {
        terminal.out(&format!(
            "nothing to do: {} is as it should be\n",
            facts.name
        ));
        return if dry_run {
            Ok(ExitCode::SUCCESS)
        } else {
            remember(target, &facts, terminal)
        };
    }
    terminal.out(&hosts::plan(&steps));
    if dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !yes && !consents("do that", terminal)? {
        return Err(Problem::new(format!("cannot {} `{target}`", intent.verb()))
            .cause("you did not consent")
            .state("nothing was done there"));
    }
    session
        .set_up(&steps, &mut |done| terminal.out(&hosts::progress(done)))
        .map_err(|failure| {
            Problem::from(failure)
                .state("what was done stays; the same command goes on where it ended")
        })?;
    // What was done is believed when it is seen.
    let facts = session.look()?;
    let left = plan(&facts, &digest);
    if let Some(step) = left.first() {
        return Err(
            Problem::new(format!("`{target}` is not as it should be")).cause(format!(
                "after everything was done, this is to be done again: {}",
                step.text()
            )),
        );
    }
    match session.ask(Wish::Status)? {
        Answer::Status(status) if status.edge.is_ok() => {}
        Answer::Status(status) => {
            return Err(Problem {
                causes: status.edge.err().unwrap_or_default(),
                ..Problem::new(format!("the edge of `{target}` does not answer its agent"))
            });
        }
        Answer::Refused { causes } => {
            return Err(Problem {
                causes,
                ..Problem::new(format!("cannot ask the agent of `{target}`"))
            });
        }
        _ => {
            return Err(Problem::new(format!("cannot ask the agent of `{target}`"))
                .cause("it answered something else than asked"));
        }
    }
    if let Err(why) = knock(target.host()) {
        terminal.note(&format!(
            "port 80 of {} is not reached from here ({why}): is there a firewall before it?",
            target.host()
        ));
    }
    remember(target, &facts, terminal)?;
    let name = &facts.name;
    terminal.out(&match intent {
        Intent::Add => format!("{name} is a host now; it has no apps yet\n"),
        Intent::Upgrade => format!("{name} runs this stead now, {}\n", facts.version),
    });
    Ok(ExitCode::SUCCESS)
}

/// Nothing is done on a machine that something speaks against.
fn refuse(facts: &Facts, intent: Intent, target: &Target) -> Result<(), Problem> {
    let mut objections = objections(facts).into_iter();
    let Some(first) = objections.next() else {
        return Ok(());
    };
    let mut problem = Problem::new(format!("cannot {} `{target}`", intent.verb())).cause(first.why);
    problem.hint = first
        .remedy
        .map(|remedy| format!("ssh {target} sudo {remedy}"));
    for further in objections {
        problem = problem.cause(further.why);
    }
    Err(problem.state("nothing was done there"))
}

/// Into the list of `stead host ls`.
fn remember(target: &Target, facts: &Facts, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let Some(path) = known::path() else {
        terminal.note(
            "neither XDG_CONFIG_HOME nor HOME is set, so `stead host ls` will not know this host",
        );
        return Ok(ExitCode::SUCCESS);
    };
    let host = Known {
        target: target.to_string(),
        name: facts.name.clone(),
        system: facts.system.clone(),
        architecture: facts.architecture.clone(),
        version: facts.version.clone(),
    };
    known::remember(&path, host)?;
    Ok(ExitCode::SUCCESS)
}

/// List the hosts that were added.
pub(crate) fn ls(json: bool, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let hosts = known::path().map_or(Ok(Vec::new()), |path| known::read(&path))?;
    match json {
        true => terminal.raw(hosts::list_json(&hosts).as_bytes()),
        false => terminal.out(&hosts::list(&hosts)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Remove everything of Stead from a host.
pub(crate) fn rm(
    reach: &Reach,
    data: bool,
    yes: bool,
    dry_run: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let target = &reach.target;
    let act = || format!("cannot remove Stead from `{target}`");
    if !yes && !dry_run {
        someone_can_be_asked(&act())?;
    }
    let (session, _) = reach.session(true)?;
    let facts = session.look()?;
    let found = &facts.found;
    let nothing = found.binary.is_none()
        && found.files.is_empty()
        && found.units.is_empty()
        && found.directories.is_empty();
    if nothing {
        terminal.out(&format!(
            "nothing to do: there is nothing of Stead on {}\n",
            facts.name
        ));
    } else {
        terminal.out(&hosts::removal(target.as_str(), &facts, data));
        if dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !yes
            && !consents(
                "remove it; visitors will not be answered there any more",
                terminal,
            )?
        {
            return Err(Problem::new(act())
                .cause("you did not consent")
                .state("nothing was done there"));
        }
        let question = format!("also remove `{STATE}` and `{LOGS}`, which cannot be undone");
        let data = data || !yes && found.data && consents(&question, terminal)?;
        session
            .take_down(data, &mut |done| terminal.out(&hosts::progress(done)))
            .map_err(|failure| {
                Problem::from(failure)
                    .state("what was removed is gone; the same command goes on where it ended")
            })?;
        terminal.out(&format!("{} is no host any more\n", facts.name));
        if !data && found.data {
            terminal.out(&format!("`{STATE}` and `{LOGS}` are still there\n"));
        }
    }
    if !dry_run && let Some(path) = known::path() {
        known::forget(&path, target.as_str())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn someone_can_be_asked(act: &str) -> Result<(), Problem> {
    match std::io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(Problem::invocation(act)
            .cause("nobody can be asked: standard input is no terminal; `--yes` consents, `--dry-run` only shows the plan")),
    }
}

/// Ask on the terminal. Whatever is not a yes is a no.
pub(crate) fn consents(what: &str, terminal: &Terminal) -> Result<bool, Problem> {
    terminal.err(&format!("{what}? [y/N] "));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Problem::new("cannot read your answer").cause(because(&error)))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Whether visitors from here come as far as the host. A name of the ssh configuration is none of the network.
fn knock(host: &str) -> Result<(), String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(addresses) = (bare, 80).to_socket_addrs() else {
        return Ok(());
    };
    let mut why = Ok(());
    for address in addresses {
        match TcpStream::connect_timeout(&address, KNOCK) {
            Ok(_) => return Ok(()),
            Err(error) => why = Err(because(&error)),
        }
    }
    why
}

/// Seconds since 1970, by the clock of this machine.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
