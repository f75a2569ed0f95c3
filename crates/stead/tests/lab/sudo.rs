//! Users who are not root.

use std::io::Write;
use std::process::{Command, Stdio};

use lab::{Lab, Machine};

use crate::laptop::{Laptop, Said, visit};
use crate::verbs::{App, Person};

/// A user who may become root, `rule` being how; reached with the lab's key.
pub(crate) fn with_user(machine: &Machine, rule: &str) {
    machine
        .sh(&format!(
            "useradd --create-home --shell /bin/bash deploy && echo deploy:secret | chpasswd && \
             install -d -o deploy -m 700 /home/deploy/.ssh && \
             install -o deploy -m 600 /root/.ssh/authorized_keys /home/deploy/.ssh/authorized_keys && \
             echo '{rule}' >/etc/sudoers.d/deploy"
        ))
        .unwrap();
}

#[test]
fn a_user_with_sudo_is_as_good_as_root_and_one_without_is_refused() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    with_user(&machine, "deploy ALL=(ALL) NOPASSWD: ALL");
    let done = laptop.host("add", "deploy@h1", &["--yes"]).good();
    assert!(done.contains("h1 is a host now"), "{done}");
    assert_eq!(visit(machine.address()), "421");
    let again = laptop.host("add", "deploy@h1", &["--yes"]).good();
    assert!(again.contains("nothing to do"), "{again}");
    // What was copied is gone.
    assert_eq!(
        machine
            .sh("ls -d /tmp/stead.* 2>/dev/null || true")
            .unwrap(),
        ""
    );
    let removed = laptop.host("rm", "deploy@h1", &["--yes", "--data"]).good();
    assert!(removed.contains("h1 is no host any more"), "{removed}");

    // sudo asks for a password, on the terminal that `script` makes.
    with_password(&machine, &laptop);

    machine.sh("apt-get -qq purge -y sudo 2>/dev/null || SUDO_FORCE_REMOVE=yes apt-get -qq purge -y sudo >/dev/null").unwrap();
    let refused = laptop.host("add", "deploy@h1", &["--yes"]).refused();
    assert!(
        refused.contains("its user is not root, and there is no `sudo`"),
        "{refused}"
    );
}

fn with_password(machine: &Machine, laptop: &Laptop) {
    let rule = |rule: &str| {
        machine
            .sh(&format!("echo '{rule}' >/etc/sudoers.d/deploy"))
            .unwrap()
    };
    rule("deploy ALL=(ALL) ALL");
    let add = || laptop.command("add", "deploy@h1", &["--yes"]);
    let refused = Said::of(add().output().unwrap()).refused();
    assert!(
        refused.contains("sudo asks for a password there, and there is no terminal here to ask on"),
        "{refused}"
    );
    // Who knows a password and has no right is told so by sudo, and by whom it is.
    rule("# nobody");
    let refused = typed(&add());
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(
        refused.out.contains("not in the sudoers file"),
        "{}",
        refused.out
    );
    assert!(
        refused
            .out
            .contains("cause: sudo did not let you there; it said why above"),
        "{}",
        refused.out
    );

    rule("deploy ALL=(ALL) ALL");
    assert!(typed(&add()).good().contains("h1 is a host now"));
    assert_eq!(visit(machine.address()), "421");
    let traces = machine
        .sh("grep -rl secret /var/lib/stead /etc/systemd /run/stead /tmp 2>/dev/null || true")
        .unwrap();
    assert_eq!(traces, "");
    every_verb_asks_for_it(machine, laptop);
}

fn every_verb_asks_for_it(machine: &Machine, laptop: &Laptop) {
    let app = App::new();
    let person = Person::of(laptop, &app);
    let says = |words: &[&str]| typed(&person.command(words)).good();
    let first = says(&["deploy", "--to", "deploy@h1"]);
    assert!(first.contains("release 1 serves after"), "{first}");
    assert_eq!(visit(machine.address()), "200");
    app.write("two", "");
    app.commit();
    says(&["deploy", "--to", "deploy@h1"]);
    for (words, shown) in [
        (&["status"][..], "release      2"),
        (&["releases"], "Say `more`; touch CANARY"),
        (&["logs", "--since", "1h"], "release 2 listens"),
        (&["restart"], ""),
        (&["scale", "web=2"], ""),
        (&["rollback"], "to undo it: stead rollback 2"),
    ] {
        let said = says(&[words, &["--on", "deploy@h1"]].concat());
        assert!(said.contains(shown), "{words:?}: {said}");
    }
    let follow = typed(&person.command(&["logs", "-f", "--on", "deploy@h1"]));
    assert!(
        follow.out.contains("logs cannot be followed"),
        "{}",
        follow.out
    );
    for verb in ["doctor", "upgrade"] {
        let options: &[&str] = if verb == "upgrade" { &["--yes"] } else { &[] };
        typed(&laptop.command(verb, "deploy@h1", options)).good();
    }
    let removed = typed(&laptop.command("rm", "deploy@h1", &["--yes", "--data"])).good();
    assert!(removed.contains("h1 is no host any more"), "{removed}");
}

/// The command at a terminal, which `script` makes; whoever sits there types the password.
fn typed(command: &Command) -> Said {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = Command::new("script");
    script.args([
        "--quiet",
        "--return",
        "--command",
        &words.join(" "),
        "/dev/null",
    ]);
    for (name, value) in command.get_envs() {
        script.env(name, value.unwrap());
    }
    if let Some(dir) = command.get_current_dir() {
        script.current_dir(dir);
    }
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    // Typed ahead: sudo reads what is there when it asks. It forgets what was typed before, so it is typed until it is taken.
    let typing = std::thread::spawn(move || {
        while keys.write_all(b"secret\n").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    });
    let said = Said::of(child.wait_with_output().unwrap());
    typing.join().unwrap();
    said
}
