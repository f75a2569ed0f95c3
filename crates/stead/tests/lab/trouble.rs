//! What stands in the way, and what breaks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::{Lab, Machine};

use crate::laptop::{Laptop, visit};

#[test]
fn who_holds_port_80_is_named_and_left_alone() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    machine.sh("systemd-run --quiet --unit=shop-web python3 -m http.server 80 && for i in $(seq 50); do curl -s -o /dev/null localhost && break; sleep 0.1; done").unwrap();
    let refused = laptop.host("add", "h1", &["--yes"]).refused();
    assert!(refused.contains("error: cannot add `h1`\n"), "{refused}");
    assert!(
        refused.contains(
            "cause: port 80 is taken by `python3` (shop-web.service, package python3.11-minimal)"
        ),
        "{refused}"
    );
    assert!(
        refused.contains("state: nothing was done there"),
        "{refused}"
    );
    assert!(
        refused.contains("hint: ssh h1 sudo systemctl disable --now shop-web.service"),
        "{refused}"
    );
    assert_eq!(visit(machine.address()), "200");
    assert_eq!(
        machine
            .sh("ls -d /usr/local/bin/stead /etc/systemd/system/stead* 2>/dev/null || true")
            .unwrap(),
        ""
    );
}

#[test]
fn the_edge_serves_whatever_becomes_of_the_agent_and_comes_back_by_itself() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "h1", &["--yes"]).good();

    // Frozen: visitors notice nothing, and the watchdog restarts it in its time.
    let before = main_pid(&machine, "stead-agent");
    signal(&machine, "stead-agent", "STOP");
    assert_eq!(visit(machine.address()), "421");
    if std::env::var_os("STEAD_LAB_LONG").is_some() {
        wait_for_another(&machine, "stead-agent", &before);
    } else {
        signal(&machine, "stead-agent", "CONT");
    }

    // Killed: it is started again.
    let before = main_pid(&machine, "stead-agent");
    signal(&machine, "stead-agent", "KILL");
    assert_eq!(visit(machine.address()), "421");
    wait_for_another(&machine, "stead-agent", &before);

    // The edge is killed: visitors wait in the socket for the next one.
    let before = main_pid(&machine, "stead-edge");
    signal(&machine, "stead-edge", "KILL");
    assert_eq!(visit(machine.address()), "421");
    wait_for_another(&machine, "stead-edge", &before);
    let doctor = laptop.host("doctor", "h1", &[]).good();
    assert!(!doctor.contains("wrong"), "{doctor}");

    // Nobody who cannot be reached is changed, and it does not take for ever to say so.
    machine.cut().unwrap();
    let refused = laptop.host("add", "h1", &["--yes"]).refused();
    assert!(refused.contains("error: cannot reach `h1`"), "{refused}");
    machine.mend().unwrap();
}

#[test]
fn another_program_takes_the_place_of_the_one_that_runs_and_a_broken_one_does_not() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let refused = laptop.host("upgrade", "h1", &["--yes"]).refused();
    assert!(refused.contains("cause: it is no host yet"), "{refused}");
    laptop.host("add", "h1", &["--yes"]).good();
    let before = main_pid(&machine, "stead-edge");

    // The same program with something behind its end is another file that runs.
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("stead");
    std::fs::copy(env!("CARGO_BIN_EXE_stead"), &other).unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&other)
        .unwrap();
    file.write_all(b"another").unwrap();
    drop(file);
    let other = other.display().to_string();
    let options = ["--yes", "--binary", &other];
    let visitors = Visitors::come(machine.address());
    let done = laptop.host("upgrade", "h1", &options).good();
    let (answered, lost) = visitors.leave();
    assert!(
        done.contains("done: replace the edge that runs, without losing a request"),
        "{done}"
    );
    assert!(answered > 0);
    assert_eq!(lost, Vec::<String>::new(), "of {answered}");
    assert_ne!(main_pid(&machine, "stead-edge"), before);
    assert_eq!(visit(machine.address()), "421");
    let again = laptop.host("upgrade", "h1", &options).good();
    assert!(again.contains("nothing to do"), "{again}");

    let broken = dir.path().join("broken");
    std::fs::write(&broken, "#!/bin/sh\nexit 3\n").unwrap();
    let broken = broken.display().to_string();
    let refused = laptop.host("upgrade", "h1", &["--yes", "--binary", &broken]);
    let refused = refused.refused();
    assert!(refused.contains("cannot copy `stead` to `h1`"), "{refused}");
    assert_eq!(visit(machine.address()), "421");
}

/// One after the other, each with a connection of its own, until told to leave.
struct Visitors {
    leaving: Arc<AtomicBool>,
    coming: JoinHandle<(usize, Vec<String>)>,
}

impl Visitors {
    fn come(address: &str) -> Self {
        let leaving = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&leaving);
        let address = format!("{address}:80");
        let coming = std::thread::spawn(move || {
            let (mut answered, mut lost) = (0, Vec::new());
            while !told.load(Ordering::Relaxed) {
                match ask(&address) {
                    Ok(answer) if answer.starts_with("HTTP/1.1 421 ") => answered += 1,
                    Ok(answer) => lost.push(answer),
                    Err(error) => lost.push(error.to_string()),
                }
            }
            (answered, lost)
        });
        Self { leaving, coming }
    }

    /// How many were answered, and what became of the others.
    fn leave(self) -> (usize, Vec<String>) {
        self.leaving.store(true, Ordering::Relaxed);
        self.coming.join().unwrap()
    }
}

fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: nobody.example\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Each is removed when its connection has ended, which the host learns in its time.
fn no_copy_is_left(machine: &Machine) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let left = machine
            .sh("ls -d /tmp/stead.* 2>/dev/null || true")
            .unwrap();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{left}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn main_pid(machine: &Machine, unit: &str) -> String {
    machine
        .sh(&format!(
            "systemctl show --property=MainPID --value {unit}.service"
        ))
        .unwrap()
}

fn signal(machine: &Machine, unit: &str, signal: &str) {
    let pid = main_pid(machine, unit);
    machine.sh(&format!("kill -{signal} {pid}")).unwrap();
}

/// Wait until the unit has another process than before, and is ready.
fn wait_for_another(machine: &Machine, unit: &str, before: &str) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let now = main_pid(machine, unit);
        let active = machine
            .sh(&format!("systemctl is-active {unit}.service"))
            .is_ok();
        if active && now != before && now.trim() != "0" {
            return;
        }
        assert!(Instant::now() < deadline, "{unit}: {now}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn who_is_cut_off_at_any_time_goes_on_where_it_ended() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let rounds = match std::env::var_os("STEAD_LAB_LONG") {
        Some(_) => 60,
        None => 10,
    };
    // The later, the further it comes; what is there stays, so that in the end every part has been cut off.
    for round in 1..=rounds {
        let mut child = laptop
            .command("add", "h1", &["--yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300 + 1500 * round / rounds));
        let _ = machine.sh("pkill -KILL -f 'stead api'");
        let _ = child.kill();
        child.wait().unwrap();
        // Either there is no edge yet, or a whole one.
        let status = visit(machine.address());
        assert!(["000", "421"].contains(&status.as_str()), "{status}");
        let half = machine.sh("find /etc/systemd/system /etc/sysusers.d /etc/tmpfiles.d -name '*stead*' -size 0 2>/dev/null || true");
        assert_eq!(half.unwrap(), "");
    }
    // Copies of the program would fill `/tmp` in the end.
    no_copy_is_left(&machine);
    laptop.host("add", "h1", &["--yes"]).good();
    let doctor = laptop.host("doctor", "h1", &[]).good();
    assert!(!doctor.contains("wrong"), "{doctor}");
    assert_eq!(visit(machine.address()), "421");
    // What was written aside and not renamed is in nobody's way, and goes with the rest.
    laptop.host("rm", "h1", &["--yes", "--data"]).good();
    let left = machine.sh("find / -xdev -name '*stead*' -not -path '/proc/*' -not -path '/tmp/*' -not -path '/var/log/*' -not -path '/var/tmp/*' 2>/dev/null || true").unwrap();
    assert_eq!(left, "");
}

#[test]
fn a_host_key_that_is_unknown_or_another_one_stops_everything() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let strict = std::fs::read_to_string(lab.ssh_config())
        .unwrap()
        .replace("accept-new", "yes");
    std::fs::write(lab.ssh_config(), strict).unwrap();
    laptop.host("add", "h1", &["--dry-run"]).good();

    let known = lab.dir().join("known_hosts");
    let keys = std::fs::read_to_string(&known).unwrap();
    std::fs::write(&known, "").unwrap();
    let refused = laptop.host("add", "h1", &["--yes"]).refused();
    assert!(
        refused.contains("cause: Host key verification failed."),
        "{refused}"
    );
    assert!(refused.contains("hint: ssh h1"), "{refused}");

    std::fs::write(&known, keys).unwrap();
    machine
        .sh("rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh")
        .unwrap();
    let refused = laptop.host("add", "h1", &["--yes"]).refused();
    assert!(
        refused.contains("cause: Host key verification failed."),
        "{refused}"
    );
    assert_eq!(visit(machine.address()), "000");
}
