//! Bad input: every refusal says what, why and what next.

use crate::running::{Tree, WSGI};
use crate::snapshot;

#[test]
fn a_directory_that_does_not_exist_is_refused() {
    let tree = Tree::new(&[]);
    snapshot!(tree.said(&["up", "nowhere"]), @r#"
    --- stderr
    error: cannot use `nowhere` as an app's source
      cause: there is no such directory
    --- exit code 2
    "#);
}

#[test]
fn a_file_is_no_source() {
    let tree = Tree::new(&[("app.py", WSGI), ("stead.toml", "")]);
    snapshot!(tree.said(&["up", "app.py"]), @r#"
    --- stderr
    error: cannot use `app.py` as an app's source
      cause: it is not a directory
    --- exit code 2
    "#);
    snapshot!(tree.said(&["check", "stead.toml"]), @r#"
    --- stderr
    error: cannot use `stead.toml` as an app's source
      cause: it is not a directory
    hint: stead check
    --- exit code 2
    "#);
}

#[test]
fn text_that_is_not_toml_is_shown_with_its_line() {
    let tree = Tree::new(&[("stead.toml", "app = \"shop\"\n[process.web\n")]);
    snapshot!(tree.said(&["up"]), @r#"
    --- stderr
    error: not valid TOML: unclosed table, expected `]`
      --> stead.toml:2
    --- exit code 2
    "#);
}

#[test]
fn unknown_and_wrong_keys_are_all_shown() {
    let tree = Tree::new(&[(
        "stead.toml",
        "app = \"shop\"\n\n[process.web]\nwsgi = \"app:app\"\nhelth = { path = \"/\" }\ncount = \"many\"\n",
    )]);
    snapshot!(tree.said(&["check"]), @r#"
    --- stderr
    error: unknown key `helth` in `process.web`
      --> stead.toml:5
    hint: did you mean `health`?

    error: invalid `count` in `process.web`: wanted "auto" or a whole number, got the string `"many"`
      --> stead.toml:6
    hint: for example: count = 4
    --- exit code 2
    "#);
}

#[test]
fn a_file_that_is_not_text_is_refused_with_its_line() {
    let tree = Tree::new(&[]);
    std::fs::write(tree.path().join("stead.toml"), b"app = \"shop\"\n# \xff\n").unwrap();
    snapshot!(tree.said(&["check"]), @r#"
    --- stderr
    error: cannot read `stead.toml`
      --> stead.toml:2
      cause: it is not UTF-8 text
    --- exit code 2
    "#);
}

#[test]
fn a_stead_toml_that_is_a_directory_is_refused() {
    let tree = Tree::new(&[("stead.toml/x", "")]);
    snapshot!(tree.said(&["up"]), @r#"
    --- stderr
    error: cannot read `stead.toml`
      cause: is a directory
    --- exit code 2
    "#);
}

#[test]
fn a_directory_without_an_app_is_refused() {
    let tree = Tree::new(&[("notes.txt", "nothing")]);
    snapshot!(tree.said(&["up"]), @r#"
    --- stderr
    error: cannot tell what to run in `[DIR]`
      cause: no Procfile, uwsgi.ini, Python app object (Flask, Django, FastAPI, …), package.json with a `start` script, or index.html was found
    hint: write a stead.toml with these lines, or with `command = "…"` for a program that listens on $PORT:
        app = "[NAME]"
        [process.web]
        wsgi = "module:app"
    --- exit code 1
    "#);
    snapshot!(tree.said(&["init"]), @r#"
    --- stderr
    error: cannot tell what to run in `[DIR]`
      cause: no Procfile, uwsgi.ini, Python app object (Flask, Django, FastAPI, …), package.json with a `start` script, or index.html was found
    hint: write a stead.toml with these lines, or with `command = "…"` for a program that listens on $PORT:
        app = "[NAME]"
        [process.web]
        wsgi = "module:app"
    --- exit code 1
    "#);
}

#[test]
fn a_port_in_use_names_the_program_that_has_it() {
    let tree = Tree::wsgi();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = tree.said(&["up", "--port", &port]);
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert!(
        said.contains(&format!(
            "the port is in use by `{}` (process {}",
            own.trim(),
            std::process::id()
        )),
        "{said}"
    );
    assert!(said.contains("hint: stead up --port "), "{said}");
    assert!(said.ends_with("--- exit code 1"), "{said}");
    // The line can be typed as it stands where this one was typed.
    let dir = tree.path();
    let said = tree.said(&["up", dir.to_str().unwrap(), "--port", &port]);
    let expected = "hint: stead up [DIR] --port ";
    assert!(said.contains(expected), "{said}");
    let said = tree.said(&["up", "--tls", "--port", &port]);
    assert!(said.contains("hint: stead up --tls --port "), "{said}");
}

#[test]
fn an_edge_names_the_program_that_has_its_port() {
    let tree = Tree::new(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = tree.said(&[
        "edge",
        "--listen",
        &address,
        "--state",
        "edge",
        "--control",
        "edge.sock",
    ]);
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert!(
        said.contains(&format!(
            "the port is in use by `{}` (process {}",
            own.trim(),
            std::process::id()
        )),
        "{said}"
    );
    assert!(
        said.contains("hint: stead edge --listen 127.0.0.1:"),
        "{said}"
    );
    assert!(said.ends_with("--- exit code 1"), "{said}");
}

#[test]
fn a_host_that_is_not_this_machines_is_refused() {
    let tree = Tree::wsgi();
    snapshot!(tree.said(&["up", "--port", "0", "--host", "192.0.2.1"]), @r#"
    --- stderr
    error: cannot listen on `192.0.2.1:0`
      cause: this machine does not have that address
    hint: stead up --host 0.0.0.0
    --- exit code 2
    "#);
    snapshot!(tree.said(&["up", "--port", "0", "--host", "no such name"]), @r#"
    --- stderr
    error: cannot listen on `no such name`
      cause: no address is known for that name
    hint: stead up --host 127.0.0.1
    --- exit code 2
    "#);
}

#[test]
fn state_that_cannot_be_kept_is_refused() {
    let tree = Tree::wsgi();
    tree.write(".stead", "");
    snapshot!(tree.said(&["up", "--port", "0"]), @r#"
    --- stderr
    error: cannot keep state in `[DIR]/.stead`
      cause: there is a file of that name
    --- exit code 1
    "#);
}

#[test]
fn a_second_up_of_the_same_source_is_refused() {
    let tree = Tree::wsgi();
    let mut first = tree.serve(&[]);
    snapshot!(tree.said(&["up", "--port", "0"]), @r#"
    --- stderr
    error: cannot run the app a second time
      cause: `stead up` (process [PID]) runs it already, with its state in `[DIR]/.stead`
      state: the first one still serves
    hint: kill -HUP [PID]    # makes it reload
    --- exit code 1
    "#);
    assert_eq!(first.get("/").body, "one");
    assert!(first.stop().success());
    // Its lock went with it.
    let mut next = tree.serve(&[]);
    assert!(next.stop().success());
}

#[test]
fn an_access_log_that_cannot_be_written_is_refused() {
    let tree = Tree::wsgi();
    snapshot!(tree.said(&["up", "--port", "0", "--access-log", "nowhere/access.log"]), @r#"
    --- stderr
    error: cannot write the access log `nowhere/access.log`
      cause: no such file or directory
    --- exit code 2
    "#);
}
