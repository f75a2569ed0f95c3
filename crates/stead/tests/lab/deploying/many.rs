//! Deploys without end: nobody is lost by them, and nothing of them piles up.

use std::fmt;

use lab::Lab;
use stead_model::agent::Wish;

use super::app::{App, Host};
use super::visitors::Visitors;
use crate::figures;
use crate::laptop::Laptop;

/// What may grow with the number of deploys.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Proportional set size of the agent and the edge (proc_pid_smaps(5)), KB.
    agent: u64,
    edge: u64,
    /// Everything below `/var/lib/stead`, KB, and how many files that is.
    disk: u64,
    files: u64,
    /// The agent's store with its journal, KB.
    store: u64,
    /// Files of units, and units that systemd holds in memory.
    units: u64,
    /// Open descriptors of the agent and the edge.
    open: u64,
}

impl Held {
    fn of(host: &Host<'_>) -> Self {
        // A source waits ten minutes for its deploy, then the next deploy removes it: let that be.
        host.sh("find /var/lib/stead/apps/shop/trees -type f -exec touch -d '1 hour ago' {} +");
        host.ask(Wish::Restart {
            app: "shop".into(),
            process: None,
        })
        .good();
        let script = "pid() { systemctl show --property=MainPID --value $1.service; }
            for unit in stead-agent stead-edge; do sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$(pid $unit)/smaps_rollup; done
            du -sk /var/lib/stead | cut -f1; find /var/lib/stead -type f | wc -l
            cat /var/lib/stead/state.db* | wc -c
            { ls -R /etc/systemd/system /run/systemd/transient; systemctl list-units --all --no-legend 'stead*'; } 2>/dev/null | grep -c stead
            ls /proc/$(pid stead-agent)/fd /proc/$(pid stead-edge)/fd | wc -l";
        let said = host.sh(script);
        let figures: Vec<u64> = said
            .lines()
            .map(|line| line.trim().parse().unwrap())
            .collect();
        let [agent, edge, disk, files, store, units, open] = figures[..] else {
            panic!("{said}");
        };
        let store = store >> 10;
        Self {
            agent,
            edge,
            disk,
            files,
            store,
            units,
            open,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = |kilobytes: u64| kilobytes as f64 / 1024.0;
        write!(
            formatter,
            "agent {:.1} MB, edge {:.1} MB, disk {:.1} MB in {} files, store {} KB, {} units, {} open files",
            tenths(self.agent),
            tenths(self.edge),
            tenths(self.disk),
            self.files,
            self.store,
            self.units,
            self.open
        )
    }
}

#[test]
fn deploys_without_end_lose_nobody_and_leave_nothing_behind() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "h1", &["--yes"]).good();
    let host = Host::of(&machine);
    let shop = App::new("shop");
    let wanted = std::env::var("STEAD_LAB_DEPLOYS").ok();
    let wanted = wanted.and_then(|count| count.parse().ok());
    let rounds: u32 = wanted.unwrap_or(if figures::long() { 1000 } else { 10 });
    let pause = (rounds / 4).max(3);

    host.deploy(&shop).good();
    let visitors = Visitors::come(&host.address());
    let (mut held, mut took) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let changed = shop.with_code(&format!("ROUND = {round}"));
        let done = host.deploy(&changed).good();
        assert_eq!(done.release, Some(u64::from(round) + 1));
        took.push(done.milliseconds);
        // By then as much is kept as ever will be: the last five releases, and what waits for a deploy.
        if round > 5 && round % pause == 0 || round == rounds {
            held.push((round, Held::of(&host)));
        }
    }
    let (served, lost) = visitors.go();
    let (first, before) = held[0];
    let (last, after) = *held.last().unwrap();
    took.sort_unstable();
    let median = took[took.len() / 2];
    figures::reached(
        10,
        &format!("{rounds} deploys in a row under 500 requests/s: lost requests"),
        "0",
        &format!(
            "{} of {}; a deploy took {median} ms (median)",
            lost.len(),
            served + lost.len() as u64
        ),
    );
    for (place, (round, held)) in (11..).zip(&held) {
        let what = format!("what is held after {round} deploys");
        figures::reached(place, &what, "the same", &held.to_string());
    }
    assert!(last > first);
    assert_eq!(lost, Vec::<String>::new());
    assert_eq!(host.instances(), 2);
    // Allocators and page caches breathe; what grows with each deploy would be far more after a thousand.
    let breath = 4 << 10;
    assert!(after.agent <= before.agent + breath, "{before}\n{after}");
    assert!(after.edge <= before.edge + breath, "{before}\n{after}");
    assert!(after.files <= before.files, "{before}\n{after}");
    // systemd forgets units that are over when it has the time.
    assert!(after.units <= before.units, "{before}\n{after}");
    assert!(after.open <= before.open + 8, "{before}\n{after}");
    // A line about each release and each step stays, and both are bounded; so is the store's journal.
    assert!(after.disk <= before.disk + 6 * 1024, "{before}\n{after}");
    three_apps_at_rest_take_little(&host);
}

/// Agent and edge of a host with three apps, while nobody visits. Without optimization, the program's own pages are more.
fn three_apps_at_rest_take_little(host: &Host<'_>) {
    for name in ["blog", "wiki"] {
        let hosts = format!("[route]\nhosts = [\"{name}.example\"]");
        host.deploy(&App::new(name).with_setting(&hosts)).good();
    }
    let held = Held::of(host);
    let is_optimized = !cfg!(debug_assertions) || std::env::var_os("STEAD_LAB_PROGRAM").is_some();
    let goal = if is_optimized { 30.0 } else { 50.0 };
    let sum = (held.agent + held.edge) as f64 / 1024.0;
    let how = if is_optimized {
        ""
    } else {
        ", of a program without optimization"
    };
    figures::reached(
        20,
        "PSS of agent and edge with three apps, idle",
        "30 MB",
        &format!("{sum:.1} MB{how}"),
    );
    assert!(sum <= goal, "{sum} MB");
}
