//! Node packages: `npm ci` in the code, repeated when the lock changes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use semver::{Version, VersionReq};
use serde_json::Value;
use stead_model::manifest::{Manifest, Program};

use crate::hash::Key;
use crate::machine::Machine;
use crate::{Error, Progress, child, commands};

/// Words of a command line that say that it runs Node.
const RUNNERS: [&str; 16] = [
    "node",
    "nodejs",
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "bun",
    "bunx",
    "next",
    "nuxt",
    "vite",
    "tsx",
    "ts-node",
    "nest",
    "astro",
    "remix-serve",
];

/// A package manager and the lock that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Installer {
    program: &'static str,
    arguments: &'static [&'static str],
    lock: Option<&'static str>,
}

const INSTALLERS: [Installer; 7] = [
    Installer {
        program: "npm",
        arguments: &["ci", "--include=dev", "--no-audit", "--no-fund"],
        lock: Some("package-lock.json"),
    },
    Installer {
        program: "npm",
        arguments: &["ci", "--include=dev", "--no-audit", "--no-fund"],
        lock: Some("npm-shrinkwrap.json"),
    },
    Installer {
        program: "pnpm",
        arguments: &["install", "--frozen-lockfile", "--prod=false"],
        lock: Some("pnpm-lock.yaml"),
    },
    Installer {
        program: "yarn",
        arguments: &["install", "--frozen-lockfile", "--production=false"],
        lock: Some("yarn.lock"),
    },
    Installer {
        program: "bun",
        arguments: &["install", "--frozen-lockfile"],
        lock: Some("bun.lock"),
    },
    Installer {
        program: "bun",
        arguments: &["install", "--frozen-lockfile"],
        lock: Some("bun.lockb"),
    },
    Installer {
        program: "npm",
        arguments: &[
            "install",
            "--include=dev",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
        ],
        lock: None,
    },
];

/// What an app needs of Node.
#[derive(Debug)]
pub(crate) struct Node {
    code: PathBuf,
    package: Value,
    installer: Installer,
    /// Its packages are for Stead to install: there are some, and no build command does.
    installs: bool,
}

/// What the app needs of Node; `None` when nothing of it runs Node. `python`: it has a Python
/// environment, so that a package.json alone may be of its front end's tools.
pub(crate) fn read(manifest: &Manifest, code: &Path, python: bool) -> Result<Option<Node>, Error> {
    let path = code.join("package.json");
    let Ok(bytes) = std::fs::read(&path) else {
        return Ok(None);
    };
    let package: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::new("cannot read `package.json`", vec![error.to_string()]))?;
    let processes = manifest
        .process
        .values()
        .filter_map(|process| match &process.program {
            Program::Command(line) => Some(line),
            _ => None,
        });
    let lines: Vec<&String> = processes
        .chain(manifest.job.values().map(|job| &job.command))
        .chain(&manifest.release_command)
        .chain(&manifest.build.commands)
        .collect();
    let runs_node = lines.iter().any(|line| {
        line.split(|next: char| !(next.is_alphanumeric() || "-_".contains(next)))
            .any(|word| RUNNERS.contains(&word))
    });
    let only_files = manifest
        .process
        .values()
        .all(|process| matches!(process.program, Program::Static(_)));
    if !runs_node && (python || only_files) {
        return Ok(None);
    }
    let has_packages = ["dependencies", "devDependencies", "optionalDependencies"]
        .iter()
        .any(|key| {
            package
                .get(key)
                .and_then(Value::as_object)
                .is_some_and(|table| !table.is_empty())
        })
        || package.get("workspaces").is_some();
    let own = manifest.build.commands.iter().any(|line| {
        ["npm ci", "npm i", "yarn", "pnpm i", "bun i"]
            .iter()
            .any(|install| line.trim_start().starts_with(install))
    });
    let installer = INSTALLERS
        .into_iter()
        .find(|installer| installer.lock.is_none_or(|lock| code.join(lock).is_file()))
        .unwrap_or(INSTALLERS[4]);
    Ok(Some(Node {
        code: code.to_owned(),
        package,
        installer,
        installs: has_packages && !own,
    }))
}

impl Node {
    /// Programs of the app's packages.
    pub(crate) fn bin(&self) -> PathBuf {
        self.code.join("node_modules/.bin")
    }

    /// `npm ci`, for messages; `None` when there is nothing to install.
    pub(crate) fn command(&self) -> Option<String> {
        let verb = self.installer.arguments.first().unwrap_or(&"install");
        self.installs
            .then(|| format!("{} {verb}", self.installer.program))
    }

    /// Whether the packages are there for this very lock.
    pub(crate) fn is_done(&self, machine: &Machine) -> bool {
        std::fs::read_to_string(self.marker()).is_ok_and(|found| found == self.key(machine))
    }

    /// Install the packages, unless they are there.
    pub(crate) fn install(&self, machine: &Machine, progress: &dyn Progress) -> Result<(), Error> {
        if let Some((why, hint)) = self.complaint(machine) {
            return Err(Error::new("cannot run a Node program", vec![why]).hinted(hint));
        }
        let Some(name) = self.command() else {
            return Ok(());
        };
        progress.step(&name);
        if self.is_done(machine) {
            progress.done("unchanged");
            return Ok(());
        }
        let failed = |why: String| {
            Error::new(
                format!("cannot install Node packages with `{name}`"),
                vec![why],
            )
        };
        let Some(program) = machine.program(self.installer.program) else {
            return Err(failed(format!(
                "`{}` is not on this machine",
                self.installer.program
            ))
            .hinted(self.hint()));
        };
        let _ = std::fs::remove_file(self.marker());
        let mut command = Command::new(program);
        command
            .args(self.installer.arguments)
            .current_dir(&self.code)
            .env_clear()
            .envs(machine.variables())
            .env("NO_COLOR", "1")
            .env("CI", "1")
            .env("PATH", commands::search_path(machine, &[]));
        let outcome = child::run(command, progress).map_err(|error| failed(error.to_string()))?;
        if !outcome.status.success() {
            let mut error = failed(commands::ended(outcome.status));
            if let Some((why, hint)) = why(&outcome.lines.join("\n")) {
                error.causes = vec![why.to_owned()];
                error.hint = Some(hint.to_owned());
            }
            error.output = outcome.tail(20);
            return Err(error);
        }
        let marker = self.marker();
        if marker.parent().is_some_and(Path::is_dir) {
            std::fs::write(&marker, self.key(machine))
                .map_err(|error| failed(error.to_string()))?;
        }
        progress.done("");
        Ok(())
    }

    /// What is wrong with this machine's Node for this app: a sentence, and a hint.
    pub(crate) fn complaint(&self, machine: &Machine) -> Option<(String, String)> {
        let Some(program) = machine.program("node") else {
            return Some((
                "Node is not on this machine".into(),
                "sudo apt-get install nodejs npm".into(),
            ));
        };
        let wanted = self
            .package
            .pointer("/engines/node")
            .and_then(Value::as_str)?;
        let output = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let here = Version::parse(text.trim().trim_start_matches('v')).ok()?;
        (!in_range(wanted, &here)).then(|| {
            (
                format!("package.json asks for Node {wanted}, and this is Node {here}"),
                format!(
                    "install Node {wanted}, or change `engines` in package.json if the app runs on {here}"
                ),
            )
        })
    }

    fn hint(&self) -> &'static str {
        how_to_get(self.installer.program).unwrap_or("sudo apt-get install nodejs npm")
    }

    fn marker(&self) -> PathBuf {
        self.code.join("node_modules/.stead-complete")
    }

    fn key(&self, machine: &Machine) -> String {
        let read = |name: &str| std::fs::read(self.code.join(name)).unwrap_or_default();
        // Native modules are built for one Node.
        let node = machine
            .program("node")
            .and_then(|path| path.canonicalize().ok());
        let changed = node
            .as_ref()
            .and_then(|path| path.metadata().ok()?.modified().ok());
        Key::new("node 1")
            .with("package", read("package.json"))
            .with("lock", self.installer.lock.map(read).unwrap_or_default())
            .with("node", format!("{node:?} {changed:?}"))
            .finish()
    }
}

/// How a package manager of Node is got; `None` for any other program.
pub(crate) fn how_to_get(program: &str) -> Option<&'static str> {
    Some(match program {
        "pnpm" => "npm install --global pnpm",
        "yarn" => "npm install --global yarn",
        "bun" => "npm install --global bun",
        "npm" | "npx" | "node" => "sudo apt-get install nodejs npm",
        _ => return None,
    })
}

/// What a package manager's output means, where that is known: the cause and a hint.
pub(crate) fn why(text: &str) -> Option<(&'static str, &'static str)> {
    let any = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    if any(&[
        "can only install packages when your package.json and package-lock.json",
        "are in sync",
    ]) {
        return Some((
            "package.json and its lock do not agree",
            "npm install, and commit package-lock.json",
        ));
    }
    if any(&["Your lockfile needs to be updated"]) {
        return Some((
            "package.json and its lock do not agree",
            "yarn install, and commit yarn.lock",
        ));
    }
    if any(&["ERR_PNPM_OUTDATED_LOCKFILE", "ERR_PNPM_NO_LOCKFILE"]) {
        return Some((
            "package.json and its lock do not agree",
            "pnpm install, and commit pnpm-lock.yaml",
        ));
    }
    any(&["ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN"]).then_some((
        "the package registry does not answer",
        "npm config set registry https://registry.npmmirror.com",
    ))
}

/// npm's ranges: alternatives by `||`, bounds by spaces, `18.x`, `18 - 20`. What is not understood fits.
fn in_range(range: &str, version: &Version) -> bool {
    range.split("||").any(|alternative| {
        let alternative = alternative.trim();
        if alternative.is_empty() {
            return true;
        }
        let bounds = match alternative.split_once(" - ") {
            Some((low, high)) => format!(">={low},<={high}"),
            None => {
                let joined = alternative
                    .replace(">= ", ">=")
                    .replace("<= ", "<=")
                    .replace("> ", ">")
                    .replace("< ", "<")
                    .replace("^ ", "^");
                let words: Vec<String> = joined
                    .split([' ', ','])
                    .filter(|word| !word.is_empty())
                    .map(|word| match word.chars().next() {
                        // A bare version is exact for npm, a prefix when it is short.
                        Some(digit) if digit.is_ascii_digit() && word.matches('.').count() == 2 => {
                            format!("={word}")
                        }
                        Some(digit) if digit.is_ascii_digit() => format!("~{word}"),
                        _ => word.to_owned(),
                    })
                    .collect();
                words.join(",")
            }
        };
        VersionReq::parse(&bounds.replace(".x", ".*").replace("*.*", "*"))
            .or_else(|_| VersionReq::parse(&bounds.replace(".x", "").replace(".*", "")))
            .map_or(true, |bounds| bounds.matches(version))
    })
}

#[cfg(test)]
mod tests;
