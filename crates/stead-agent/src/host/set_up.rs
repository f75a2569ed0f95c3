//! Carrying out a plan, as root. Each step can be done again: whoever is cut off looks, plans and goes on.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stead_model::host::{BINARY, FILES, PROTOCOL, Progress, SetUp, Step, objections, plan};

use super::program::run;
use super::{Failed, digest, look, step};
use crate::spawn::io_text;

/// Do what was consented to, if that is what is to be done. `own` is the program that runs.
pub fn set_up(
    asked: &SetUp,
    own: &Path,
    version: &str,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), Failed> {
    const ACT: &str = "cannot set this host up";
    if asked.protocol != PROTOCOL {
        let cause = format!(
            "the program on the host speaks version {PROTOCOL}, not {}",
            asked.protocol
        );
        return Err(Failed::new(ACT, cause));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failed::new(ACT, "that takes root"));
    }
    let facts = look(version);
    if let Some(objection) = objections(&facts).into_iter().next() {
        return Err(Failed::new(ACT, objection.why));
    }
    let offered = digest(own).map_err(|error| Failed::new(ACT, io_text(&error)))?;
    let steps = plan(&facts, &offered);
    if steps != asked.steps {
        return Err(Failed::new(
            ACT,
            "it has changed since the plan was shown; nothing was done",
        ));
    }
    for to_do in steps {
        step(to_do.text(), tell, || carry_out(&to_do, own))?;
    }
    Ok(())
}

fn carry_out(step: &Step, own: &Path) -> Result<(), String> {
    match step {
        Step::InstallBinary {
            digest: expected, ..
        } => install(own, expected),
        Step::WriteFile { path, .. } => {
            let file = FILES.iter().find(|file| file.path == path);
            let file = file.ok_or("no such file is known")?;
            put(Path::new(file.path), 0o644, |to| {
                to.write_all(file.content.as_bytes())
            })
        }
        Step::CreateUsers => run("systemd-sysusers", [FILES[0].path]).map(drop),
        Step::CreateDirectories => run("systemd-tmpfiles", ["--create", FILES[1].path]).map(drop),
        Step::Reload => run("systemctl", ["daemon-reload"]).map(drop),
        Step::Enable { unit } => run("systemctl", ["--quiet", "enable", unit]).map(drop),
        Step::Start { unit } => start("start", unit),
        Step::Restart { unit } => start("restart", unit),
        Step::Stop { unit } => run("systemctl", ["stop", unit]).map(drop),
        Step::UpgradeEdge => run(BINARY, ["edge", "upgrade"]).map(drop),
    }
}

/// What a unit printed last is the reason more often than what systemctl says of it.
fn start(verb: &str, unit: &str) -> Result<(), String> {
    // What failed too often of late may try again now.
    let _ = run("systemctl", ["reset-failed", unit]);
    let Err(why) = run("systemctl", [verb, unit]) else {
        return Ok(());
    };
    let lines = ["--no-pager", "--output=cat", "--lines=3", "--unit", unit];
    match run("journalctl", lines) {
        Ok(lines) if !lines.trim().is_empty() => Err(lines.trim().replace('\n', "; ")),
        _ => Err(why),
    }
}

fn install(own: &Path, expected: &str) -> Result<(), String> {
    let mut from = File::open(own).map_err(|error| io_text(&error))?;
    let to = Path::new(BINARY);
    put(to, 0o755, |to| std::io::copy(&mut from, to).map(drop))?;
    let is = digest(to).map_err(|error| io_text(&error))?;
    match is == expected {
        true => Ok(()),
        false => Err("what was written is not what was read: is the disk sound?".to_owned()),
    }
}

/// Where a file is until it is whole.
pub(crate) fn aside(path: &Path) -> PathBuf {
    path.with_extension("stead-new")
}

/// Write aside, then rename: at every instant the whole old file is there, or the whole new one, even when power fails.
fn put(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), String> {
    let aside = aside(path);
    let written = (|| {
        let dir = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir)?;
        let mut file = File::create(&aside)?;
        write(&mut file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(dir)?.sync_all()
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&aside);
        io_text(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("below/unit.service");
        put(&file, 0o644, |to| to.write_all(b"one")).unwrap();
        let failed = put(&file, 0o644, |to| {
            to.write_all(b"tw")?;
            Err(std::io::Error::other("no room"))
        });
        assert_eq!(failed, Err("no room".to_owned()));
        assert_eq!(fs::read(&file).unwrap(), b"one");
        let entries = fs::read_dir(file.parent().unwrap()).unwrap();
        assert_eq!(entries.count(), 1);
    }
}
