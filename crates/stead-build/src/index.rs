//! Which package index is asked: `build.index`, else what the user told uv or pip, else PyPI.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::machine::Machine;

/// PyPI's own simple index.
pub(crate) const PYPI: &str = "https://pypi.org/simple/";

/// The index to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    /// `None`: uv's own default, which a `uv.toml` may have changed, else PyPI.
    pub(crate) url: Option<String>,
    /// Hosts whose certificate is not checked, because the user's pip.conf says so.
    pub(crate) trusted: Vec<String>,
    /// Who said so: `build.index`, `PIP_INDEX_URL`, `/etc/pip.conf`.
    pub(crate) origin: String,
}

impl Index {
    /// The address that Stead itself asks.
    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().unwrap_or(PYPI)
    }

    /// The address for a person: without the user and password that it may carry.
    pub(crate) fn shown(&self) -> String {
        redacted(self.url())
    }
}

/// An address without the user and password that it may carry.
pub(crate) fn redacted(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let authority = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{authority}{path}")
        }
        None => address.to_owned(),
    }
}

/// Find the index for `build.index` = `setting` on this machine.
pub(crate) fn resolve(setting: Option<&str>, machine: &Machine) -> Result<Index, Error> {
    let index = |url: &str, origin: &str| Index {
        url: Some(url.to_owned()),
        trusted: Vec::new(),
        origin: origin.to_owned(),
    };
    match setting {
        Some("pypi") => return Ok(index(PYPI, "build.index")),
        Some("auto") | None => {}
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
            return Ok(index(url, "build.index"));
        }
        Some(name) => {
            return match stead_model::mirror::mirror(name) {
                Some(mirror) => Ok(index(mirror.url, "build.index")),
                None => Err(unknown_mirror(name)),
            };
        }
    }
    for name in ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"] {
        if let Some(value) = machine.variable(name) {
            // uv lets an index be named: `internal=https://…`.
            let url = match value.split_once('=') {
                Some((before, url)) if !before.contains(':') => url,
                _ => value,
            };
            return Ok(index(url, name));
        }
    }
    for path in pip_configurations(machine) {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let found = pip_configuration(&text);
        if let Some(url) = found.index_url {
            return Ok(Index {
                url: Some(url),
                trusted: found.trusted,
                origin: path.display().to_string(),
            });
        }
    }
    Ok(Index {
        url: None,
        trusted: Vec::new(),
        origin: "default".into(),
    })
}

fn unknown_mirror(name: &str) -> Error {
    let names: Vec<String> = stead_model::mirror::MIRRORS
        .iter()
        .map(|mirror| format!("`{}`", mirror.name))
        .collect();
    Error {
        act: format!("cannot use the package index `{name}`"),
        causes: vec![format!(
            "`build.index` is \"auto\", an URL, or one of {}",
            names.join(", ")
        )],
        hint: None,
        output: Vec::new(),
    }
}

/// The files that pip reads, the one that wins first.
fn pip_configurations(machine: &Machine) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    match machine.variable("PIP_CONFIG_FILE") {
        // pip's documented way to read no configuration at all.
        Some("/dev/null") => return paths,
        Some(path) => paths.push(PathBuf::from(path)),
        None => {}
    }
    let configuration = machine
        .variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(machine.home()?.join(".config")));
    paths.extend(configuration.map(|path| path.join("pip/pip.conf")));
    paths.extend(machine.home().map(|path| path.join(".pip/pip.conf")));
    paths.push(Path::new("/etc/pip.conf").to_path_buf());
    paths
}

#[derive(Debug, Default, PartialEq, Eq)]
struct PipConfiguration {
    index_url: Option<String>,
    trusted: Vec<String>,
}

/// The two values of a pip.conf that matter, from `[global]` and `[install]`; the latter wins.
fn pip_configuration(text: &str) -> PipConfiguration {
    let mut found = PipConfiguration::default();
    let mut section = String::new();
    let mut key = String::new();
    let mut from_install = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim().to_owned();
            key.clear();
            continue;
        }
        // A line that is indented goes on with the value above.
        let value = if line.starts_with([' ', '\t']) && !key.is_empty() {
            trimmed
        } else if let Some((name, value)) = trimmed.split_once(['=', ':']) {
            key = name.trim().replace('_', "-").to_ascii_lowercase();
            value.trim()
        } else {
            continue;
        };
        if !matches!(section.as_str(), "global" | "install") || value.is_empty() {
            continue;
        }
        match key.as_str() {
            "index-url" | "i" if section == "install" || !from_install => {
                found.index_url = Some(value.to_owned());
                from_install = section == "install";
            }
            "trusted-host" => found
                .trusted
                .extend(value.split_whitespace().map(str::to_owned)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
