//! Apps on hosts, from the laptop: which app and which hosts are meant, what is asked of them.

pub(crate) mod ask;
pub(crate) mod certificates;
pub(crate) mod deploy;
pub(crate) mod git_remote;
mod interrupt;
pub(crate) mod logs;
mod place;
pub(crate) mod remove;
pub(crate) mod wave;

use std::path::PathBuf;

use stead_remote::{Failure, GiveUp, Session, Target};

use crate::problem::Problem;
use crate::render::Terminal;

pub(crate) use place::Place;

/// What the command line says of where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Where {
    /// The verb and its option for hosts, for hints: `stead deploy --to`.
    pub(crate) option: &'static str,
    /// An app's name, in place of that of the directory.
    pub(crate) app: Option<String>,
    /// Hosts, or names of groups in `[hosts]`.
    pub(crate) hosts: Vec<String>,
    /// For `ssh -F`.
    pub(crate) ssh_config: Option<PathBuf>,
}

/// Who works here: `ana@laptop`.
pub(crate) fn who() -> String {
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()));
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    let name = format!("{user}@{machine}");
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Connect to all of them, one after the other: ssh may ask.
fn sessions(place: &Place) -> Result<Vec<Session>, Failure> {
    let open = |target: &Target| Session::visit(target, place.ssh_config.as_deref());
    place.targets.iter().map(open).collect()
}

/// Ctrl-C gives up a change.
pub(crate) fn give_up_by_signal(give_up: &GiveUp, terminal: &Terminal) -> Result<(), Problem> {
    let says = "giving up: what no visitor has got yet is undone; again to leave without knowing";
    interrupt::listen(give_up, terminal, says)
}

/// What an agent said that it should not have.
fn unexpected(target: &Target) -> Problem {
    Problem::new(format!("cannot ask the agent of `{target}`"))
        .cause("it answered something else than asked")
}
