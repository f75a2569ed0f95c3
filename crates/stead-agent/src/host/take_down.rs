//! Removing everything of Stead from a host, as root.

use std::fs;
use std::path::Path;

use stead_model::host::{
    BINARY, EDGE_USER, FILES, LOGS, PROTOCOL, Progress, RUN, STATE, TakeDown, UNITS,
};

use stead_model::units::DIRECTORY;

use super::program::run;
use super::set_up::aside;
use super::{Failed, look, step};
use crate::spawn::io_text;

/// Do it. What is not there is no failure, so that it can be done again when it was cut off.
pub fn take_down(
    asked: &TakeDown,
    version: &str,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), Failed> {
    const ACT: &str = "cannot take this host down";
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
    let found = look(version).found;
    for unit in UNITS
        .iter()
        .rev()
        .filter(|unit| found.units.contains_key(unit.name))
    {
        step(format!("stop `{}`", unit.name), tell, || {
            run("systemctl", ["--quiet", "disable", "--now", unit.name])?;
            let _ = run("systemctl", ["reset-failed", unit.name]);
            Ok(())
        })?;
    }
    remove_apps(tell)?;
    for file in FILES
        .iter()
        .filter(|file| found.files.contains_key(file.path))
    {
        step(format!("remove `{}`", file.path), tell, || {
            remove(file.path)
        })?;
    }
    // A fresh machine has none; one with something in it stays.
    let _ = fs::remove_dir("/etc/sysusers.d");
    if !found.units.is_empty() {
        step("let systemd read its units anew".to_owned(), tell, || {
            run("systemctl", ["daemon-reload"]).map(drop)
        })?;
    }
    if found.users.contains(EDGE_USER) {
        step(format!("remove the user `{EDGE_USER}`"), tell, || {
            run("userdel", [EDGE_USER]).map(drop)
        })?;
    }
    let data = [STATE, LOGS].into_iter().filter(|_| asked.data);
    for dir in [RUN]
        .into_iter()
        .chain(data)
        .filter(|dir| Path::new(dir).exists())
    {
        step(format!("remove `{dir}`"), tell, || remove(dir))?;
    }
    // What was written aside when a set-up was cut off.
    for path in FILES.iter().map(|file| file.path).chain([BINARY]) {
        let _ = fs::remove_file(aside(Path::new(path)));
    }
    // At last: until here, this can be started again.
    if found.binary.is_some() {
        step(format!("remove `{BINARY}`"), tell, || remove(BINARY))?;
    }
    Ok(())
}

/// The units and users of apps. Their data goes with [`STATE`], or stays.
fn remove_apps(tell: &mut dyn FnMut(Progress)) -> Result<(), Failed> {
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // Our own are `stead-…`.
    let units: Vec<String> = names.filter(|name| name.starts_with("stead.")).collect();
    if !units.is_empty() {
        step("stop the apps".to_owned(), tell, || {
            // What was started of a template is meant by it: systemctl(1) reads `*`.
            let all = units.iter().map(|unit| unit.replace("@.", "@*."));
            run("systemctl", ["stop".to_owned()].into_iter().chain(all)).map(drop)
        })?;
        step("remove the units of the apps".to_owned(), tell, || {
            for unit in &units {
                remove(&format!("{DIRECTORY}/multi-user.target.wants/{unit}"))?;
                remove(&format!("{DIRECTORY}/{unit}"))?;
            }
            Ok(())
        })?;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users = passwd.lines().filter_map(|line| line.split(':').next());
    for user in users.filter(|user| user.starts_with("stead-") && *user != EDGE_USER) {
        step(format!("remove the user `{user}`"), tell, || {
            run("userdel", [user]).map(drop)
        })?;
    }
    Ok(())
}

fn remove(path: &str) -> Result<(), String> {
    let path = Path::new(path);
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_text(&error)),
        _ => Ok(()),
    }
}
