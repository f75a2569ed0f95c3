use super::*;

#[test]
fn npm_ranges_are_understood() {
    let version = Version::new(18, 19, 0);
    for range in [
        ">=16",
        "18.x",
        "^18.0.0",
        ">=18 <21",
        ">= 18.0.0",
        "16 || 18",
        "16.x || >=18.0.0",
        "18",
        "18.19",
        "16 - 20",
        "*",
        "",
        "lts/*",
    ] {
        assert!(in_range(range, &version), "{range}");
    }
    for range in [">=20", "20.x", "^16.0.0", "<18", "16 || 20", "18.18.0"] {
        assert!(!in_range(range, &version), "{range}");
    }
}

use stead_model::manifest::Program;

use crate::test_app::App;

#[test]
fn packages_of_a_node_app_are_installed_once_for_a_lock() {
    let app = App::new(Program::Command("node server.js".into()));
    if app.machine.program("npm").is_none() {
        return;
    }
    app.write(
        "lib/package.json",
        r#"{"name":"lib","version":"1.0.0","bin":{"hello":"hello.js"}}"#,
    )
    .write("lib/hello.js", "#!/usr/bin/env node\n")
    .write(
        "package.json",
        r#"{"name":"shop","version":"1.0.0","dependencies":{"lib":"file:lib"}}"#,
    );
    let release = app.prepare().unwrap();
    assert_eq!(release.path, [app.dir().join("node_modules/.bin")]);
    assert!(app.dir().join("node_modules/.bin/hello").exists());
    app.prepare().unwrap();
    assert_eq!(app.told(), "npm install\n= unchanged");
    // A lock that does not agree is refused, and says what to do.
    app.write(
        "package-lock.json",
        r#"{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop"}}}"#,
    );
    let error = app.prepare().unwrap_err();
    assert_eq!(error.causes, ["package.json and its lock do not agree"]);
}

#[test]
fn a_package_json_of_a_python_apps_tools_is_left_alone() {
    let app = App::wsgi();
    app.write("package.json", r#"{"devDependencies":{"sass":"*"}}"#);
    let release = app.prepare().unwrap();
    assert_eq!(release.path.len(), 1);
    assert!(!app.dir().join("node_modules").exists());
}

#[test]
fn another_node_than_the_app_asks_for_is_refused_with_both_versions() {
    let app = App::new(Program::Command("node server.js".into()));
    if app.machine.program("node").is_none() {
        return;
    }
    app.write("package.json", r#"{"engines":{"node":">=99"}}"#);
    let error = app.prepare().unwrap_err();
    let cause = error.causes.join(": ");
    assert!(
        cause.starts_with("package.json asks for Node >=99, and this is Node "),
        "{cause}"
    );
    let findings = app.check();
    let found = findings.iter().find(|finding| finding.text == cause);
    assert!(found.is_some_and(|finding| finding.blocks), "{findings:#?}");
    app.write("package.json", r#"{"engines":{"node":">=4"}}"#);
    app.prepare().unwrap();
}
