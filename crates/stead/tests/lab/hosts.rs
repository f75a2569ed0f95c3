//! A machine becomes a host, stays one, and is none any more.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use lab::{Lab, Machine};

use crate::laptop::{Laptop, Said, visit};

/// Every file that matters, with its kind, owner and mode. What any login and any use of systemd leaves is left out.
fn traces(machine: &Machine) -> String {
    machine
        .sh("find /etc /usr/local /usr/bin /usr/sbin /opt /root /home /srv /var /run/stead /tmp -xdev \
             \\( -path /var/log/journal -o -path '/tmp/systemd-private-*' -o -path '/var/tmp/systemd-private-*' \
             -o -path /var/lib/systemd -o -path /var/cache/ldconfig \\) -prune \
             -o -printf '%y %u %m %p\\n' 2>/dev/null \
             | grep -vE '/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|/etc/\\.pwd\\.lock|/var/log/(wtmp|lastlog|btmp)$' | sort")
        .unwrap()
}

/// What went and what came.
fn difference(before: &str, after: &str) -> Vec<String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (before.lines().collect(), after.lines().collect());
    let (went, came) = (before.difference(&after), after.difference(&before));
    went.map(|line| format!("- {line}"))
        .chain(came.map(|line| format!("+ {line}")))
        .collect()
}

#[test]
fn a_fresh_machine_becomes_a_host_with_one_command_and_is_none_with_another() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let mut machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let before = traces(&machine);
    let users = machine.sh("cat /etc/passwd /etc/group").unwrap();

    // Looking changes nothing.
    let plan = laptop.host("add", "h1", &["--dry-run"]).good();
    assert!(plan.contains("Debian GNU/Linux 12 (bookworm)"), "{plan}");
    assert!(
        plan.contains("  write `/etc/systemd/system/stead-edge.service`"),
        "{plan}"
    );
    assert_eq!(difference(&before, &traces(&machine)), Vec::<String>::new());

    let done = laptop.host("add", "h1", &["--yes"]).good();
    assert!(done.contains("done: start `stead-agent.service`"), "{done}");
    assert!(
        done.ends_with("h1 is a host now; it has no apps yet\n"),
        "{done}"
    );
    // No route has that host: the edge is there.
    assert_eq!(visit(machine.address()), "421");
    assert!(laptop.ls().good().contains("h1"));

    // A second time, nothing is done, and that is said.
    let processes =
        "systemctl show --property=MainPID,InvocationID stead-edge.service stead-agent.service";
    let running = machine.sh(processes).unwrap();
    let after = traces(&machine);
    let again = laptop.host("add", "h1", &["--yes"]).good();
    assert!(
        again.contains("nothing to do: h1 is as it should be"),
        "{again}"
    );
    assert_eq!(machine.sh(processes).unwrap(), running);
    assert_eq!(difference(&after, &traces(&machine)), Vec::<String>::new());

    is_shut_in(&machine);
    takes_little_memory(&machine);
    let doctor = laptop.host("doctor", "h1", &[]);
    assert!(
        doctor
            .out
            .contains("the agent answers, and so does the edge"),
        "{}",
        doctor.out
    );
    assert!(!doctor.good().contains("wrong"));

    // It is one again after it was restarted.
    machine.reboot().unwrap();
    assert_eq!(visit(machine.address()), "421");
    let again = laptop.host("add", "h1", &["--yes"]).good();
    assert!(
        again.contains("nothing to do: h1 is as it should be"),
        "{again}"
    );

    let shown = laptop.host("rm", "h1", &["--dry-run"]).good();
    assert!(shown.contains("  `/usr/local/bin/stead`"), "{shown}");
    let removed = laptop.host("rm", "h1", &["--yes", "--data"]).good();
    assert!(removed.contains("h1 is no host any more"), "{removed}");
    assert_eq!(visit(machine.address()), "000");
    assert_eq!(difference(&before, &traces(&machine)), Vec::<String>::new());
    assert_eq!(machine.sh("cat /etc/passwd /etc/group").unwrap(), users);
    assert_eq!(
        machine
            .sh("systemctl list-units --no-legend 'stead*'; systemctl list-unit-files --no-legend 'stead*' || true")
            .unwrap(),
        ""
    );
    assert!(laptop.ls().good().starts_with("no hosts yet"));
    let nothing = laptop.host("rm", "h1", &["--yes"]).good();
    assert!(
        nothing.contains("nothing to do: there is nothing of Stead on h1"),
        "{nothing}"
    );
}

#[test]
fn port_443_is_left_to_who_has_it_and_taken_without_losing_a_visitor_when_it_is_free() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    machine
        .sh("systemd-run --quiet --unit=other python3 -m http.server 443")
        .unwrap();
    machine
        .sh("until ss -ltn | grep -q :443; do sleep 0.1; done")
        .unwrap();
    let done = Said::of(laptop.command("add", "h1", &["--yes"]).output().unwrap());
    assert!(
        done.err
            .contains("port 443 is taken by `python3` (other.service"),
        "{}",
        done.err
    );
    done.good();
    let over_tls = "stead edge status --json | grep -A2 listens_tls | tr -d ' \\n'";
    assert_eq!(visit(machine.address()), "421");
    let listens = machine.sh(over_tls).unwrap();
    assert!(listens.starts_with("\"listens_tls\":[]"), "{listens}");
    let again = laptop.host("add", "h1", &["--yes"]).good();
    assert!(again.contains("nothing to do"), "{again}");
    let doctor = laptop.host("doctor", "h1", &[]).good();
    assert!(
        doctor.contains("stead-edge-tls.socket is inactive"),
        "{doctor}"
    );

    machine.sh("systemctl stop other.service").unwrap();
    let gone = AtomicBool::new(false);
    let visits = std::thread::scope(|scope| {
        let address = machine.address();
        let visitor = scope.spawn(|| {
            let mut visits = Vec::new();
            while !gone.load(Ordering::Relaxed) {
                visits.push(visit(address));
            }
            visits
        });
        let done = laptop.host("add", "h1", &["--yes"]);
        gone.store(true, Ordering::Relaxed);
        let done = done.good();
        assert!(
            done.contains("done: restart `stead-edge.service`"),
            "{done}"
        );
        visitor.join().unwrap()
    });
    assert!(visits.len() > 3);
    assert!(visits.iter().all(|status| status == "421"), "{visits:?}");
    let listens = machine.sh(over_tls).unwrap();
    assert!(listens.contains(":443"), "{listens}");
    // The edge's successor has both sockets.
    machine.sh("stead edge upgrade").unwrap();
    let listens = machine.sh(over_tls).unwrap();
    assert!(listens.contains(":443"), "{listens}");
    let again = laptop.host("add", "h1", &["--yes"]).good();
    assert!(again.contains("nothing to do"), "{again}");
}

/// Proportional set size of edge and agent together, while nobody visits (proc_pid_smaps(5)): 30 MB at most. Without
/// optimization, the program's own pages are more.
fn takes_little_memory(machine: &Machine) {
    let kilobytes = machine
        .sh("for unit in stead-edge stead-agent; do cat /proc/$(systemctl show --property=MainPID --value $unit.service)/smaps_rollup; done \
             | awk '/^Pss:/ { sum += $2 } END { print sum }'")
        .unwrap();
    let kilobytes: u64 = kilobytes.trim().parse().unwrap();
    let most = if cfg!(debug_assertions) {
        40 << 10
    } else {
        30 << 10
    };
    assert!((1..=most).contains(&kilobytes), "{kilobytes} KB");
}

/// The edge can do next to nothing beside its work, the agent little.
fn is_shut_in(machine: &Machine) {
    for (unit, limit) in [("stead-edge", 2.5), ("stead-agent", 5.0)] {
        let said = machine
            .sh(&format!(
                "systemd-analyze security --no-pager {unit}.service | tail -n 1"
            ))
            .unwrap();
        let exposure = said
            .split_whitespace()
            .find_map(|word| word.parse::<f64>().ok());
        assert!(exposure.unwrap() <= limit, "{said}");
    }
    let edge = "/proc/$(systemctl show --property=MainPID --value stead-edge.service)/status";
    let status = machine
        .sh(&format!(
            "id -u stead-edge; grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' {edge}"
        ))
        .unwrap();
    let uid = status.lines().next().unwrap();
    assert!(status.contains(&format!("Uid:\t{uid}\t{uid}")), "{status}");
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{status}");
    }
    // Nobody but root speaks with the agent, nobody but root and the edge with the edge.
    let modes = machine
        .sh("stat -c '%n %U %G %a' /run/stead/agent.sock /run/stead/edge.sock")
        .unwrap();
    assert_eq!(
        modes,
        "/run/stead/agent.sock root root 600\n/run/stead/edge.sock stead-edge root 660\n"
    );
}
