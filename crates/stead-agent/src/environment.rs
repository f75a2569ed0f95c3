//! The environment variables of everything that runs.
//!
//! Inherited from Stead's own: all, so that a laptop's proxy, locale and database address work, but for
//! those that describe another program's situation: a terminal, a shell, a virtual environment, another
//! supervisor, another address to listen on. On top of them the release's own, secrets, and what Stead says.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use stead_model::release::Release;

/// Names a run of the agent: every process below it has this variable, so that none is missed when they are ended.
pub(crate) const RUN: &str = "STEAD_RUN";
/// Names an instance or a run of a job.
pub(crate) const INSTANCE: &str = "STEAD_INSTANCE";
/// Passed on to the WSGI worker: `none`, or which native part it is to load (docs/worker-protocol.md).
const WORKER_NATIVE: &str = "STEAD_WORKER_NATIVE";

const LEFT_OUT: &[&str] = &[
    // A terminal: output goes to a log.
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "LS_COLORS",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    // A shell.
    "_",
    "SHLVL",
    "OLDPWD",
    "PS1",
    "PS2",
    "PROMPT_COMMAND",
    "ENV",
    "BASH_ENV",
    "HISTFILE",
    // Another Python environment.
    "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "__PYVENV_LAUNCHER__",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "CONDA_PROMPT_MODIFIER",
    "CONDA_SHLVL",
    "PIPENV_ACTIVE",
    // Another supervisor.
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "MANAGERPID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    // Another address.
    "PORT",
    "HOST",
    "SERVER_SOFTWARE",
    "WERKZEUG_SERVER_FD",
    "WERKZEUG_RUN_MAIN",
];

/// What everything of a release gets. Later values win over earlier ones.
pub(crate) fn of_release(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    release: &Release,
    secrets: &BTreeMap<String, OsString>,
    run: &str,
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = inherited
        .into_iter()
        .filter(|(name, _)| !is_left_out(name))
        .collect();
    let mut path: Vec<_> = release.path.clone();
    let own_path = release.env.get("PATH").map(OsString::from);
    let rest = own_path.or_else(|| env.get(OsStr::new("PATH")).cloned());
    path.extend(std::env::split_paths(&rest.unwrap_or_else(default_path)));
    // What a log needs: a line is there when it was printed, not 4096 bytes later.
    env.entry("PYTHONUNBUFFERED".into()).or_insert("1".into());
    for (name, value) in &release.env {
        env.insert(name.into(), value.into());
    }
    for (name, value) in secrets {
        env.insert(name.into(), value.clone());
    }
    // A folder with a colon in its name cannot be on PATH at all.
    path.retain(|folder| !folder.as_os_str().as_bytes().contains(&b':'));
    if let Ok(path) = std::env::join_paths(path) {
        env.insert("PATH".into(), path);
    }
    env.insert("PWD".into(), release.code.clone().into());
    env.insert("STEAD_APP".into(), release.app.clone().into());
    env.insert("STEAD_RELEASE".into(), release.number.to_string().into());
    env.insert(RUN.into(), run.into());
    env
}

/// Where programs are when nothing says so.
pub(crate) fn default_path() -> OsString {
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()
}

fn is_left_out(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.is_empty()
        || bytes.starts_with(b"STEAD_") && bytes != WORKER_NATIVE.as_bytes()
        || bytes.starts_with(b"BASH_FUNC_")
        || LEFT_OUT.iter().any(|n| n.as_bytes() == bytes)
}

#[cfg(test)]
mod tests;
