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
      cert         The certificates of an app: list, renew, import
      deploy       Send the app to its hosts, and switch visitors over when it is healthy
      releases     List the releases of an app: who, when, what changed
      rollback     Let an earlier release serve again
      status       Say how an app is: release, instances, requests, certificates, jobs, disk
      logs         Show what an app printed, of all its hosts in the order of time
      restart      Replace an app's instances by new ones, without losing a request
      scale        Say how many instances of a process run on each host
      rm           Remove an app from its hosts
      host         Make a Linux machine a home for apps, and look after it
      edge         Accept visitors on a host, for the agent there
      agent        Keep a host as its apps want it
      api          On a host: carry questions to its agent, or set the host up, for `stead host`
      password     Print the hash of a password, for `users` of a route
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
      stead host add root@HOST    make a Linux machine a home for apps
      stead deploy                send the app there, and switch visitors over when it is healthy
      stead status                say how it is there
      stead init                  write down what was detected, as stead.toml
      stead help up               the same as `stead up --help`

    Environment:
      NO_COLOR                    when it is there: no colours, unless --color asks for them

    Exit codes: 0 done, 1 failed or refused, 2 bad invocation or configuration.

    The keys of stead.toml are explained in docs/stead-toml.md, errors as they occur.
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
              Where visitors connect; 0 is any free port [default: 8000, --tls: 8443, --public: 80]

          --host <HOST>
              The name or address to listen on [default: 127.0.0.1, with --public every address]

          --public
              Serve the world: get certificates for the hosts of the routes, and renew them

          --tls-port <TLS_PORT>
              Where visitors connect over TLS [default: 443]

          --tls
              Speak HTTPS, with a certificate of an authority of your own, or with that of `[tls]`

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
      stead up --public           for the world: ports 80 and 443, certificates by themselves
      stead up --tls              over HTTPS, at https://127.0.0.1:8443

    Signals: Ctrl-C or SIGTERM lets requests in flight end, then stops; a second one stops at once.
    SIGHUP reloads: the new release takes over when it is healthy, else the old one keeps serving.

    --watch reloads when a file of the source changes: code, templates, configuration, lock files. It
    passes over what git ignores, hidden directories, virtual environments, node_modules, volumes,
    databases, logs, static folders (the edge serves those as they are), editors' temporary files, and
    files that the app itself writes whenever it starts.

    Files:
      DIR/stead.toml              what to run; without it, that is detected
      DIR/.stead/                 what is kept: environments, volumes, secrets, logs/, metrics.sock

    Exit codes: 0 stopped as asked, 1 the first release did not start, or serving failed, 2 bad
    invocation or configuration.
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

    Nothing of the app is run to find out. Each line of the file says where its value came from.

    Exit codes: 0 written (or printed), 1 there is one already, or nothing was detected, 2 bad
    invocation.
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

    Nothing is built, and nothing of the app is run.

    Exit codes: 0 nothing is missing, 1 something is missing: `stead up` would fail, 2 bad invocation or
    configuration.
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
fn an_option_is_not_taken_for_a_value() {
    snapshot!(told(&["up", "-V"]), @r#"
    --- stderr
    error: unexpected argument `-V` found
    hint: stead up --help
    --- exit code 2
    "#);
}

#[test]
fn a_value_that_is_wrong_is_a_usage_error() {
    snapshot!(told(&["up", "--port", "eighty"]), @r#"
    --- stderr
    error: invalid value `eighty` for `--port <PORT>`
      cause: a port is a number from 0 to 65535
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
fn options_of_the_edge_that_are_wrong_say_what_is_wanted() {
    snapshot!(told(&["edge", "--drain", "x"]), @r#"
    --- stderr
    error: invalid value `x` for `--drain <TIME>`
      cause: a time has a unit: `500ms`, `30s`, `10m` or `1h`
    hint: stead edge --help
    --- exit code 2
    "#);
    snapshot!(told(&["edge", "--listen", "nonsense"]), @r#"
    --- stderr
    error: invalid value `nonsense` for `--listen <ADDR>`
      cause: an address is an IP address and a port, such as `0.0.0.0:80` or `[::]:80`
    hint: stead edge --help
    --- exit code 2
    "#);
    snapshot!(told(&["edge", "status", "--nonsense"]), @r#"
    --- stderr
    error: unexpected argument `--nonsense` found
    hint: stead edge status --help
    --- exit code 2
    "#);
    snapshot!(told(&["edge", "upgrade", "--control", "/nowhere/edge.sock"]), @r#"
    --- stderr
    error: cannot reach an edge at `[DIR]/edge.sock`
      cause: no edge has its control socket there
    hint: ss -lxp | grep stead    # shows the control sockets of the edges that run
    --- exit code 1
    "#);
}

#[test]
fn the_edge_explains_itself() {
    snapshot!(told(&["edge", "--help"]), @r#"
    --- stdout
    Accept visitors on a host, for the agent there

    Usage: stead edge [OPTIONS]
           stead edge <COMMAND>

    Commands:
      upgrade  Let another program take the place of the edge that runs, without losing a request
      status   Say how the edge that runs is
      help     Print this message or the help of the given subcommand(s)

    Options:
          --color <WHEN>
              When to use colours; NO_COLOR is honoured
              
              [default: auto]
              [possible values: auto, always, never]

          --listen <ADDR>
              Where visitors connect; may be given several times. Else systemd must pass sockets

          --listen-tls <ADDR>
              Where visitors connect over TLS; may be given several times

          --control <PATH>
              Where the agent connects
              
              [default: /run/stead/edge.sock]

          --state <DIR>
              Where the last table is kept
              
              [default: /var/lib/stead/edge]

          --drain <TIME>
              How long connections live on when the edge is replaced or stopped
              
              [default: 10m]

          --log-format <FORMAT>
              How access lines are written

              Possible values:
              - combined: As Apache and nginx do
              - json:     One JSON object a line
              
              [default: combined]

          --access-log <PATH>
              Where access lines go [default: nowhere]

          --metrics <PATH>
              A unix socket at which metrics are asked for, over HTTP [default: none]

          --threads <N>
              Threads that serve visitors [default: as many as suit this machine]

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      stead edge --listen 0.0.0.0:80 --listen-tls 0.0.0.0:443
                                          with sockets of its own
      stead edge                          with the sockets that systemd passes (LISTEN_FDS)
      stead edge upgrade                  let this program take the place of the one that runs
      stead edge status --json            how the edge that runs is, for a program

    The edge needs no privileges. Its routes come from an agent, over the control socket, which answers
    its own user and root alone. The last table is kept, so that an edge that is started without an
    agent serves at once. So do the certificates, which are files that are read again when they change.

    Of the sockets that systemd passes, those named `tls` (FileDescriptorName=) and those at port 443
    are for TLS.

    Signals: SIGTERM or SIGINT lets requests in flight end, then stops; a second one stops at once.

    Files:
      /run/stead/edge.sock        the control socket (--control)
      /var/lib/stead/edge/        the table, and large bodies of slow visitors (--state)

    Environment:
      LISTEN_FDS, LISTEN_PID      sockets from systemd, sd_listen_fds(3)
      NOTIFY_SOCKET               is told READY=1, MAINPID and STOPPING=1, sd_notify(3)

    Exit codes: 0 stopped or replaced as asked, 1 could not start or take over, 2 bad invocation.

    This is the role of a host. `stead up` has an edge of its own inside and needs none of this.
    --- exit code 0
    "#);
    snapshot!(told(&["edge", "upgrade", "--help"]), @r#"
    --- stdout
    Let another program take the place of the edge that runs, without losing a request

    Usage: stead edge upgrade [OPTIONS]

    Options:
          --binary <PATH>   The program [default: the one that you call]
          --color <WHEN>    When to use colours; NO_COLOR is honoured [default: auto] [possible values:
                            auto, always, never]
          --within <TIME>   How long it may take to be ready [default: 20s]
          --control <PATH>  The control socket of the edge that runs [default: /run/stead/edge.sock]
          --json            Print JSON
      -h, --help            Print help

    Examples:
      stead edge upgrade                           this program takes over
      stead edge upgrade --binary /opt/stead-0.2   that one does

    The new program is started by the edge that runs, with its arguments. It takes the listening
    sockets, the agent's connection and the table over; when it says that it serves, the old one stops
    accepting, ends each connection after its current request, and lets WebSockets and streams live
    until its drain time is over. If the new one does not come that far, nothing has changed.

    Exit codes: 0 the new program serves, 1 it does not, and nothing has changed, 2 bad invocation.
    --- exit code 0
    "#);
    snapshot!(told(&["edge", "status", "--help"]), @r#"
    --- stdout
    Say how the edge that runs is

    Usage: stead edge status [OPTIONS]

    Options:
          --color <WHEN>    When to use colours; NO_COLOR is honoured [default: auto] [possible values:
                            auto, always, never]
          --control <PATH>  The control socket of the edge that runs [default: /run/stead/edge.sock]
          --json            Print JSON
      -h, --help            Print help

    Examples:
      stead edge status                            for a person
      stead edge status --json                     for a program
      stead edge status --control /tmp/edge.sock   of an edge that was started with that --control

    Exit codes: 0 it answered, 1 no edge answers there, 2 bad invocation.
    --- exit code 0
    "#);
}

#[test]
fn help_about_help_is_help() {
    assert_eq!(told(&["help", "--help"]), told(&["--help"]));
    assert_eq!(told(&["help", "up", "--help"]), told(&["up", "--help"]));
}

#[test]
fn what_is_missing_is_named() {
    snapshot!(told(&["completions"]), @r#"
    --- stderr
    error: `stead completions` needs `<SHELL>`
      cause: possible values: bash, elvish, fish, powershell, zsh
    hint: stead completions bash
    --- exit code 2
    "#);
}

#[test]
fn facts_that_cannot_be_written_are_a_failure() {
    let tree = Tree::wsgi();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help", "up"],
        &["completions", "bash"],
        &["check"],
        &["check", "--json"],
        &["init", "--dry-run"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let output = tree.command(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("error: cannot write to `stdout`\n  cause: no space left on device\n"),
            "{arguments:?}: {said}"
        );
    }
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
