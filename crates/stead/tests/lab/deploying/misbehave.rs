//! Apps that misbehave, and what gives way beneath apps: only that app suffers, and what is said of it is true.

use std::process::Command;

use lab::{Lab, SmallDisk};

use super::app::{App, Host};
use super::visitors::Visitors;
use crate::laptop::Laptop;

/// A volume that is a file system of its own, and small.
const VOLUME: SmallDisk = SmallDisk {
    at: "/var/lib/stead/apps/shop/volumes/data",
    megabytes: 8,
};

/// Writes a megabyte where it is told.
const FILLS: &str = "
plain = answer

def answer(path):
    if path == '/fill':
        try:
            with open('data/kept', 'wb', 0) as kept:
                kept.write(b'x' * (1 << 20))
                os.fsync(kept.fileno())
            return 'written'
        except OSError as error:
            return 'refused: %s' % error
    return plain(path)
";

/// Processes without end, but for an end that spares the machine of the tests where systemd cannot count them.
const BOMB: &str = "python3 -c '
import os, time
children = 0
while children < 1500:
    try:
        pid = os.fork()
    except OSError as error:
        print(\"no more after\", children, \"processes:\", error, flush=True)
        break
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    children += 1
print(\"it has\", children, \"processes\", flush=True)
time.sleep(60)
'";

#[test]
fn an_app_that_misbehaves_harms_only_itself() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot_with("h1", &[VOLUME]).unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "h1", &["--yes"]).good();
    let host = Host::of(&machine);
    let shop = App::new("shop").with_code(FILLS);
    host.deploy(&shop).good();
    let visitors = Visitors::come(&host.address());

    its_volume_is_full(&machine, &host, &shop);
    processes_memory_and_lines_without_end(&host);
    let (served, lost) = visitors.go();
    assert_eq!(lost, Vec::<String>::new(), "of {served}");

    let visitors = Visitors::come(&host.address());
    no_descriptor_is_left(&host);
    // Who could not be carried on to an instance was told so.
    let (served, lost) = visitors.go();
    assert!(
        lost.iter().all(|answer| answer.contains(" 503 ")),
        "{lost:?}"
    );
    assert!(served > 0);
    assert_eq!(host.instances(), 2);
}

/// Its app is told so by its own writes; visitors, deploys and the agent have nothing to do with it.
fn its_volume_is_full(machine: &lab::Machine, host: &Host<'_>, shop: &App) {
    assert_eq!(host.get("/fill"), "written");
    host.sh("rm /var/lib/stead/apps/shop/volumes/data/kept");
    machine.fill(VOLUME).unwrap();
    let full = host.get("/fill");
    assert!(full.contains("No space left"), "{full}");
    let release = host.deploy(shop).good().release.unwrap();
    assert_eq!(host.get("/release"), release.to_string());
    machine.free(VOLUME).unwrap();
    assert_eq!(host.get("/fill"), "written");
}

fn processes_memory_and_lines_without_end(host: &Host<'_>) {
    let bomb = BOMB.replace('\n', "\\n").replace('"', "\\\"");
    let noisy = App::new("noisy")
        .with_setting("[route]\nhosts = [\"noisy.example\"]")
        .with_setting(&format!("[process.bomb]\ncommand = \"{bomb}\""))
        .with_setting("[process.flood]\ncommand = \"yes this is a line of a log\"")
        .with_setting("[process.hog]\ncommand = \"sleep 60\"\nmemory = \"50M\"")
        .with_setting("[process.crash]\ncommand = \"exit 1\"");
    host.deploy(&noisy).good();
    host.until(|| {
        let said = "journalctl --quiet --output=cat --grep '^it has' STEAD_APP=noisy STEAD_PROCESS=bomb | tail -n 1";
        !host.sh(said).is_empty()
    });
    let limit = |process: &str, property: &str| -> u64 {
        let show = format!(
            "systemctl show --property={property} --value 'stead.noisy.{process}.*.service'"
        );
        host.sh(&show).trim().parse().unwrap()
    };
    assert_eq!(limit("bomb", "TasksMax"), 1024);
    assert!(limit("bomb", "MemoryMax") < 1 << 40);
    // A quarter above what the manifest says, so that the agent has time to replace it.
    assert!((60_000_000..70_000_000).contains(&limit("hog", "MemoryMax")));
    // Where systemd can count processes, the bomb ended there.
    if host
        .sh("cat /sys/fs/cgroup/cgroup.controllers")
        .contains("pids")
    {
        let said = host.sh("journalctl --quiet --output=cat STEAD_APP=noisy STEAD_PROCESS=bomb");
        assert!(said.contains("no more after"), "{said}");
    }
    // The log has a bound, whatever is written to it.
    let usage = host.sh("du -sk /var/log/journal /run/log/journal 2>/dev/null | awk '{ sum += $1 } END { print sum }'");
    let bound = host
        .sh("journalctl --header | grep -c '^File path'; df --output=size /var/log | tail -n 1");
    let size: u64 = bound.lines().last().unwrap().trim().parse().unwrap();
    // journald.conf(5): a tenth of the file system, and 4 GB at most.
    assert!(
        usage.trim().parse::<u64>().unwrap() <= (size / 10).min(4 << 20) + (64 << 10),
        "{usage} {bound}"
    );
    // Whoever looks is told of the one that ends over and over, at whatever moment.
    let status = host.status_of("noisy").unwrap();
    let problems = status.problems.join("\n");
    assert!(problems.contains("crash.1"), "{problems}");
    host.ask(stead_model::agent::Wish::Remove {
        app: "noisy".into(),
        data: true,
    })
    .good();
    assert_eq!(host.sh("pgrep -u stead-noisy | wc -l").trim(), "0");
}

/// An edge that can open no more: those who are connected are served, those who come wait, and it goes on when there are some again.
fn no_descriptor_is_left(host: &Host<'_>) {
    let pid = host.sh("systemctl show --property=MainPID --value stead-edge.service");
    let pid = pid.trim();
    host.sh(&format!("prlimit --pid {pid} --nofile=200:"));
    let many: Vec<_> = (0..400)
        .map(|_| std::net::TcpStream::connect((host.address(), 80)))
        .collect();
    assert!(many.iter().all(Result::is_ok), "systemd's queue takes them");
    let open = host.sh(&format!("ls /proc/{pid}/fd | wc -l"));
    assert!(open.trim().parse::<u32>().unwrap() >= 190, "{open}");
    drop(many);
    let url = format!("http://{}/release", host.address());
    let curl = [
        "--silent",
        "--fail",
        "--max-time",
        "20",
        "--retry",
        "5",
        &url,
    ];
    let said = Command::new("curl").args(curl).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    host.sh(&format!("prlimit --pid {pid} --nofile=4096:"));
    let now = host.sh("systemctl show --property=MainPID --value stead-edge.service");
    assert_eq!(now.trim(), pid);
}
