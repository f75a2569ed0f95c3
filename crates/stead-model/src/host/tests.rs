use super::*;

const DIGEST: &str = "aa";

/// A host on which everything is as it should be.
fn settled() -> Found {
    Found {
        binary: Some(DIGEST.to_owned()),
        files: FILES
            .iter()
            .map(|file| (file.path.to_owned(), file.content.to_owned()))
            .collect(),
        users: [EDGE_USER.to_owned()].into(),
        directories: [RUN.to_owned(), STATE.to_owned()].into(),
        units: UNITS
            .iter()
            .map(|unit| {
                let state = UnitState {
                    enabled: true,
                    active: true,
                    stale: false,
                    current: true,
                    says: "active".to_owned(),
                };
                (unit.name.to_owned(), state)
            })
            .collect(),
        data: false,
    }
}

/// What is to be done there.
fn steps(found: &Found) -> Vec<Step> {
    let facts = Facts {
        found: found.clone(),
        ..Facts::default()
    };
    plan(&facts, DIGEST)
}

fn texts(found: &Found) -> Vec<String> {
    steps(found).iter().map(Step::text).collect()
}

#[test]
fn a_fresh_host_gets_everything_in_an_order_that_works() {
    assert_eq!(
        texts(&Found::default()),
        [
            "install `/usr/local/bin/stead`",
            "write `/etc/sysusers.d/stead.conf`",
            "write `/etc/tmpfiles.d/stead.conf`",
            "write `/etc/systemd/system/stead-edge.socket`",
            "write `/etc/systemd/system/stead-edge-tls.socket`",
            "write `/etc/systemd/system/stead-edge.service`",
            "write `/etc/systemd/system/stead-agent.service`",
            "create the user `stead-edge`",
            "create `/run/stead` and `/var/lib/stead`",
            "let systemd read its units anew",
            "start `stead-edge.socket` when the machine boots",
            "start `stead-edge-tls.socket` when the machine boots",
            "start `stead-edge.service` when the machine boots",
            "start `stead-agent.service` when the machine boots",
            "start `stead-edge.socket`",
            "start `stead-edge-tls.socket`",
            "start `stead-edge.service`",
            "start `stead-agent.service`",
        ]
    );
}

#[test]
fn nothing_is_done_to_a_host_that_is_as_it_should_be() {
    assert_eq!(steps(&settled()), []);
}

#[test]
fn a_new_program_replaces_the_edge_without_stopping_it() {
    let mut found = settled();
    found.binary = Some("bb".to_owned());
    let restart = Step::Restart {
        unit: "stead-agent.service".to_owned(),
    };
    let install = Step::InstallBinary {
        digest: DIGEST.to_owned(),
        replaces: true,
    };
    assert_eq!(steps(&found), [install, Step::UpgradeEdge, restart.clone()]);

    // Cut off after the program was put in its place: the rest is still seen.
    let mut found = settled();
    for unit in found.units.values_mut() {
        unit.current = false;
    }
    assert_eq!(steps(&found), [Step::UpgradeEdge, restart]);
}

#[test]
fn every_step_that_was_cut_off_is_taken_up_by_the_next_plan() {
    // Whatever single thing is missing: it is planned, and whatever is planned is about that alone.
    for file in FILES {
        let mut found = settled();
        found.files.insert(file.path.to_owned(), "old".to_owned());
        let write = Step::WriteFile {
            path: file.path.to_owned(),
            replaces: true,
        };
        assert_eq!(steps(&found)[0], write);
    }
    for unit in UNITS.iter().filter(|unit| unit.name != TLS_SOCKET) {
        let mut found = settled();
        found.units.remove(unit.name);
        let name = || unit.name.to_owned();
        let expected = [Step::Enable { unit: name() }, Step::Start { unit: name() }];
        assert_eq!(steps(&found), expected);

        let mut found = settled();
        found.units.entry(name()).or_default().stale = true;
        let expected = [Step::Reload, Step::Restart { unit: name() }];
        assert_eq!(steps(&found), expected);
    }
    let mut found = settled();
    found.users.clear();
    assert_eq!(steps(&found), [Step::CreateUsers]);
    let mut found = settled();
    found.directories.remove(RUN);
    assert_eq!(steps(&found), [Step::CreateDirectories]);
}

#[test]
fn a_host_that_was_made_without_tls_gets_it_by_a_restart_of_its_edge() {
    let mut found = settled();
    found
        .files
        .remove("/etc/systemd/system/stead-edge-tls.socket");
    found.units.remove(TLS_SOCKET);
    assert_eq!(
        texts(&found),
        [
            "write `/etc/systemd/system/stead-edge-tls.socket`",
            "let systemd read its units anew",
            "start `stead-edge-tls.socket` when the machine boots",
            "restart `stead-edge.service`: requests end first, visitors who come meanwhile wait",
        ]
    );
    // Cut off after it was enabled.
    let mut found = settled();
    found.units.entry(TLS_SOCKET.to_owned()).or_default().active = false;
    found
        .units
        .entry(TLS_SOCKET.to_owned())
        .or_default()
        .enabled = true;
    assert_eq!(
        texts(&found),
        ["restart `stead-edge.service`: requests end first, visitors who come meanwhile wait"]
    );
    // Its file is another one than that which it was opened by.
    let mut found = settled();
    found.units.entry(TLS_SOCKET.to_owned()).or_default().stale = true;
    assert_eq!(
        texts(&found),
        [
            "let systemd read its units anew",
            "stop `stead-edge-tls.socket`",
            "restart `stead-edge.service`: requests end first, visitors who come meanwhile wait",
        ]
    );
}

#[test]
fn a_port_443_of_somebody_else_s_is_left_to_them() {
    let mut facts = Facts {
        found: settled(),
        listeners: vec![Listener {
            port: 443,
            program: Some("nginx".to_owned()),
            unit: Some("nginx.service".to_owned()),
            ..Listener::default()
        }],
        ..good()
    };
    facts.found.units.remove(TLS_SOCKET);
    assert_eq!(objections(&facts), []);
    assert_eq!(plan(&facts, DIGEST), []);
    assert_eq!(
        remarks(&facts, 1_000_000),
        ["port 443 is taken by `nginx` (nginx.service): apps are reached over plain HTTP alone"]
    );
    facts.listeners[0].unit = Some(TLS_SOCKET.to_owned());
    assert_eq!(remarks(&facts, 1_000_000), Vec::<String>::new());
    assert_eq!(plan(&facts, DIGEST).len(), 2);
}

/// A host without anything against it.
fn good() -> Facts {
    Facts {
        systemd: Some(252),
        memory: 1 << 30,
        disk_free: 10 << 30,
        clock: 1_000_000,
        ..Facts::default()
    }
}

#[test]
fn who_holds_the_port_is_named_and_nothing_is_done() {
    assert_eq!(objections(&good()), []);
    let mut facts = good();
    facts.listeners = vec![Listener {
        port: 80,
        program: Some("nginx".to_owned()),
        pid: Some(12),
        unit: Some("nginx.service".to_owned()),
        package: Some("nginx-light".to_owned()),
    }];
    let objection = Objection {
        why: "port 80 is taken by `nginx` (nginx.service, package nginx-light)".to_owned(),
        remedy: Some("systemctl disable --now nginx.service".to_owned()),
    };
    assert_eq!(objections(&facts), [objection]);
    facts.listeners[0].unit = Some("stead-edge.socket".to_owned());
    assert_eq!(objections(&facts), []);
}

#[test]
fn a_machine_that_cannot_be_a_host_is_refused() {
    for (change, why) in [
        (
            Facts {
                systemd: None,
                ..good()
            },
            "systemd is not in charge of this machine",
        ),
        (
            Facts {
                systemd: Some(241),
                ..good()
            },
            "its systemd is 241, and 247 is the oldest that will do",
        ),
        (
            Facts {
                disk_free: 3 << 20,
                ..good()
            },
            "3 MB are free at `/var/lib/stead`, and 512 MB are needed",
        ),
    ] {
        let found = objections(&change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].why, why);
    }
}

#[test]
fn a_clock_that_is_off_and_little_memory_are_remarked() {
    assert!(remarks(&good(), 1_000_030).is_empty());
    assert_eq!(
        remarks(&good(), 1_003_600),
        ["its clock is 3600 s behind yours: certificates and jobs go by it"]
    );
    let small = Facts {
        memory: 128 << 20,
        ..good()
    };
    assert_eq!(
        remarks(&small, 1_000_000),
        ["it has 128 MB of memory, which leaves little for an app"]
    );
}

#[test]
fn messages_of_this_version_are_read_for_ever() {
    let facts: Facts = serde_json::from_str(
        r#"{"protocol":1,"version":"0.1.0","name":"h1","system":"Debian GNU/Linux 12 (bookworm)",
        "architecture":"x86_64","cpus":2,"memory":1073741824,"disk_free":1,"systemd":252,"packages":"apt",
        "clock":1,"listeners":[{"port":80,"program":"nginx","pid":1,"unit":"nginx.service","package":null}],
        "found":{"binary":"aa","files":{},"users":["stead-edge"],"directories":[],"units":{"stead-edge.service":
        {"enabled":true,"active":true,"stale":false,"current":true,"says":"active"}},"data":true},"later":"unknown"}"#,
    )
    .unwrap();
    assert_eq!(facts.found.binary.as_deref(), Some("aa"));
    let asked: SetUp = serde_json::from_str(
        r#"{"protocol":1,"steps":[{"install-binary":{"digest":"aa","replaces":false}},"create-users",
        {"start":{"unit":"stead-edge.socket"}},"upgrade-edge"]}"#,
    )
    .unwrap();
    assert_eq!(asked.steps.len(), 4);
}
