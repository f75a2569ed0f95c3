//! Disks that fail: what could not be made durable is never said to be done, and what serves goes on.

use std::fs;
use std::process::Command;

use lab::{Lab, Machine, SmallDisk};
use stead_model::agent::Answer;
use stead_model::tree::Received;

use super::app::{App, Host, Said};
use super::cut::{Deploy, it_is_whole};
use super::visitors::Visitors;
use crate::laptop::Laptop;

const STATE: SmallDisk = SmallDisk {
    at: "/var/lib/stead",
    megabytes: 640,
};

/// fsync(2) and fdatasync(2) that fail as on a broken disk while a file is there.
const PRELOADED: &str = "
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

static int fails(void)
{
    if (access(\"/run/stead/fsync-fails\", F_OK) != 0)
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, \"fsync\");
    return fails() ? -1 : real(file);
}

int fdatasync(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, \"fdatasync\");
    return fails() ? -1 : real(file);
}
";

/// In the programs of the agent's unit, and in what a laptop starts.
fn preload(machine: &Machine) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("fails.c");
    fs::write(&source, PRELOADED).unwrap();
    let library = machine.root().join("usr/local/lib/fails.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status()
        .expect("a C compiler");
    assert!(built.success());
    machine
        .sh("mkdir -p /etc/systemd/system/stead-agent.service.d && \
             printf '[Service]\\nEnvironment=LD_PRELOAD=/usr/local/lib/fails.so\\n' >/etc/systemd/system/stead-agent.service.d/fails.conf && \
             systemctl daemon-reload && systemctl restart stead-agent.service")
        .unwrap();
}

#[test]
fn what_a_disk_did_not_take_is_never_done() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let mut machine = lab.boot_with("h1", &[STATE]).unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "h1", &["--yes"]).good();
    preload(&machine);
    let host = Host::of(&machine);
    let shop = App::new("shop").with_release_command("sleep 0.3");
    let tree = host.send_app(&shop);
    assert_eq!(host.deploy_tree(&tree).good().release, Some(1));

    let visitors = Visitors::come(&host.address());
    nothing_is_made_durable(&host, &tree);
    for step in ["write the code out", "release command", "start", "switch"] {
        nothing_is_made_durable_from(&host, &tree, step);
    }
    assert_eq!(visitors.go().1, Vec::<String>::new());
    the_file_system_is_read_only(&mut machine, &tree);
}

/// Why it was not done.
#[track_caller]
fn why(said: Said) -> String {
    match said.last() {
        Answer::Refused { causes } => causes.join(": "),
        Answer::Failed(failed) => failed.causes.join(": "),
        other => panic!("{other:?}"),
    }
}

/// Newer kernels do not show that they have made a file system read-only: then it is an error of writing.
fn is_named(why: &str) -> bool {
    why.contains("read-only") || why.contains("its disk failed to read or to write")
}

fn nothing_is_made_durable(host: &Host<'_>, tree: &str) {
    host.sh("touch /run/stead/fsync-fails");
    let why = why(host.deploy_tree(tree));
    assert!(
        why.contains("cannot use `/var/lib/stead/state.db`"),
        "{why}"
    );
    // Nor is a source taken.
    let other = App::new("shop").with_code("OTHER = True");
    let answer = host.send_with(&other, "LD_PRELOAD=/usr/local/lib/fails.so");
    assert!(matches!(answer, Received::Refused { .. }), "{answer:?}");
    assert_eq!(
        host.get("/release"),
        host.status().unwrap().release.unwrap().number.to_string()
    );
    host.sh("rm /run/stead/fsync-fails");
    let next = host.deploy_tree(tree).good().release.unwrap();
    assert_eq!(host.get("/release"), next.to_string());
}

/// The disk fails in the midst of a deploy.
fn nothing_is_made_durable_from(host: &Host<'_>, tree: &str, step: &str) {
    let before: u64 = host.get("/release").parse().unwrap();
    let mut deploy = Deploy::begin(host, tree);
    deploy.reach(step, 0);
    host.sh("touch /run/stead/fsync-fails");
    let last = deploy.last();
    let failed = match &last {
        Answer::Done(_) => false,
        Answer::Failed(_) => true,
        other => panic!("{step}: {other:?}"),
    };
    let serves: u64 = host.get("/release").parse().unwrap();
    assert_eq!(serves == before, failed, "{step}: {last:?}");
    host.sh("rm /run/stead/fsync-fails");
    // An agent that begins anew believes what is on the disk.
    host.sh("systemctl restart stead-agent.service");
    it_is_whole(host, before, step);
    assert_eq!(host.get("/release"), serves.to_string(), "{step}");
    let next = host.deploy_tree(tree).good().release.unwrap();
    assert_eq!(host.get("/release"), next.to_string());
}

/// Who serves has nothing to write there.
fn the_file_system_is_read_only(machine: &mut Machine, tree: &str) {
    let host = Host::of(machine);
    let before = host.get("/release");
    machine.spoil(STATE).unwrap();
    let visitors = Visitors::come(&host.address());
    let said = why(host.deploy_tree(tree));
    assert!(is_named(&said), "{said}");
    assert_eq!(host.get("/release"), before);
    // An agent that begins anew cannot take over what it cannot write down; it says so, and ends nothing.
    host.sh("systemctl restart stead-agent.service");
    let said = why(host.deploy_tree(tree));
    assert!(is_named(&said), "{said}");
    assert_eq!(host.get("/release"), before);
    assert_eq!(visitors.go().1, Vec::<String>::new());

    machine.power_off().unwrap();
    machine.repair(STATE).unwrap();
    machine.start().unwrap();
    let host = Host::of(machine);
    host.get_when_it_is_there("/release");
    it_is_whole(&host, before.parse().unwrap(), "a disk that was mended");
    let next = host.deploy_tree(tree).good().release.unwrap();
    assert_eq!(host.get("/release"), next.to_string());
}
