//! The disk that an agent keeps everything on is full.

use lab::{Lab, SmallDisk};
use stead_model::agent::Answer;

use super::app::{App, Host};
use super::visitors::Visitors;
use crate::laptop::Laptop;

const STATE: SmallDisk = SmallDisk {
    at: "/var/lib/stead",
    megabytes: 640,
};

#[test]
fn a_full_disk_stops_deploys_and_nothing_that_serves() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot_with("full", &[STATE]).unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "full", &["--yes"]).good();
    let host = Host::of(&machine);
    let shop = App::new("shop");
    let tree = host.send_app(&shop);
    assert_eq!(host.deploy_tree(&tree).good().release, Some(1));

    machine.fill(STATE).unwrap();
    let visitors = Visitors::come(&host.address());
    let why = match host.deploy_tree(&tree).last() {
        Answer::Refused { causes } => causes,
        Answer::Failed(failed) => failed.causes,
        other => panic!("{other:?}"),
    };
    let why = why.join(": ");
    assert!(why.contains("space") || why.contains("full"), "{why}");
    assert_eq!(host.get("/release"), "1");
    // An agent that begins anew finds what runs, although it can write nothing down.
    machine
        .sh("systemctl kill --signal=KILL --kill-who=main stead-agent.service")
        .unwrap();
    host.until(|| host.status().is_some());
    assert_eq!(host.instances(), 2);
    assert_eq!(visitors.go().1, Vec::<String>::new());

    machine.free(STATE).unwrap();
    let next = host.deploy_tree(&tree).good().release.unwrap();
    assert_eq!(host.get("/release"), next.to_string());
    assert_eq!(host.instances(), 2);
}
