//! From what was found to what is wanted: pure, so that the laptop can show exactly what the host will do.

use serde::{Deserialize, Serialize};

use super::{BINARY, EDGE_USER, FILES, Facts, PORTS, RUN, STATE, TLS_SOCKET, UNITS};

/// The oldest systemd that knows every line of these units: `ProtectProc=` came with 247.
const OLDEST_SYSTEMD: u32 = 247;
/// Less memory than this leaves nothing for an app.
const LEAST_MEMORY: u64 = 256 << 20;
/// Less room than this does not hold a binary and an app's environment.
const LEAST_DISK: u64 = 512 << 20;
/// A clock that is off by more makes certificates look expired, or not yet valid. Seconds.
const CLOCK_MAY_BE_OFF: i64 = 60;

/// One thing to do on a host. Each can be done again without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Put the program in its place, atomically.
    InstallBinary {
        /// SHA-256 of what is installed, in hexadecimal digits.
        digest: String,
        /// Another one is there.
        replaces: bool,
    },
    /// Write one of [`FILES`], atomically.
    WriteFile {
        /// Which.
        path: String,
        /// Another content is there.
        replaces: bool,
    },
    /// Make the users that the file for systemd-sysusers names.
    CreateUsers,
    /// Make the directories that the file for systemd-tmpfiles names.
    CreateDirectories,
    /// Let systemd read its units anew.
    Reload,
    /// Start a unit when the machine boots.
    Enable {
        /// Its name.
        unit: String,
    },
    /// Start a unit now.
    Start {
        /// Its name.
        unit: String,
    },
    /// Stop a unit now.
    Stop {
        /// Its name.
        unit: String,
    },
    /// Let the program that was installed take the place of the edge that runs, without losing a request.
    UpgradeEdge,
    /// Stop and start a unit, for what it cannot be told while it runs.
    Restart {
        /// Its name.
        unit: String,
    },
}

impl Step {
    /// For a person, in the infinitive.
    pub fn text(&self) -> String {
        match self {
            Self::InstallBinary {
                replaces: false, ..
            } => format!("install `{BINARY}`"),
            Self::InstallBinary { replaces: true, .. } => format!("replace `{BINARY}`"),
            Self::WriteFile {
                path,
                replaces: false,
            } => format!("write `{path}`"),
            Self::WriteFile {
                path,
                replaces: true,
            } => format!("replace `{path}`"),
            Self::CreateUsers => format!("create the user `{EDGE_USER}`"),
            Self::CreateDirectories => format!("create `{RUN}` and `{STATE}`"),
            Self::Reload => "let systemd read its units anew".to_owned(),
            Self::Enable { unit } => format!("start `{unit}` when the machine boots"),
            Self::Start { unit } => format!("start `{unit}`"),
            Self::Stop { unit } => format!("stop `{unit}`"),
            Self::UpgradeEdge => "replace the edge that runs, without losing a request".to_owned(),
            Self::Restart { unit } => match unit.as_str() {
                EDGE => format!(
                    "restart `{unit}`: requests end first, visitors who come meanwhile wait"
                ),
                _ => format!("restart `{unit}`"),
            },
        }
    }
}

/// What accepts visitors.
const EDGE: &str = "stead-edge.service";

/// What is to be done so that the program with this digest runs on a host as it should. Nothing: it does.
pub fn plan(facts: &Facts, digest: &str) -> Vec<Step> {
    let found = &facts.found;
    let mut steps = Vec::new();
    let new_binary = found.binary.as_deref() != Some(digest);
    if new_binary {
        steps.push(Step::InstallBinary {
            digest: digest.to_owned(),
            replaces: found.binary.is_some(),
        });
    }
    let differs = |path: &str| {
        let file = FILES.iter().find(|file| file.path == path);
        file.is_some_and(|file| found.files.get(path).map(String::as_str) != Some(file.content))
    };
    for file in FILES.iter().filter(|file| differs(file.path)) {
        steps.push(Step::WriteFile {
            path: file.path.to_owned(),
            replaces: found.files.contains_key(file.path),
        });
    }
    if !found.users.contains(EDGE_USER) {
        steps.push(Step::CreateUsers);
    }
    if [RUN, STATE]
        .iter()
        .any(|dir| !found.directories.contains(*dir))
    {
        steps.push(Step::CreateDirectories);
    }
    let state = |name: &str| found.units.get(name).cloned().unwrap_or_default();
    let changed = |unit: &super::Unit| differs(unit.path) || state(unit.name).stale;
    if UNITS.iter().any(changed) {
        steps.push(Step::Reload);
    }
    let is_left_out = |unit: &&super::Unit| unit.name == TLS_SOCKET && facts.is_https_taken();
    let units = || UNITS.iter().filter(|unit| !is_left_out(unit));
    for unit in units().filter(|unit| !state(unit.name).enabled) {
        steps.push(Step::Enable {
            unit: unit.name.to_owned(),
        });
    }
    let opens_anew =
        units().any(|unit| unit.name == TLS_SOCKET && (!state(unit.name).active || changed(unit)));
    for unit in units() {
        let is = state(unit.name);
        let name = unit.name.to_owned();
        if unit.name == TLS_SOCKET && state(EDGE).active {
            // It is opened by the edge's start.
            if is.active && changed(unit) {
                steps.push(Step::Stop { unit: name });
            }
        } else if !is.active {
            steps.push(Step::Start { unit: name });
        } else if changed(unit) || unit.name == EDGE && opens_anew {
            steps.push(Step::Restart { unit: name });
        } else if new_binary || !is.current {
            match unit.name {
                EDGE => steps.push(Step::UpgradeEdge),
                "stead-edge.socket" | TLS_SOCKET => {}
                _ => steps.push(Step::Restart { unit: name }),
            }
        }
    }
    steps
}

/// Why a host cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// A sentence, lower case.
    pub why: String,
    /// A command on that host that may help.
    pub remedy: Option<String>,
}

/// What must change before anything is done. Stead ends nothing and removes nothing of others.
pub fn objections(facts: &Facts) -> Vec<Objection> {
    let mut objections = Vec::new();
    let mut object = |why: String, remedy: Option<String>| {
        objections.push(Objection { why, remedy });
    };
    match facts.systemd {
        None => object("systemd is not in charge of this machine".to_owned(), None),
        Some(version) if version < OLDEST_SYSTEMD => object(
            format!("its systemd is {version}, and {OLDEST_SYSTEMD} is the oldest that will do"),
            None,
        ),
        Some(_) => {}
    }
    for listener in facts
        .listeners
        .iter()
        .filter(|l| l.port == PORTS[0] && !l.is_ours())
    {
        object(
            format!("port {} is taken by {}", listener.port, listener.who()),
            listener
                .unit
                .as_ref()
                .filter(|unit| unit.ends_with(".service") || unit.ends_with(".socket"))
                .map(|unit| format!("systemctl disable --now {unit}")),
        );
    }
    if facts.disk_free < LEAST_DISK {
        object(
            format!(
                "{} MB are free at `{STATE}`, and {} MB are needed",
                facts.disk_free >> 20,
                LEAST_DISK >> 20
            ),
            None,
        );
    }
    objections
}

/// What a person should know, each a sentence in lower case. `now`: seconds since 1970 by the clock of the one who asks.
pub fn remarks(facts: &Facts, now: i64) -> Vec<String> {
    let mut remarks = Vec::new();
    if facts.memory < LEAST_MEMORY {
        remarks.push(format!(
            "it has {} MB of memory, which leaves little for an app",
            facts.memory >> 20
        ));
    }
    let off = facts.clock - now;
    if off.abs() > CLOCK_MAY_BE_OFF {
        let direction = if off > 0 { "ahead of" } else { "behind" };
        remarks.push(format!(
            "its clock is {} s {direction} yours: certificates and jobs go by it",
            off.abs()
        ));
    }
    for listener in facts
        .listeners
        .iter()
        .filter(|l| l.port != PORTS[0] && !l.is_ours())
    {
        remarks.push(format!(
            "port {} is taken by {}: apps are reached over plain HTTP alone",
            listener.port,
            listener.who()
        ));
    }
    remarks
}

impl Facts {
    /// Somebody else has the port for TLS.
    pub fn is_https_taken(&self) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|listener| listener.port == PORTS[1] && !listener.is_ours())
    }
}

impl super::Listener {
    /// systemd listens for the edge, or the edge itself does.
    pub fn is_ours(&self) -> bool {
        self.unit
            .as_deref()
            .is_some_and(|unit| UNITS.iter().any(|ours| ours.name == unit))
    }

    /// `nginx` (nginx.service, package nginx-light).
    pub fn who(&self) -> String {
        let program = match (&self.program, self.pid) {
            (Some(program), _) => format!("`{program}`"),
            (None, Some(pid)) => format!("process {pid}"),
            (None, None) => "a program that root alone can see".to_owned(),
        };
        let package = self
            .package
            .as_ref()
            .map(|package| format!("package {package}"));
        let further: Vec<String> = self.unit.iter().cloned().chain(package).collect();
        match further.is_empty() {
            true => program,
            false => format!("{program} ({})", further.join(", ")),
        }
    }
}
