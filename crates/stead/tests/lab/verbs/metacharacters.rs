//! Values that a shell, ssh or systemd would make commands of, in every field that a person or a repository fills: none is run, neither
//! on the laptop nor on the host. Each command would leave a file behind.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use lab::{Lab, Machine};

use super::{App, Person, get};
use crate::figures;
use crate::laptop::Laptop;

/// `CANARY` stands for the file.
const VALUES: [&str; 16] = [
    "$(touch CANARY)",
    "`touch CANARY`",
    ";touch CANARY;",
    "|touch CANARY",
    "&touch CANARY&",
    "||touch CANARY",
    "\ntouch CANARY\n",
    "';touch CANARY;'",
    "\";touch CANARY;\"",
    "\\\";touch${IFS}CANARY;\\\"",
    "$(touch${IFS}CANARY)",
    "<(touch CANARY)",
    ">CANARY",
    "-oProxyCommand=touch CANARY",
    "--upload-pack=touch CANARY",
    "%n\nExecStartPre=/usr/bin/touch CANARY",
];

/// What is typed; `{}` stands for the value.
const TYPED: [&[&str]; 20] = [
    &["deploy", "--to", "{}"],
    &["deploy", "--to", "h1,{}"],
    &["deploy", "{}"],
    &["status", "--app", "{}"],
    &["status", "--on", "{}"],
    &["releases", "--app", "{}"],
    &["releases", "--on", "root@{}"],
    &["rollback", "{}"],
    &["rollback", "1", "--app", "{}"],
    &["logs", "--process", "{}"],
    &["logs", "--since", "{}"],
    &["logs", "--release", "{}"],
    &["restart", "{}"],
    &["scale", "{}"],
    &["scale", "web={}"],
    &["scale", "{}=1"],
    &["host", "add", "{}", "--yes"],
    &["host", "rm", "{}", "--yes"],
    &["host", "doctor", "{}"],
    &["host", "upgrade", "{}", "--yes"],
];

/// Lines of stead.toml; `{}` stands for the value, quoted as TOML has it.
const WRITTEN: [&str; 22] = [
    "app = {}",
    "[process.{}]\ncommand = \"./serve\"",
    "[process.web]\nwsgi = {}",
    "[process.web]\ncommand = \"./serve\"\nhealth = { path = {} }",
    "[process.web]\ncommand = \"./serve\"\nhealth = { host = {} }",
    "[process.web]\ncommand = \"./serve\"\nserver = {}",
    "[build]\npython = {}",
    "[build]\nroot = {}",
    "[build]\npackages = [{}]",
    "[build]\nindex = {}",
    "[job.{}]\ncommand = \"true\"\nschedule = \"@hourly\"",
    "[job.j]\ncommand = \"true\"\nschedule = {}",
    "[job.j]\ncommand = \"true\"\nschedule = \"@hourly\"\ntimezone = {}",
    "[route]\nhosts = [{}]",
    "[route]\npath = {}",
    "[route]\nstatic = { \"/static\" = {} }",
    "[route]\nredirects = { \"a.example\" = {} }",
    "[env]\n{} = \"x\"",
    "[secret.{}]\ngenerate = true",
    "[volume.{}]\npath = \"kept\"",
    "[volume.v]\npath = {}",
    "[hosts]\nproduction = [{}]",
];

#[test]
fn nothing_that_a_shell_would_run_is_run() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "h1", &["--yes"]).good();
    // The same path on both sides, below what every sandbox of systemd has of its own, too.
    let dir = tempfile::Builder::new()
        .prefix("canaries")
        .tempdir_in("/tmp")
        .unwrap();
    let canary = dir.path().join("CANARY");
    let canary = canary.to_str().unwrap();
    machine
        .sh(&format!("mkdir -m 1777 {}", dir.path().display()))
        .unwrap();
    let values = VALUES.map(|value| value.replace("CANARY", canary));
    let app = App::new();
    let person = Person::of(&laptop, &app);
    person.says(&["deploy"]).good();

    let tried = AtomicUsize::new(0);
    each(&values, &|value| {
        for words in TYPED {
            let words: Vec<String> = words.iter().map(|word| word.replace("{}", value)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let said = person.says(&words);
            // Refused, or there is nothing of that name: nobody dies of it.
            let fine = matches!(said.code, Some(0..=2));
            assert!(fine, "{words:?}: {}{}", said.out, said.err);
            tried.fetch_add(1, Ordering::Relaxed);
        }
    });
    each(&values, &|value| {
        let quoted = serde_json::to_string(value).unwrap();
        for lines in WRITTEN {
            let dir = tempfile::tempdir().unwrap();
            let mut text = lines.replace("{}", &quoted);
            if !text.starts_with("app =") {
                text = format!("app = \"shop\"\n{text}");
            }
            fs::write(dir.path().join("stead.toml"), text + "\n").unwrap();
            fs::write(dir.path().join("serve"), "#!/bin/sh\n").unwrap();
            let mut command = laptop.verb(&["deploy", "--dirty", "--dry-run"]);
            let said = command.current_dir(dir.path()).output().unwrap();
            let said = crate::laptop::Said::of(said);
            let fine = matches!(said.code, Some(0..=2));
            assert!(fine, "{lines}: {}{}", said.out, said.err);
            tried.fetch_add(1, Ordering::Relaxed);
        }
    });
    let deployed = what_can_be_deployed_is(&person, &machine, &values);

    let tried = tried.into_inner() + deployed;
    figures::reached(
        50,
        "values with shell metacharacters in fields",
        "≥ 500, none run",
        &format!("{tried}, none run"),
    );
    assert!(tried >= 500, "{tried}");
    let found = machine
        .sh("find / -name 'CANARY*' -not -path '/proc/*' 2>/dev/null; true")
        .unwrap();
    assert_eq!(found, "");
    let here: Vec<PathBuf> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(here, Vec::<PathBuf>::new());
}

/// Two at a time.
fn each(values: &[String], with: &(dyn Fn(&str) + Sync)) {
    std::thread::scope(|scope| {
        for half in values.chunks(values.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(|value| with(value)));
        }
    });
}

/// All that a repository can have such names and values in, in one deploy: it serves, and each variable is what was written.
fn what_can_be_deployed_is(person: &Person<'_>, machine: &Machine, values: &[String]) -> usize {
    let mut env = String::new();
    for (number, value) in values.iter().enumerate() {
        let quoted = serde_json::to_string(value).unwrap();
        env.push_str(&format!("ODD{number} = {quoted}\n"));
        // A name of a file has no slash.
        let name = value.replace('/', "_");
        fs::write(person.app.path().join(&name), "odd").unwrap();
        std::os::unix::fs::symlink(&name, person.app.path().join(format!("to {name}"))).unwrap();
    }
    person.app.write("two", "");
    person
        .app
        .replace("stead.toml", "[env]\n", &format!("[env]\n{env}"));
    let shown = "os.environ[\"STEAD_RELEASE\"] + \" \" + TEXT";
    person.app.replace(
        "serve",
        shown,
        "repr([os.environ[\"ODD%d\" % n] for n in range(COUNT)])",
    );
    person
        .app
        .replace("serve", "COUNT", &values.len().to_string());
    person.app.git(&["add", "-A"]);
    for value in values {
        let author = format!(
            "--author={} <a@example.com>",
            value.replace(['<', '>', '\n'], "_")
        );
        person.app.git(&[
            "commit",
            "-q",
            "--allow-empty",
            &author,
            "-m",
            &format!("Say {value}"),
        ]);
    }
    let mut deploy = person.command(&["deploy"]);
    let user = values.join(" ").replace('\n', " ");
    let said = crate::laptop::Said::of(deploy.env("USER", user).output().unwrap());
    said.good();
    let serves = get(machine.address(), "/");
    for value in values {
        let text = format!("{value:?}");
        // As Python shows it: what matters is that nothing was taken out of it.
        let part = value
            .trim()
            .split(['\'', '"', '\\', '\n'])
            .find(|part| part.len() > 6);
        assert!(serves.contains(part.unwrap_or(&text)), "{text}: {serves}");
    }
    person.says(&["status"]).good();
    person.says(&["releases"]).good();
    person.says(&["logs", "--since", "1h"]).good();
    values.len() * 4
}
