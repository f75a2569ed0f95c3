use super::*;

const OLD: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const NEW: &str = "5feceb66ffc86f38d952786c6d696c79c2dbc239";
const NONE: &str = "0000000000000000000000000000000000000000";

fn line(new: &str, name: &str) -> String {
    format!("{OLD} {new} {name}\n")
}

#[test]
fn the_commit_of_the_branch_is_taken() {
    assert_eq!(
        judge(&line(NEW, "refs/heads/main"), "main"),
        Ok(NEW.to_owned())
    );
    let odd = "main;touch${IFS}CANARY";
    assert_eq!(
        judge(&line(NEW, &format!("refs/heads/{odd}")), odd),
        Ok(NEW.to_owned())
    );
}

#[test]
fn a_push_of_anything_else_is_refused_as_a_whole() {
    let good = line(NEW, "refs/heads/main");
    for other in [
        line(NEW, "refs/heads/$(touch x)"),
        line(NEW, "refs/heads/main2"),
        line(NEW, "refs/tags/main"),
        line(NEW, "refs/replace/4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
        line(NEW, "main"),
        line(NONE, "refs/heads/main"),
        line("x", "refs/heads/main"),
        good.clone(),
        "x\n".to_owned(),
        "\n".to_owned(),
    ] {
        assert!(judge(&format!("{good}{other}"), "main").is_err(), "{other}");
        assert!(judge(&format!("{other}{good}"), "main").is_err(), "{other}");
    }
    assert!(judge("", "main").is_err());
    let deleted = judge(&line(NONE, "refs/heads/main"), "main").unwrap_err();
    assert!(deleted.contains("stays"), "{deleted}");
    let hostile = judge(&line(NEW, "refs/heads/\u{1b}[2J"), "main").unwrap_err();
    assert!(!hostile.contains('\u{1b}'), "{hostile:?}");
}

#[test]
fn every_truncation_is_refused_or_the_same() {
    let text = line(NEW, "refs/heads/main");
    for end in 0..text.len() - 1 {
        assert!(judge(&text[..end], "main").is_err(), "{end}");
    }
}

#[test]
fn branches_are_those_of_git() {
    for good in ["main", "release/1.2", "a;b", "$(id)", "ünï"] {
        assert!(is_branch(good), "{good}");
    }
    for bad in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a..b",
        "a b",
        "a~",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a@{b",
        "a.",
        "@",
        "-a",
        "HEAD",
        "a\nb",
        "a\u{7f}",
        &"a".repeat(300),
    ] {
        assert!(!is_branch(bad), "{bad}");
    }
}

#[test]
fn a_directory_stays_inside() {
    let of = |directory: &str| Repository {
        protocol: PROTOCOL,
        app: "shop".to_owned(),
        branch: "main".to_owned(),
        directory: directory.to_owned(),
    };
    for good in ["", "backend", "a b/$(id)"] {
        assert_eq!(of(good).check(), Ok(()), "{good}");
    }
    for bad in ["..", "a/../b", "/etc", "a//b", "a/", ".", "a\nb"] {
        assert!(of(bad).check().is_err(), "{bad}");
    }
    for app in ["", "../x", "A", "-x"] {
        let app = app.to_owned();
        assert!(Repository { app, ..of("") }.check().is_err());
    }
}
