//! Names: of units, sockets, users. Names of apps are lower-case letters, digits and `-`; of processes and jobs letters, digits, `-` and `_`.
//! Neither has a dot, so a unit's name can be taken apart again.

use std::path::{Path, PathBuf};

use crate::routing::InstanceId;

/// What the kernel and systemd allow for a user's name, less one byte that nobody misses.
const LONGEST_USER: usize = 31;

/// The units of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Its service.
    pub service: String,
    /// Its socket, if it is handed one.
    pub socket: String,
}

/// The units of an instance: `stead.shop.web.4-17.service`, of release 4, the 17th instance of the host.
pub fn instance_unit(app: &str, process: &str, release: u64, id: InstanceId) -> Names {
    let stem = format!("stead.{app}.{process}.{release}-{}", id.0);
    Names {
        service: format!("{stem}.service"),
        socket: format!("{stem}.socket"),
    }
}

/// Takes [`instance_unit`] apart: the id, if it is an instance's service of this app.
pub fn instance_of(app: &str, unit: &str) -> Option<InstanceId> {
    let rest = unit.strip_prefix("stead.")?.strip_prefix(app)?;
    let rest = rest.strip_prefix('.')?.strip_suffix(".service")?;
    let (process, numbers) = rest.split_once('.')?;
    let (release, id) = numbers.split_once('-')?;
    release.parse::<u64>().ok()?;
    (!process.is_empty()).then_some(InstanceId(id.parse().ok()?))
}

/// Whether a unit is one of an app's, of whatever kind.
pub fn is_unit_of(app: &str, unit: &str) -> bool {
    let rest = unit.strip_prefix("stead.");
    rest.and_then(|rest| rest.strip_prefix(app))
        .is_some_and(|rest| rest.starts_with('.'))
}

/// The unit of a release command. An instance's name ends with two numbers, this one with one.
pub fn release_unit(app: &str, number: u64) -> String {
    format!("stead.{app}.release.{number}.service")
}

/// The unit of a build.
pub fn build_unit(app: &str, number: u64) -> String {
    format!("stead.{app}.build.{number}.service")
}

/// The unit of a job's run.
pub fn job_unit(app: &str, job: &str, run: u64) -> String {
    format!("stead.{app}.job.{job}.{run}.service")
}

/// What the machine starts for an app when it boots.
pub fn target(app: &str) -> String {
    format!("stead.{app}.target")
}

/// The slice of an app. A `-` would make another level of it (systemd.slice(5)).
pub fn slice(app: &str) -> String {
    format!("stead-{}.slice", app.replace('-', "\\x2d"))
}

/// The user of an app. A name that is too long, or that is the edge's, is told apart by a `_`, which no app's name has.
pub fn user(app: &str) -> String {
    let plain = format!("stead-{app}");
    if plain.len() <= LONGEST_USER && !["edge", "agent", "build"].contains(&app) {
        return plain;
    }
    // FNV-1a: the same on every host and in every version, unlike what a library may change.
    let hash = app.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let short: String = app.chars().take(16).collect();
    format!("stead-{short}_{hash:08x}")
}

/// Where an instance is reached. `run` is the app's directory below `/run`.
pub fn socket_path(run: &Path, process: &str, release: u64, id: InstanceId) -> PathBuf {
    run.join(format!("{release}.{process}.{}.sock", id.0))
}
