//! Apps on a host: deployed under load, failing in every way, and what an agent that is killed and a machine that restarts leave.

mod app;
mod cut;
mod failing_disk;
mod full_disk;
mod many;
mod misbehave;
mod quick;
mod visitors;

use lab::{Lab, Machine};
use stead_model::agent::{Answer, ReleaseState, Wish};

use crate::laptop::Laptop;
use app::{App, Host};
use visitors::Visitors;

#[test]
fn an_app_lives_on_a_host_through_everything() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let mut machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "h1", &["--yes"]).good();
    let host = Host::of(&machine);
    let shop = App::new("shop");

    let done = host.deploy(&shop).good();
    assert_eq!(done.release, Some(1));
    assert_eq!(host.get("/release"), "1");
    it_is_shut_in(&machine, &host);
    nothing_is_lost_under_load(&host, &shop);
    what_fails_changes_nothing(&host, &shop);
    a_release_that_fails_its_visitors_goes_by_itself(&host, &shop);
    one_deploy_at_a_time(&host, &shop);
    apps_do_not_disturb_each_other(&host, &shop);
    as_many_run_after_an_agent_begins_anew(&machine, &host);
    what_serves_does_not_need_the_agent(&machine, &host);

    // A machine that restarts comes up with what served, even when its agent does not run.
    machine
        .sh("systemctl disable --quiet stead-agent.service")
        .unwrap();
    machine.reboot().unwrap();
    let host = Host::of(&machine);
    let before = host.get_when_it_is_there("/release");
    machine
        .sh("systemctl enable --quiet --now stead-agent.service")
        .unwrap();
    assert_eq!(host.instances(), 2);
    assert_eq!(host.get("/release"), before);
    let next = host.deploy(&shop).good();
    assert_eq!(host.get("/release"), next.release.unwrap().to_string());

    // Nothing of it is left.
    laptop.host("rm", "h1", &["--yes", "--data"]).good();
    let left = machine
        .sh("ls /etc/systemd/system /etc/systemd/system/multi-user.target.wants /var/lib | grep stead; grep stead /etc/passwd; true")
        .unwrap();
    assert_eq!(left, "");
}

fn it_is_shut_in(machine: &Machine, host: &Host<'_>) {
    let unit = host.unit();
    let said = machine
        .sh(&format!(
            "systemd-analyze security --no-pager {unit} | tail -n 1"
        ))
        .unwrap();
    let exposure = said
        .split_whitespace()
        .find_map(|word| word.parse::<f64>().ok());
    assert!(exposure.unwrap() <= 2.5, "{said}");
    // Its variables are what was written, character by character, and a secret is shown by nobody.
    assert_eq!(host.get("/variable/ODD"), app::ODD);
    let secret = host.get("/variable/SECRET");
    assert!(secret.len() > 30, "{secret}");
    let shown = machine
        .sh(&format!(
            "systemctl show {unit}; systemctl cat {unit}; ps -ef"
        ))
        .unwrap();
    assert!(!shown.contains(&secret));
    // It writes to its volume, and to nothing else; it does not see what is others'.
    assert_eq!(host.get("/write/data"), "written");
    for path in ["code", "etc", "state"] {
        assert!(
            host.get(&format!("/write/{path}")).starts_with("refused"),
            "{path}"
        );
    }
    assert_eq!(
        machine
            .sh(&format!("systemctl show --property=User --value {unit}"))
            .unwrap(),
        "stead-shop\n"
    );
    let fields = machine
        .sh("journalctl --quiet --output=cat STEAD_APP=shop STEAD_PROCESS=web STEAD_RELEASE=1 | sort -u")
        .unwrap();
    assert!(fields.contains("release 1 is imported"), "{fields}");
}

fn nothing_is_lost_under_load(host: &Host<'_>, shop: &App) {
    let visitors = Visitors::come(&host.address());
    assert_eq!(host.deploy(shop).good().release, Some(2));
    let back = host.ask(Wish::Rollback {
        app: "shop".into(),
        to: None,
        who: "ana@laptop".into(),
    });
    let back = back.good();
    assert_eq!(
        (back.release, host.get("/release").as_str()),
        (Some(3), "3")
    );
    for count in [3, 2] {
        host.ask(Wish::Scale {
            app: "shop".into(),
            process: "web".into(),
            count: Some(count),
        })
        .good();
        assert_eq!(host.instances(), count);
    }
    host.ask(Wish::Restart {
        app: "shop".into(),
        process: None,
    })
    .good();
    host.ask(Wish::Restart {
        app: "shop".into(),
        process: Some("web".into()),
    })
    .good();
    let (served, lost) = visitors.go();
    assert_eq!(lost, Vec::<String>::new());
    assert!(served > 100, "{served}");
    let releases = host.releases();
    assert_eq!(releases[0].rollback_of, Some(1));
    // The same source as before, at another place.
    assert_eq!(releases[1].changed, Vec::<String>::new());
    assert_eq!(releases[0].state, ReleaseState::Serving);
}

fn what_fails_changes_nothing(host: &Host<'_>, shop: &App) {
    let visitors = Visitors::come(&host.address());
    for (broken, cause, line) in [
        (
            shop.with_release_command("echo half of it; exit 3"),
            "exit status 3",
            "half of it",
        ),
        (
            shop.with_code("raise SystemExit('no database')"),
            "exit status 3",
            "no database",
        ),
        (
            shop.with_code("import time; time.sleep(600)"),
            "not answered",
            "",
        ),
        (
            shop.with_code("BROKEN = True"),
            "answered 500",
            "asked for its health",
        ),
        (
            shop.with_setting("[secret.TOKEN]"),
            "`TOKEN` has no value",
            "",
        ),
    ] {
        let failed = host.deploy(&broken).bad();
        let causes = failed.causes.join(": ");
        assert!(causes.contains(cause), "{failed:?}");
        assert!(failed.log.join("\n").contains(line), "{failed:?}");
        let state = failed.state.unwrap();
        assert!(state.starts_with("release 3 still serves"), "{state}");
        assert_eq!(host.get("/release"), "3");
        assert_eq!(host.instances(), 2);
    }
    assert_eq!(visitors.go().1, Vec::<String>::new());
}

fn a_release_that_fails_its_visitors_goes_by_itself(host: &Host<'_>, shop: &App) {
    let visitors = Visitors::come(&host.address());
    let before = host.get("/release");
    let bad = host.deploy(&shop.with_code("FAILS = True")).good();
    host.until(|| {
        let releases = host.releases();
        releases[0].rollback_of == Some(before.parse().unwrap())
            && releases[0].state == ReleaseState::Serving
    });
    host.wait_for(|status| status.deploying.is_none());
    let releases = host.releases();
    assert_eq!(Some(releases[1].number), bad.release);
    let why = releases[1].failure.clone().unwrap();
    assert!(why.contains("came back by itself"), "{why}");
    let status = host.status().unwrap();
    assert_eq!(status.problems, [why]);
    assert!(status.traffic.unwrap().errors >= 10);
    assert_eq!(host.get("/release"), releases[0].number.to_string());
    let (_, lost) = visitors.go();
    assert!(
        lost.iter().all(|answer| answer.contains(" 500 ")),
        "{lost:?}"
    );
}

fn one_deploy_at_a_time(host: &Host<'_>, shop: &App) {
    let slow = shop.with_release_command("sleep 2");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| host.deploy(&slow));
        host.wait_for(|status| {
            status
                .deploying
                .as_ref()
                .is_some_and(|d| d.step == "release command")
        });
        match host.deploy(shop).last() {
            Answer::Refused { causes } => {
                assert!(
                    causes[0].contains("is being changed by ana@laptop"),
                    "{causes:?}"
                );
            }
            other => panic!("{other:?}"),
        }
        first.join().unwrap().good();
    });
}

fn apps_do_not_disturb_each_other(host: &Host<'_>, shop: &App) {
    // Every host leads to the shop already.
    let failed = host.deploy(&App::new("other")).bad();
    let causes = failed.causes.join(": ");
    assert!(causes.contains("`every host` leads to `shop`"), "{causes}");

    let noisy = App::new("noisy")
        .with_setting("[route]\nhosts = [\"noisy.example\"]")
        .with_setting("[process.flood]\ncommand = \"yes this is a line of a log\"")
        .with_setting("[process.crash]\ncommand = \"exit 1\"");
    let visitors = Visitors::come(&host.address());
    host.deploy(&noisy).good();
    let release = host.deploy(shop).good().release.unwrap();
    assert_eq!(host.get("/release"), release.to_string());
    for app in ["noisy", "other"] {
        let removed = host.ask(Wish::Remove {
            app: app.to_owned(),
            data: true,
        });
        removed.good();
    }
    assert_eq!(visitors.go().1, Vec::<String>::new());
    assert_eq!(host.apps(), ["shop"]);
}

fn as_many_run_after_an_agent_begins_anew(machine: &Machine, host: &Host<'_>) {
    let many = App::new("many")
        .with_automatic_count()
        .with_setting("[route]\nhosts = [\"many.example\"]");
    host.deploy(&many).good();
    let instances = || {
        let status = host.status_of("many")?;
        let web = status.processes.first()?;
        Some((web.wanted, web.instances.len()))
    };
    let before = instances().unwrap();
    assert!(before.0 > 1, "{before:?}");
    machine.sh("systemctl restart stead-agent.service").unwrap();
    host.until(|| instances() == Some(before));
    // It has planned anew, and goes on with as many.
    host.ask(Wish::Restart {
        app: "many".into(),
        process: Some("web".into()),
    })
    .good();
    assert_eq!(instances(), Some(before));
    let removed = host.ask(Wish::Remove {
        app: "many".into(),
        data: true,
    });
    removed.good();
}

fn what_serves_does_not_need_the_agent(machine: &Machine, host: &Host<'_>) {
    let unit = host.unit();
    machine.sh("systemctl stop stead-agent.service").unwrap();
    let visitors = Visitors::come(&host.address());
    // systemd starts it again, and who comes meanwhile goes to the other one or waits at its socket.
    let restarts = format!("systemctl show --property=NRestarts --value {unit}");
    let before = machine.sh(&restarts).unwrap();
    machine
        .sh(&format!(
            "systemctl kill --signal=KILL --kill-who=main {unit}"
        ))
        .unwrap();
    host.until(|| {
        machine.sh(&restarts).unwrap() != before
            && machine.sh(&format!("systemctl is-active {unit}")).is_ok()
    });
    let (served, lost) = visitors.go();
    assert!(served > 0);
    // What the killed one had in its hands is lost, and nothing else.
    assert!(lost.len() <= 16, "{lost:?}");
    machine.sh("systemctl start stead-agent.service").unwrap();
    assert_eq!(host.instances(), 2);
    // An edge that is killed is back with its table, and its agent finds it again.
    machine
        .sh("systemctl kill --signal=KILL --kill-who=main stead-edge.service")
        .unwrap();
    host.get_when_it_is_there("/release");
}
