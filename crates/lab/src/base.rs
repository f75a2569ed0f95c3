//! The base: a minimal Debian 12 that every machine is an overlay on. Built once, never booted, never written to again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::command;

/// Raised when what is in the base changes: the next lab builds it anew.
const RECIPE: u32 = 2;
const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// What a small virtual machine of a provider has, and what the tests look with.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-server,iproute2,ca-certificates,python3,nftables,sudo,procps,curl,git";

/// Where the base is, which is made when it is not there.
pub fn obtain(cache: &Path) -> Result<PathBuf, String> {
    let base = cache.join(format!("base-{SUITE}-{RECIPE}"));
    let because = |error: std::io::Error| format!("cannot make `{}`: {error}", base.display());
    fs::create_dir_all(cache).map_err(because)?;
    // Whoever comes meanwhile waits for the one that builds.
    let lock = File::create(cache.join("base.lock")).map_err(because)?;
    lock.lock().map_err(because)?;
    if base.is_dir() {
        return Ok(base);
    }
    let unfinished = cache.join("base.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(because)?;
    }
    let include = format!("--include={PACKAGES}");
    let made = ["--variant=minbase", &include, SUITE];
    let made = made.iter().map(AsRef::as_ref);
    command::run(
        "debootstrap",
        made.chain([unfinished.as_os_str(), MIRROR.as_ref()]),
    )?;
    finish(&unfinished).map_err(because)?;
    fs::rename(&unfinished, &base).map_err(because)?;
    Ok(base)
}

/// What a provider's image has that debootstrap does not make.
fn finish(root: &Path) -> std::io::Result<()> {
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    std::os::unix::fs::symlink(
        "/lib/systemd/system/systemd-networkd.service",
        wants.join("systemd-networkd.service"),
    )?;
    // sshd looks visitors' names up, which takes its time where there is no DNS.
    fs::write(root.join("etc/ssh/sshd_config.d/lab.conf"), "UseDNS no\n")?;
    // Packages that were installed from need no copy.
    let archives = root.join("var/cache/apt/archives");
    for entry in fs::read_dir(archives)?.flatten() {
        if entry.path().extension().is_some_and(|e| e == "deb") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
