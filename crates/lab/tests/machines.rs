//! The lab itself, on real machines.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, SmallDisk};

const DATA: SmallDisk = SmallDisk {
    at: "/srv/data",
    megabytes: 8,
};

#[test]
fn machines_are_booted_and_broken_and_leave_nothing_behind() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let name = unlikely_name();
    let mut one = lab.boot_with(&name, &[DATA]).unwrap();
    let two = lab.boot("two").unwrap();

    // systemd is in charge, and a machine is an overlay of its own.
    assert_eq!(one.sh("cat /proc/1/comm").unwrap(), "systemd\n");
    one.sh("echo mine >/etc/mine").unwrap();
    assert!(two.sh("cat /etc/mine").is_err());

    // They see each other, until a cable is pulled.
    let knock = format!("timeout 2 bash -c '</dev/tcp/{}/22'", two.address());
    one.sh(&knock).unwrap();
    two.cut().unwrap();
    assert!(one.sh(&knock).is_err());
    two.mend().unwrap();
    one.sh(&knock).unwrap();

    // A disk is full, and has room again.
    one.fill(DATA).unwrap();
    let full = one.sh("echo more >/srv/data/more").unwrap_err();
    assert!(full.contains("No space left"), "{full}");
    one.free(DATA).unwrap();
    one.sh("echo more >/srv/data/more").unwrap();

    // What was written outlives a restart and a kill; what ran does not.
    let before = one
        .sh("systemctl show --property=UserspaceTimestamp --value")
        .unwrap();
    one.reboot().unwrap();
    let after = one
        .sh("systemctl show --property=UserspaceTimestamp --value")
        .unwrap();
    assert_ne!(before, after);
    one.kill().unwrap();
    assert!(one.sh("true").is_err());
    one.start().unwrap();
    assert_eq!(
        one.sh("cat /etc/mine /srv/data/more").unwrap(),
        "mine\nmore\n"
    );

    let dir = lab.dir().to_owned();
    drop((one, two, lab));
    nothing_is_left(&dir, &name);
}

/// Set for the copy of this program that is killed.
const KILLED: &str = "STEAD_LAB_IS_KILLED";

#[test]
fn what_a_killed_test_leaves_behind_is_removed_by_the_next() {
    if let Ok(name) = std::env::var(KILLED) {
        let lab = Lab::start().unwrap();
        let machine = lab.boot(&name).unwrap();
        println!("left in {}", lab.dir().display());
        assert_eq!(machine.sh("echo here").unwrap(), "here\n");
        // As SIGKILL does: nothing is dropped.
        std::process::abort();
    }
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let name = unlikely_name();
    let killed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("what_a_killed_test_leaves_behind_is_removed_by_the_next")
        .env(KILLED, &name)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&killed.stdout).into_owned();
    let dir = said.lines().find_map(|line| line.split_once("left in "));
    let dir = dir.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&killed.stderr)));
    let dir = Path::new(dir.1);
    assert!(dir.join("machines").join(&name).exists());

    drop(lab);
    drop(Lab::start().unwrap());
    nothing_is_left(dir, &name);
}

/// Other tests, and the same one elsewhere, may claim the same place at any time: what is looked for has a name of its own. Five
/// characters fit into the name of a link.
fn unlikely_name() -> String {
    let nanoseconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    format!("t{:04x}", nanoseconds >> 4 & 0xffff)
}

/// Neither processes, nor links, nor mounts, nor files of a machine.
fn nothing_is_left(lab: &Path, machine: &str) {
    // Somebody else's lab may be the one that clears, at this moment.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let left = what_is_left(lab, machine);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{left:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn what_is_left(lab: &Path, machine: &str) -> Vec<String> {
    let mut left = Vec::new();
    let number = lab.file_name().unwrap().to_string_lossy();
    let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
    let links = String::from_utf8_lossy(&links.stdout).into_owned();
    left.extend(
        links
            .lines()
            .filter(|line| line.contains(&format!("-{machine}")))
            .map(str::to_owned),
    );
    let dir = lab.join("machines").join(machine);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let dir_text = dir.display().to_string();
    left.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&dir_text))
            .map(str::to_owned),
    );
    left.extend(dir.exists().then_some(dir_text));
    let option = format!("--machine=lab{number}-{machine}");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    let commands = commands.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    left.extend(commands.filter(|line| line.contains(&option)));
    // While nobody holds the place, its bridge is gone as well.
    let lock = std::fs::File::open(lab.with_extension("lock")).unwrap();
    let bridge = format!("stead-lab{number}:");
    if lock.try_lock().is_ok() {
        let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
        let links = String::from_utf8_lossy(&links.stdout).into_owned();
        left.extend(
            links
                .lines()
                .filter(|line| line.contains(&bridge))
                .map(str::to_owned),
        );
    }
    left
}
