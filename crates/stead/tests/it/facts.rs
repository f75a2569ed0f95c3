//! `stead init` and `stead check`.

use crate::running::{Tree, WSGI};
use crate::snapshot;

#[test]
fn init_writes_what_was_detected_and_up_understands_it() {
    let tree = Tree::new(&[("wsgi.py", WSGI)]);
    snapshot!(tree.said(&["init"]).replace(&name(&tree), "[NAME]"), @r#"
    --- stdout
    wrote stead.toml
    next: stead up
    --- stderr
    note: No file says which packages the app needs (requirements.txt, pyproject.toml, Pipfile, …): it runs without any.
    --- exit code 0
    "#);
    assert!(
        tree.read("stead.toml")
            .contains("wsgi = \"wsgi:application\"")
    );
    assert!(tree.run(&["check"]).status.success());
}

#[test]
fn init_does_not_overwrite_unless_told_to() {
    let tree = Tree::new(&[("wsgi.py", WSGI), ("stead.toml", "# mine\n")]);
    snapshot!(tree.said(&["init"]), @r#"
    --- stderr
    error: cannot write `stead.toml`
      cause: there is one already
    hint: stead init --force
    --- exit code 1
    "#);
    assert_eq!(tree.read("stead.toml"), "# mine\n");
    assert!(tree.run(&["init", "--dry-run"]).status.success());
    assert_eq!(tree.read("stead.toml"), "# mine\n");
    assert!(tree.run(&["init", "--force"]).status.success());
    assert!(tree.read("stead.toml").contains("[process.web]"));
    let left: Vec<_> = std::fs::read_dir(tree.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn init_prints_the_file_when_it_is_dry() {
    let tree = Tree::new(&[("wsgi.py", WSGI)]);
    let printed = tree.run(&["init", "--dry-run"]);
    assert!(
        String::from_utf8(printed.stdout)
            .unwrap()
            .contains("[process.web]")
    );
    assert!(!tree.path().join("stead.toml").exists());
}

#[test]
fn check_says_what_would_be_run_and_does_nothing() {
    let tree = Tree::wsgi();
    snapshot!(tree.said(&["check"]), @r#"
    --- stdout
    shop (stead.toml)
      web: app:application on Stead's own worker, 1 instance
         ok  Python [VERSION] [PYTHON]), the default of this machine
         ok  an environment is built for no dependencies from [INDEX], with uv [VERSION]
         ok  process.web: 1 instance of [PYTHON] .stead/worker/[HASH]/stead_worker.py --threads 4 app:application`
    nothing is missing: `stead up` runs it
    --- exit code 0
    "#);
    assert!(!tree.path().join(".stead").exists());
}

#[test]
fn check_fails_when_something_is_missing() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[build]\nrequirements = \"nowhere.txt\"\n[process.web]\nwsgi = \"app:application\"\n",
    );
    let output = tree.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("missing"));
}

#[test]
fn check_gives_facts_to_programs() {
    let tree = Tree::wsgi();
    let output = tree.run(&["check", "--json"]);
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["app"], "shop");
    assert_eq!(facts["file"], "stead.toml");
    assert_eq!(facts["ok"], true);
    assert_eq!(facts["processes"]["web"]["wsgi"], "app:application");
    assert!(output.stderr.is_empty());
}

#[test]
fn check_counts_what_the_source_lacks_whether_or_not_there_is_a_stead_toml() {
    let app = "import os\nTOKEN = os.environ[\"SHOP_API_TOKEN\"]\n";
    let tree = Tree::new(&[("wsgi.py", &format!("{app}{WSGI}"))]);
    let last = |output: &std::process::Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().last().unwrap_or_default().to_owned()
    };
    let output = tree.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(last(&output), "1 thing is missing");
    assert!(tree.run(&["init"]).status.success());
    let output = tree.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(last(&output), "1 thing is missing");
    let toml = std::fs::read_to_string(tree.path().join("stead.toml")).unwrap();
    tree.write(
        "stead.toml",
        &format!("{toml}\n[env]\nSHOP_API_TOKEN = \"x\"\n"),
    );
    let output = tree.run(&["check"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        last(&output).starts_with("nothing is missing"),
        "{output:?}"
    );
}

#[test]
fn check_of_a_program_that_does_not_read_port_asks_for_attention() {
    let server = "from http.server import HTTPServer, SimpleHTTPRequestHandler\nHTTPServer((\"\", 8123), SimpleHTTPRequestHandler).serve_forever()\n";
    let tree = Tree::new(&[("serve.py", server)]);
    let output = tree.run(&["check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.ends_with("1 thing asks for attention: `stead up` runs it as it is\n"),
        "{text}"
    );
    assert!(!text.contains("nothing is missing"), "{text}");
}

#[test]
fn check_of_a_detected_app_says_from_where() {
    let tree = Tree::new(&[("wsgi.py", WSGI)]);
    let output = tree.run(&["check", "--json"]);
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["file"], serde_json::Value::Null);
    assert_eq!(facts["origins"][0]["key"], "process.web.wsgi");
}

fn name(tree: &Tree) -> String {
    tree.path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

#[test]
fn what_stops_nothing_but_asks_for_attention_is_no_ok() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"gone:application\"\n",
    );
    let said = tree.said(&["check"]);
    assert!(
        said.contains("warning  process.web: the module `gone` is not in the code"),
        "{said}"
    );
    assert!(said.contains("--- exit code 0"), "{said}");
}
