//! Help, usage errors, colours, completion.

use std::path::Path;

use crate::running::{Tree, said, stead};
use crate::snapshot;

fn told(arguments: &[&str]) -> String {
    said(
        &stead(arguments).env("COLUMNS", "100").output().unwrap(),
        Path::new("/nowhere"),
    )
}

#[test]
fn stead_alone_prints_help() {
    snapshot!(told(&[]), @"");
}

#[test]
fn up_explains_itself() {
    snapshot!(told(&["up", "--help"]), @"");
}

#[test]
fn init_and_check_explain_themselves() {
    snapshot!(told(&["init", "--help"]), @"");
    snapshot!(told(&["check", "--help"]), @"");
}

#[test]
fn an_unknown_verb_is_a_usage_error() {
    snapshot!(told(&["chekc"]), @"");
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    snapshot!(told(&["up", "--prot", "80"]), @"");
}

#[test]
fn a_value_that_is_wrong_is_a_usage_error() {
    snapshot!(told(&["up", "--port", "eighty"]), @"");
    snapshot!(told(&["up", "--log-format", "xml"]), @"");
}

#[test]
fn version_is_one_line() {
    snapshot!(told(&["--version"]), @"");
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = stead(&["completions", shell]).output().unwrap();
        assert!(output.status.success());
        assert!(output.stdout.len() > 500, "{shell}");
    }
}

#[test]
fn colours_are_for_those_who_want_them() {
    let tree = Tree::new(&[("stead.toml", "[")]);
    let coloured = |arguments: &[&str], no_color: bool| {
        let mut command = tree.command(arguments);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        command.output().unwrap().stderr.contains(&0x1b)
    };
    assert!(!coloured(&["check"], false), "there is no terminal");
    assert!(coloured(&["--color", "always", "check"], false));
    assert!(coloured(&["check", "--color=always"], false));
    assert!(!coloured(&["check", "--color", "never"], false));
    assert!(!coloured(&["check"], true));
    assert!(coloured(&["up", "--color=always", "--nonsense"], true));
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let mut command = stead(&["--help"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command.stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
