use stead_model::manifest::Program;

use crate::test_app::App;

/// Counts its runs in a file that git would not track.
const COUNT: &str = "echo x >> .count; mkdir -p dist; cp page.html dist/";

fn app() -> App {
    let mut app = App::new(Program::Static("dist".into()));
    app.manifest.build.commands = vec![COUNT.into()];
    app.write("page.html", "one")
        .write(".gitignore", "dist\n.count\n");
    app
}

fn runs(app: &App) -> usize {
    let text = std::fs::read_to_string(app.dir().join(".count")).unwrap_or_default();
    text.lines().count()
}

#[test]
fn build_commands_run_again_only_when_the_source_changed() {
    for git in [true, false] {
        let mut app = app();
        if git {
            let status = std::process::Command::new("git")
                .args(["init", "--quiet"])
                .current_dir(app.dir())
                .status();
            if !status.is_ok_and(|status| status.success()) {
                continue;
            }
        } else {
            app.manifest.build.commands = vec!["echo x >> instance/count; cp instance/count .count; mkdir -p dist; cp page.html dist/".into()];
            app.write("instance/keep", "");
        }
        let runs = |app: &App| match git {
            true => runs(app),
            false => std::fs::read_to_string(app.dir().join("instance/count"))
                .unwrap()
                .lines()
                .count(),
        };
        app.prepare().unwrap();
        app.prepare().unwrap();
        assert_eq!(runs(&app), 1);
        app.write("page.html", "two");
        app.prepare().unwrap();
        app.prepare().unwrap();
        assert_eq!(runs(&app), 2);
        std::fs::remove_dir_all(app.dir().join("dist")).unwrap();
        app.prepare().unwrap();
        assert_eq!(runs(&app), 3);
    }
}

#[test]
fn a_build_command_that_fails_is_an_error_with_its_output_and_runs_again() {
    let mut app = app();
    app.manifest.build.commands = vec!["echo made; ls /no/such/folder; exit 3".into()];
    for _ in 0..2 {
        let error = app.prepare().unwrap_err();
        assert!(
            error.act.starts_with("cannot run the build command"),
            "{error:#?}"
        );
        assert_eq!(error.causes, ["it ended with exit status 3"]);
        assert!(error.output.iter().any(|line| line == "made"), "{error:#?}");
    }
}

#[test]
fn build_commands_have_the_environments_programs_and_the_manifests_variables() {
    let mut app = App::wsgi();
    app.manifest.env.insert("COLOUR".into(), "blue".into());
    app.manifest.build.commands =
        vec!["python -c 'import sys; print(sys.prefix)' > prefix; echo $COLOUR > colour".into()];
    let release = app.prepare().unwrap();
    let read = |name: &str| std::fs::read_to_string(app.dir().join(name)).unwrap();
    assert_eq!(read("colour"), "blue\n");
    assert!(release.path[0].starts_with(read("prefix").trim()));
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut app = app();
    app.manifest.build.commands = vec!["no-such-program-of-this-test --x".into()];
    let error = app.prepare().unwrap_err();
    assert_eq!(
        error.causes,
        ["`no-such-program-of-this-test` is not on this machine"]
    );
    // A package manager of Node is looked for beforehand.
    app.machine = app.machine.clone().with("PATH", "/nowhere");
    app.manifest.build.commands = vec!["yarn install".into()];
    let findings = app.check();
    let found = findings.iter().find(|finding| finding.blocks);
    assert_eq!(
        found.and_then(|finding| finding.hint.as_deref()),
        Some("npm install --global yarn"),
        "{findings:#?}"
    );
}
