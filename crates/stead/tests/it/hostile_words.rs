//! Words that a shell, systemd or ssh would make something else of, in every field that a person or a stead.toml can fill: nothing of them
//! is run.

use std::process::{Command, Stdio};

use stead_model::agent::{Deploy, Origin, Wish, is_app_name, is_process_name};
use stead_model::host::is_target;
use stead_model::logs::LogWish;
use stead_model::manifest::Manifest;

use crate::running::Tree;

/// The file that each of them would make.
const CANARY: &str = "CANARY";

/// Alone, and around what could be meant.
fn words() -> Vec<String> {
    let parts = [
        "$(touch CANARY)",
        "`touch CANARY`",
        ";touch CANARY",
        ";touch${IFS}CANARY;",
        "&touch CANARY&",
        "|touch CANARY",
        "||touch CANARY",
        "\ntouch CANARY\n",
        "\r\ntouch CANARY",
        ">CANARY",
        "' ;touch CANARY; '",
        "\";touch CANARY;\"",
        "'$(touch CANARY)'",
        "\\\";touch CANARY",
        "$(touch${IFS}CANARY)",
        "{touch,CANARY}",
        "<(touch CANARY)",
        "-oProxyCommand=touch CANARY",
        "--output=CANARY",
        "../../CANARY",
        "%n%i%h",
        "\nExecStartPre=/usr/bin/touch CANARY\n",
        "a\0b",
        "\u{202e}touch CANARY",
    ];
    let mut words = Vec::new();
    for part in parts {
        words.push(part.to_owned());
        words.push(format!("shop{part}"));
        words.push(format!("{part}shop"));
    }
    words
}

#[test]
fn nothing_that_a_verb_is_given_is_run() {
    let tree = Tree::wsgi();
    let mut count = 0;
    for word in words() {
        // No program can be given a NUL.
        if word.contains('\0') {
            continue;
        }
        let count_of = format!("{word}=1");
        let lines: [&[&str]; 8] = [
            &["deploy", "--to", &word],
            &["status", "--app", &word, "--on", "h1"],
            &["releases", "--on", &word],
            &["logs", "--process", &word, "--on", "h1"],
            &["scale", &count_of, "--on", "h1"],
            &["restart", &word, "--on", "h1"],
            &["rm", &word, "--yes", "--on", "h1"],
            &["api", "source", &word, "--apps", "apps"],
        ];
        for line in lines {
            let done = Command::new(env!("CARGO_BIN_EXE_stead"))
                .args(line)
                .current_dir(tree.path())
                .env("XDG_CONFIG_HOME", tree.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
            // The role answers in its protocol; verbs refuse before they reach for any host.
            match line[0] {
                "api" => assert!(
                    said.contains("refused") || done.status.code() == Some(2),
                    "{line:?}: {said}"
                ),
                _ => assert_eq!(done.status.code(), Some(2), "{line:?}: {said}"),
            }
            assert!(!tree.path().join(CANARY).exists(), "{line:?}");
            count += 1;
        }
    }
    assert!(count >= 450, "{count}");
    let left = std::fs::read_dir(tree.path()).unwrap().count();
    assert_eq!(left, 2, "only the app's own files are there");
}

/// A text as a string of TOML.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", c as u32)),
            c => text.push(c),
        }
    }
    text + "\""
}

#[test]
fn what_becomes_a_path_a_unit_or_a_host_is_a_plain_name_in_every_field() {
    let mut count = 0;
    for word in words() {
        let text = quoted(&word);
        // What names something is refused.
        for manifest in [
            format!("app = {text}"),
            format!("[process.{text}]\ncommand = \"true\""),
            format!("[job.{text}]\ncommand = \"true\"\nschedule = \"@daily\""),
            format!("[job.a]\ncommand = \"true\"\nschedule = {text}"),
            format!("[job.a]\ncommand = \"true\"\nschedule = \"@daily\"\ntimezone = {text}"),
            format!("[volume.{text}]\npath = \"data\""),
            format!("[route]\nhosts = [{text}]"),
            format!("[env]\n{text} = \"x\""),
            format!("[secret.{text}]\ngenerate = true"),
            format!("[hosts]\nproduction = [{text}]"),
            format!("[hosts]\n{text} = [\"h1\"]"),
        ] {
            assert!(
                Manifest::parse(&manifest, "stead.toml").is_err(),
                "{manifest}"
            );
            count += 1;
        }
        assert!(
            !is_app_name(&word) && !is_process_name(&word) && !is_target(&word),
            "{word:?}"
        );
        let wish = LogWish {
            app: "shop".to_owned(),
            process: Some(word.clone()),
            ..LogWish::default()
        };
        assert!(wish.arguments().is_err(), "{word:?}");
        // What is said of a commit is shown to people, and only when it is one line.
        let origin = Origin {
            branch: Some(word.clone()),
            message: Some(word.clone()),
            ..Origin::default()
        };
        let wish = Wish::Deploy(Deploy {
            app: "shop".to_owned(),
            tree: "a".repeat(64),
            origin,
            release_command: true,
        });
        assert_eq!(
            wish.check().is_err(),
            word.chars().any(char::is_control),
            "{word:?}"
        );
        count += 3;
    }
    assert!(count >= 500, "{count}");
}
