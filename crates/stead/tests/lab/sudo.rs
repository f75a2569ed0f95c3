//! Users who are not root.

use std::io::Write;
use std::process::{Command, Stdio};

use lab::{Lab, Machine};

use crate::laptop::{Laptop, Said, visit};

/// A user who may become root, `rule` being how; reached with the lab's key.
fn with_user(machine: &Machine, rule: &str) {
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
    machine
        .sh("echo 'deploy ALL=(ALL) ALL' >/etc/sudoers.d/deploy")
        .unwrap();
    let command = laptop.command("add", "deploy@h1", &["--yes"]);
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
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = child.stdin.take().unwrap();
    // Typed ahead: sudo reads what is there when it asks. It forgets what was typed before, so it is typed until it is taken.
    let typing = std::thread::spawn(move || {
        while typed.write_all(b"secret\n").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    });
    let said = Said::of(child.wait_with_output().unwrap());
    assert!(said.good().contains("h1 is a host now"));
    typing.join().unwrap();
    assert_eq!(visit(machine.address()), "421");
    let traces = machine
        .sh("grep -rl secret /var/lib/stead /etc/systemd /run/stead /tmp 2>/dev/null || true")
        .unwrap();
    assert_eq!(traces, "");
}
