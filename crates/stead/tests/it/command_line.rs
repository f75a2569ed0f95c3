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
    snapshot!(told(&[]), @r#"
    --- stdout
    Stead gives a web app a home on Linux machines you own

    Usage: stead [OPTIONS] [COMMAND]

    Commands:
      up           Run the app here: build it, start its instances, serve visitors
      init         Write a stead.toml that says what was detected, and from where
      check        Say what would be built and run, and what is missing
      edge         Accept visitors on a host, for the agent there
      completions  Print a completion script for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
          --color <WHEN>  When to use colours; NO_COLOR is honoured [default: auto] [possible values:
                          auto, always, never]
      -h, --help          Print help
      -V, --version       Print version

    Examples:
      stead up                    run the app of this directory at http://127.0.0.1:8000
      stead up shop --watch       run the app in `shop`, and reload it when its source changes
      stead check                 say what would be built and run, and what is missing
      stead init                  write down what was detected, as stead.toml

    Exit codes: 0 done, 1 failed or refused, 2 bad invocation or configuration.
    --- exit code 0
    "#);
}

#[test]
fn up_explains_itself() {
    snapshot!(told(&["up", "--help"]), @r#"
    --- stdout
    Run the app here: build it, start its instances, serve visitors

    Usage: stead up [OPTIONS] [DIR]

    Arguments:
      [DIR]
              The app's source

    Options:
          --color <WHEN>
              When to use colours; NO_COLOR is honoured
              
              [default: auto]
              [possible values: auto, always, never]

          --port <PORT>
              Where visitors connect; 0 is any free port
              
              [default: 8000]

          --host <HOST>
              The name or address to listen on
              
              [default: 127.0.0.1]

          --watch
              Reload when the source changes

          --open
              Open the browser when the app answers

          --log-format <FORMAT>
              How access lines are written

              Possible values:
              - combined: As Apache and nginx do
              - json:     One JSON object a line
              
              [default: combined]

          --access-log <PATH|off>
              Where access lines go: a file, `-` (here) or `off` [default: .stead/logs/access.log]

          --state <DIR>
              Where environments, volumes, secrets and logs are kept [default: .stead in DIR]

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      stead up                    the app of this directory, at http://127.0.0.1:8000
      stead up shop --watch       reload when the source in `shop` changes
      stead up --port 0           at any free port, which is printed
      stead up --host 0.0.0.0     for visitors from other machines too

    Signals: Ctrl-C or SIGTERM lets requests in flight end, then stops; a second one stops at once.
    SIGHUP reloads: the new release takes over when it is healthy, else the old one keeps serving.

    --watch reloads when a file of the source changes: code, templates, configuration, lock files.
    It passes over what git ignores, hidden directories, virtual environments, node_modules,
    volumes, databases, logs, static folders (the edge serves those as they are), editors' temporary
    files, and files that the app itself writes whenever it starts.
    --- exit code 0
    "#);
}

#[test]
fn init_and_check_explain_themselves() {
    snapshot!(told(&["init", "--help"]), @r#"
    --- stdout
    Write a stead.toml that says what was detected, and from where

    Usage: stead init [OPTIONS] [DIR]

    Arguments:
      [DIR]  The app's source

    Options:
          --color <WHEN>  When to use colours; NO_COLOR is honoured [default: auto] [possible values:
                          auto, always, never]
          --force         Overwrite a stead.toml that is there
          --dry-run       Print the file instead of writing it
      -h, --help          Print help

    Examples:
      stead init --dry-run        show what would be written
      stead init shop             write shop/stead.toml
      stead init --force          write it again, over the one that is there
    --- exit code 0
    "#);
    snapshot!(told(&["check", "--help"]), @r#"
    --- stdout
    Say what would be built and run, and what is missing

    Usage: stead check [OPTIONS] [DIR]

    Arguments:
      [DIR]  The app's source

    Options:
          --color <WHEN>  When to use colours; NO_COLOR is honoured [default: auto] [possible values:
                          auto, always, never]
          --json          Print JSON
      -h, --help          Print help

    Examples:
      stead check                 of this directory
      stead check shop --json     as facts for a program

    Exit code 1: something is missing, `stead up` would fail.
    --- exit code 0
    "#);
}

#[test]
fn an_unknown_verb_is_a_usage_error() {
    snapshot!(told(&["chekc"]), @r#"
    --- stderr
    error: unknown command `chekc`
    hint: did you mean `check`?
    --- exit code 2
    "#);
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    snapshot!(told(&["up", "--prot", "80"]), @r#"
    --- stderr
    error: unexpected argument `--prot` found
    hint: did you mean `--port`?
    --- exit code 2
    "#);
}

#[test]
fn a_value_that_is_wrong_is_a_usage_error() {
    snapshot!(told(&["up", "--port", "eighty"]), @r#"
    --- stderr
    error: invalid value `eighty` for `--port <PORT>`: invalid digit found in string
    hint: stead up --help
    --- exit code 2
    "#);
    snapshot!(told(&["up", "--log-format", "xml"]), @r#"
    --- stderr
    error: invalid value `xml` for `--log-format <FORMAT>`
      cause: possible values: combined, json
    hint: stead up --help
    --- exit code 2
    "#);
}

#[test]
fn version_is_one_line() {
    snapshot!(told(&["--version"]), @r#"
    --- stdout
    stead [VERSION]
    --- exit code 0
    "#);
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
