//! Where things of apps are on a host, whose they are, and who may read them.
//!
//! An app's directory is its user's and the edge's to pass through, and nobody else's; the user may write to `volumes/*` and, while it builds, to
//! `build` and the code that is built. Everything else is root's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use stead_model::host::EDGE_USER;
use stead_model::release::Release;
use stead_model::units;

use crate::host::program::run;
use crate::source;
use crate::spawn::io_text;
use crate::state::{Failure, generate_secret, without_line_end};

/// The directories of a host.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// `/var/lib/stead`.
    pub(crate) state: PathBuf,
    /// `/run/stead/apps`.
    pub(crate) run: PathBuf,
    /// [`units::DIRECTORY`].
    pub(crate) units: PathBuf,
}

impl Places {
    /// Everything of an app.
    pub(crate) fn app(&self, app: &str) -> PathBuf {
        self.state.join("apps").join(app)
    }

    /// What a release's code is written to.
    pub(crate) fn code(&self, app: &str, number: u64) -> PathBuf {
        self.app(app).join("releases").join(number.to_string())
    }

    /// Environments, and what installers keep.
    pub(crate) fn build(&self, app: &str) -> PathBuf {
        self.app(app).join("build")
    }

    /// What outlives releases.
    pub(crate) fn volume(&self, app: &str, name: &str) -> PathBuf {
        self.app(app).join("volumes").join(name)
    }

    /// The variables of a unit's program: root's alone, since secrets are in it.
    pub(crate) fn variables(&self, app: &str, unit: &str) -> PathBuf {
        self.app(app).join("variables").join(unit)
    }

    /// A unit's file.
    pub(crate) fn unit(&self, unit: &str) -> PathBuf {
        self.units.join(unit)
    }

    /// Make what an app needs: its user, its directories. What is there stays.
    pub(crate) fn prepare(&self, app: &str) -> Result<(), String> {
        let user = units::user(app);
        if id_of("/etc/passwd", &user).is_none() {
            let line = format!("u {user} - \"Stead's app {app}\" /nonexistent /usr/sbin/nologin");
            // Outside of the agent's own sandbox, where /etc is read-only.
            let words = [
                "--quiet",
                "--wait",
                "--collect",
                "systemd-sysusers",
                "--inline",
                &line,
            ];
            run("systemd-run", words)?;
        }
        let (own, edge) = self.ids(app)?;
        let made = (|| {
            make(&self.state.join("apps"), 0o711)?;
            make(&self.run, 0o755)?;
            make(&self.run.join(app), 0o755)?;
            let dir = self.app(app);
            make(&dir, 0o550)?;
            lchown(&dir, Some(own), Some(edge))?;
            for (below, mode) in [
                ("releases", 0o755),
                ("volumes", 0o755),
                ("variables", 0o700),
                ("secrets", 0o700),
            ] {
                make(&dir.join(below), mode)?;
            }
            let build = dir.join("build");
            make(&build, 0o755)?;
            lchown(&build, Some(own), Some(own))
        })();
        made.map_err(|error: io::Error| {
            format!(
                "cannot make the directories of `{app}`: {}",
                io_text(&error)
            )
        })
    }

    /// Who reads what visitors are shown. `None`: this is no host yet.
    pub(crate) fn edge_group(&self) -> Option<u32> {
        id_of("/etc/group", EDGE_USER)
    }

    /// The ids of the app's user and of the edge's group.
    fn ids(&self, app: &str) -> Result<(u32, u32), String> {
        let user = units::user(app);
        let own =
            id_of("/etc/passwd", &user).ok_or_else(|| format!("there is no user `{user}`"))?;
        let edge = id_of("/etc/group", EDGE_USER)
            .ok_or_else(|| format!("there is no group `{EDGE_USER}`"))?;
        Ok((own, edge))
    }

    /// Code that is about to be built is the app's user's.
    pub(crate) fn open(&self, app: &str, code: &Path) -> Result<(), String> {
        let (own, _) = self.ids(app)?;
        source::hand_over(code, own, own)
            .map_err(|error| format!("cannot prepare the code: {}", io_text(&error)))
    }

    /// Code that was built is root's, so that nothing that runs can change it.
    pub(crate) fn seal(&self, code: &Path) -> Result<(), String> {
        source::seal(code).map_err(|error| format!("cannot seal the code: {}", io_text(&error)))
    }

    /// Make the volumes, and link them into the code of a release. What the code brings along at that path goes into a volume that is
    /// empty, and is dropped when it is not. Returns sentences for a person.
    pub(crate) fn link_volumes(&self, release: &Release) -> Result<Vec<String>, Failure> {
        let mut notes = Vec::new();
        for (name, path) in &release.volumes {
            let act = || format!("cannot link the volume `{name}` to `{path}`");
            let failed = |error: io::Error| Failure::new(act(), io_text(&error));
            let relative = Path::new(path);
            let inside = relative
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if !inside || path.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(Failure::new(act(), "it is not a path inside of the code"));
            }
            let (own, edge) = self
                .ids(&release.app)
                .map_err(|why| Failure::new(act(), why))?;
            let volume = self.volume(&release.app, name);
            make(&volume, 0o750).map_err(failed)?;
            lchown(&volume, Some(own), Some(edge)).map_err(failed)?;
            let link = release.code.join(relative);
            match fs::symlink_metadata(&link) {
                Ok(found) if found.is_symlink() => {
                    if fs::read_link(&link).map_err(failed)? == volume {
                        continue;
                    }
                    fs::remove_file(&link).map_err(failed)?;
                }
                Ok(found) if found.is_dir() => {
                    let brought = fs::read_dir(&link).map_err(failed)?.next().is_some();
                    let empty = fs::read_dir(&volume).map_err(failed)?.next().is_none();
                    if brought && empty {
                        copy(&link, &volume, own).map_err(failed)?;
                        notes.push(format!(
                            "what the code has in `{path}` is the beginning of the volume `{name}`"
                        ));
                    } else if brought {
                        notes.push(format!("what the code has in `{path}` is not used: the volume `{name}` is in its place"));
                    }
                    fs::remove_dir_all(&link).map_err(failed)?;
                }
                Ok(_) => {
                    return Err(Failure::new(
                        act(),
                        "a file is there, and a volume is a directory",
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if let Some(parent) = link.parent() {
                        fs::create_dir_all(parent).map_err(failed)?;
                    }
                }
                Err(error) => return Err(failed(error)),
            }
            std::os::unix::fs::symlink(&volume, &link).map_err(failed)?;
        }
        Ok(notes)
    }

    /// The values of a release's secrets; those that are to be made are made once.
    pub(crate) fn secrets(&self, release: &Release) -> Result<BTreeMap<String, OsString>, Failure> {
        use std::os::unix::ffi::OsStringExt;
        let dir = self.app(&release.app).join("secrets");
        let mut values = BTreeMap::new();
        for (name, generate) in &release.secrets {
            let file = dir.join(name);
            if name.is_empty() || name.contains(['/', '\0', '=']) || name.starts_with('.') {
                return Err(Failure::new(
                    format!("cannot read the secret `{name}`"),
                    "this is not a name of an environment variable",
                ));
            }
            let value = match fs::read(&file) {
                Ok(bytes) => OsString::from_vec(without_line_end(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && *generate => {
                    generate_secret(&file).map_err(|error| {
                        Failure::new(format!("cannot make the secret `{name}`"), io_text(&error))
                    })?
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Failure::new(
                        format!("the secret `{name}` has no value"),
                        format!("there is no `{}` on the host", file.display()),
                    ));
                }
                Err(error) => {
                    let act = format!("cannot read the secret `{name}`");
                    return Err(Failure::new(act, io_text(&error)));
                }
            };
            values.insert(name.clone(), value);
        }
        Ok(values)
    }

    /// Write a file that root alone reads, whole or not at all.
    pub(crate) fn write_private(&self, path: &Path, text: &str) -> io::Result<()> {
        write(path, text, 0o600)
    }

    /// Write a unit's file, whole or not at all.
    pub(crate) fn write_unit(&self, unit: &str, text: &str) -> io::Result<()> {
        write(&self.unit(unit), text, 0o644)
    }

    /// Let the machine start these units when it boots, instead of those of before.
    pub(crate) fn boot(&self, app: &str, starts: &[String]) -> io::Result<()> {
        let target = units::target(app);
        let text = units::boot_target(app, starts);
        if fs::read_to_string(self.unit(&target)).is_ok_and(|is| is == text) {
            return Ok(());
        }
        self.write_unit(&target, &text)?;
        let wants = self.units.join("multi-user.target.wants");
        fs::create_dir_all(&wants)?;
        match std::os::unix::fs::symlink(self.unit(&target), wants.join(&target)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Remove a unit's files.
    pub(crate) fn remove_unit(&self, app: &str, unit: &str) {
        let _ = fs::remove_file(self.unit(unit));
        let _ = fs::remove_file(self.variables(app, unit));
    }

    /// Remove code and environments that none of these releases needs, and sources but for these trees.
    pub(crate) fn prune<'a>(
        &self,
        app: &str,
        kept: impl Iterator<Item = &'a Release>,
        trees: &[&str],
    ) -> Result<(), String> {
        let mut needed = BTreeSet::new();
        for release in kept {
            let mut words = vec![release.code.clone()];
            words.extend(release.path.iter().cloned());
            for spec in release.processes.values() {
                let (stead_model::release::Start::Command(argv)
                | stead_model::release::Start::Preload(argv)) = &spec.start;
                words.extend(argv.iter().map(PathBuf::from));
            }
            for word in words {
                needed.extend(word.ancestors().map(Path::to_owned));
            }
        }
        for dir in [self.app(app).join("releases"), self.build(app).join("envs")] {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                if !needed.contains(&entry.path()) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
        source::prune(&self.app(app), trees).map_err(|error| error.to_string())
    }

    /// Everything of an app that is no data; and its data.
    pub(crate) fn remove(&self, app: &str, data: bool) {
        let target = units::target(app);
        let _ = fs::remove_file(self.units.join("multi-user.target.wants").join(&target));
        let _ = fs::remove_file(self.unit(&target));
        let _ = fs::remove_dir_all(self.run.join(app));
        let dir = self.app(app);
        if data {
            let _ = fs::remove_dir_all(&dir);
            let user = units::user(app);
            if id_of("/etc/passwd", &user).is_some() {
                let _ = run(
                    "systemd-run",
                    ["--quiet", "--wait", "--collect", "userdel", &user],
                );
            }
            return;
        }
        for below in [
            "releases",
            "variables",
            "build",
            "objects",
            "trees",
            "incoming",
            stead_model::push::DIRECTORY,
            stead_model::webhook::PULLED,
        ] {
            let _ = fs::remove_dir_all(dir.join(below));
        }
    }
}

/// Make a directory that is not there, with a mode that no mask changes.
fn make(dir: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(dir)?;
    if fs::metadata(dir)?.mode() & 0o7777 != mode {
        fs::set_permissions(dir, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    use std::io::Write;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new()
        .prefix(".stead-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    // The mask may have taken something.
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The name, too, outlives a power cut.
    fs::File::open(dir)?.sync_all()
}

/// Files, directories and links; nothing else can be in code.
fn copy(from: &Path, to: &Path, owner: u32) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, new) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            make(&new, 0o755)?;
            copy(&entry.path(), &new, owner)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &new)?;
        } else {
            fs::copy(entry.path(), &new)?;
            fs::set_permissions(&new, Permissions::from_mode(0o644))?;
        }
        lchown(&new, Some(owner), Some(owner))?;
    }
    Ok(())
}

/// The id of a name: the third field of its line, in passwd(5) and group(5) alike.
fn id_of(file: &str, name: &str) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests;
