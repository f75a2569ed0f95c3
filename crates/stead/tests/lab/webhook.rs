//! A host pulls and deploys when it is told of a push: real git over ssh, real signatures.

use std::process::Command;

use lab::{Lab, Machine};

use crate::laptop::Laptop;
use crate::verbs::{App, Person, get};

const SECRET: &str = "a secret of 32 characters, or so";
const WEBHOOK: &str = "[webhook]\nrepository = \"ssh://root@127.0.0.1/srv/shop.git\"\npath = \"/hook\"\nkey = \"DEPLOY_KEY\"\n";

/// What a server sends, signed with `secret`. The status that it gets.
fn deliver(address: &str, event: &str, body: &str, secret: &str) -> String {
    let sign = "import hashlib, hmac, sys; print(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256).hexdigest())";
    let signed = Command::new("python3")
        .args(["-c", sign, secret, body])
        .output()
        .unwrap();
    let signature = String::from_utf8(signed.stdout).unwrap();
    let said = Command::new("curl")
        .args([
            "--silent",
            "--max-time",
            "20",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ])
        .args(["--header", "Content-Type: application/json"])
        .args([
            "--header",
            &format!("X-Hub-Signature-256: sha256={}", signature.trim()),
        ])
        .args(["--header", &format!("X-GitHub-Event: {event}")])
        .args(["--data-binary", body])
        .arg(format!("http://{address}/hook"))
        .output()
        .unwrap();
    String::from_utf8(said.stdout).unwrap()
}

/// A body like no other.
fn body(number: u32) -> String {
    format!("{{\"ref\":\"refs/heads/main\",\"after\":\"5feceb66\",\"pushed_at\":{number}}}")
}

fn wait_for(machine: &Machine, text: &str) {
    for _ in 0..300 {
        if get(machine.address(), "/").ends_with(text) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let log = machine.sh("journalctl --no-pager --lines 60 STEAD_PROCESS=webhook + _SYSTEMD_UNIT=stead-agent.service");
    panic!("{text} does not come: {}", log.unwrap());
}

#[test]
fn a_signed_delivery_has_the_branch_pulled_and_deployed() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let address = machine.address().to_owned();
    let laptop = Laptop::of(&lab);
    let app = App::new();
    let person = Person::of(&laptop, &app);
    laptop.host("add", "h1", &["--yes"]).good();
    machine
        .sh("git init -q --bare -b main /srv/shop.git && ssh-keygen -q -t ed25519 -N '' -f /root/deploy && \
             cat /root/deploy.pub >>/root/.ssh/authorized_keys")
        .unwrap();
    let upload = || {
        let words = [
            "push",
            "-q",
            "-f",
            "ssh://h1/srv/shop.git",
            "HEAD:refs/heads/main",
        ];
        assert!(laptop.git(app.path(), &words).status().unwrap().success());
    };
    // Off by default: what comes there is the app's.
    person.says(&["deploy"]).good();
    assert_eq!(deliver(&address, "push", &body(0), SECRET), "501");
    app.write("two", WEBHOOK);
    app.commit();
    person.says(&["deploy"]).good();
    assert_eq!(get(&address, "/"), "2 two");
    // Nobody has told the host a secret: it has made one, which nobody else knows.
    assert_eq!(deliver(&address, "push", &body(1), SECRET), "401");
    assert_eq!(deliver(&address, "push", &body(1), ""), "401");
    let dir = "/var/lib/stead/apps/shop/secrets";
    machine
        .sh(&format!(
            "printf '%s\\n' '{SECRET}' >{dir}/WEBHOOK_SECRET && cp /root/deploy {dir}/DEPLOY_KEY"
        ))
        .unwrap();

    app.write("three", WEBHOOK);
    app.commit();
    upload();
    assert_eq!(deliver(&address, "ping", "{}", SECRET), "200");
    assert_eq!(
        deliver(
            &address,
            "push",
            &body(2),
            "another secret of 32 characters."
        ),
        "401"
    );
    assert_eq!(deliver(&address, "push", &body(3), SECRET), "202");
    wait_for(&machine, " three");
    let releases = person.says(&["releases"]).good();
    assert!(releases.contains("webhook  main "), "{releases}");
    // The same again is not done again.
    assert_eq!(deliver(&address, "push", &body(3), SECRET), "200");

    // Many at once are few deploys, and the last one has what is newest.
    app.write("four", WEBHOOK);
    app.commit();
    upload();
    for number in 10..16 {
        assert_eq!(deliver(&address, "push", &body(number), SECRET), "202");
    }
    wait_for(&machine, " four");
    machine.sh("for i in $(seq 300); do pgrep -f '[a]pi webhook' >/dev/null || exit 0; sleep 0.1; done; exit 1").unwrap();
    let releases = person.says(&["releases", "--json"]).good();
    let facts: serde_json::Value = serde_json::from_str(&releases).unwrap();
    let count = facts[0]["releases"].as_array().unwrap().len();
    assert_eq!(count, 4, "{releases}");

    // What fails is in the journal, and changes nothing.
    app.write("broken", WEBHOOK);
    app.commit();
    upload();
    assert_eq!(deliver(&address, "push", &body(20), SECRET), "202");
    machine.sh("for i in $(seq 300); do journalctl STEAD_APP=shop STEAD_PROCESS=webhook | grep -q 'cannot deploy' && exit; sleep 0.1; done; exit 1").unwrap();
    assert!(get(&address, "/").ends_with(" four"));
    // Its sandbox is as tight as that of an app; a release without a webhook takes it all away.
    app.write("five", "");
    app.commit();
    person.says(&["deploy"]).good();
    machine.sh("for i in $(seq 100); do ls /etc/systemd/system/stead.webhook* >/dev/null 2>&1 || exit 0; sleep 0.1; done; exit 1").unwrap();
    assert_eq!(deliver(&address, "push", &body(21), SECRET), "501");
}
