use stead_model::manifest::{Route, Server};

use crate::test_app::App;

fn text(app: &App) -> String {
    let lines: Vec<String> = app
        .check()
        .iter()
        .map(|finding| format!("{}{}", if finding.blocks { "! " } else { "" }, finding.text))
        .collect();
    lines.join("\n")
}

#[test]
fn check_says_what_would_be_done_and_does_nothing() {
    let mut app = App::wsgi();
    app.write("requirements.txt", "itsdangerous==2.2.0\n")
        .write("app.py", "app = 1\n");
    app.manifest.build.commands = vec!["touch made".into()];
    let said = text(&app);
    assert!(
        said.contains("an environment is built for `requirements.txt`"),
        "{said}"
    );
    assert!(said.contains("build command `touch made` runs"), "{said}");
    assert!(
        said.contains("process.web: 2 × CPU + 1 instances"),
        "{said}"
    );
    assert!(
        said.contains("stead_worker.py --threads 16 app:app`"),
        "{said}"
    );
    assert!(!said.contains("! "), "{said}");
    assert!(!app.dir().join("made").exists() && !app.state().join("worker").exists());
    app.prepare().unwrap();
    let said = text(&app);
    assert!(
        said.contains("the environment for `requirements.txt` is there"),
        "{said}"
    );
    assert!(said.contains("`touch made`: unchanged"), "{said}");
}

#[test]
fn what_would_fail_is_told_as_such() {
    let mut app = App::wsgi();
    app.manifest.build.python = Some("3.99".into());
    assert!(text(&app).contains("! cannot find Python 3.99"));
    app.manifest.build.python = None;
    app.manifest.build.index = Some("nowhere".into());
    assert!(text(&app).contains("! cannot use the package index"));
    app.manifest.build.index = None;
    app.manifest.build.requirements = Some("gone.txt".into());
    assert!(text(&app).contains("! cannot read `gone.txt`"));
}

#[test]
fn what_is_missing_in_the_source_is_told() {
    let mut app = App::wsgi();
    app.manifest.route = vec![Route {
        path: "/".into(),
        static_folders: [("/static".to_owned(), "static".to_owned())].into(),
        ..Route::default()
    }];
    app.write("requirements.txt", "# none\n")
        .write("manage.py", "");
    let said = text(&app);
    assert!(
        said.contains("the module `app` is not in the code"),
        "{said}"
    );
    assert!(said.contains("the folder `static` is not there"), "{said}");
    assert!(app.check().iter().any(|finding| {
        finding
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("collectstatic"))
    }));
}

#[test]
fn a_server_that_is_not_listed_is_told_before_anything_is_built() {
    let mut app = App::wsgi();
    app.web().server = Some(Server::Gunicorn);
    app.write("requirements.txt", "flask\n")
        .write("app.py", "app = 1\n");
    let said = text(&app);
    assert!(
        said.contains("`gunicorn` is not in `requirements.txt`"),
        "{said}"
    );
    app.write("requirements.txt", "flask\ngunicorn==22\n");
    assert!(!text(&app).contains("is not in `requirements.txt`"));
}

#[test]
fn a_secret_without_a_value_is_missing() {
    let mut app = App::wsgi();
    app.write("requirements.txt", "# none\n")
        .write("app.py", "app = 1\n");
    let secret = |generate| stead_model::manifest::Secret { generate };
    let name = "STEAD_TEST_SECRET_OF_CHECK".to_owned();
    app.manifest.secret.insert(name.clone(), secret(false));
    let said = text(&app);
    assert!(
        said.contains("! the secret `STEAD_TEST_SECRET_OF_CHECK` has no value"),
        "{said}"
    );
    let stored = app.state().join("secrets").join(&name);
    std::fs::create_dir_all(stored.parent().unwrap()).unwrap();
    std::fs::write(&stored, "x").unwrap();
    assert!(!text(&app).contains("has no value"));
    std::fs::remove_file(&stored).unwrap();
    app.manifest.secret.insert(name, secret(true));
    assert!(!text(&app).contains("! "), "{}", text(&app));
}

#[test]
fn a_module_on_the_python_path_is_not_missing() {
    let mut app = App::wsgi();
    app.write("requirements.txt", "# none\n")
        .write("my-app/app.py", "app = 1\n");
    assert!(text(&app).contains("the module `app` is not in the code"));
    let env = &mut app.manifest.env;
    env.insert("PYTHONPATH".into(), "lib:my-app".into());
    assert!(!text(&app).contains("is not in the code"));
}

#[test]
fn a_folder_that_a_build_command_may_make_is_not_missing() {
    let mut app = App::wsgi();
    app.manifest.route = vec![Route {
        path: "/".into(),
        static_folders: [("/static".to_owned(), "static".to_owned())].into(),
        ..Route::default()
    }];
    app.manifest.build.commands = vec!["python manage.py collectstatic --noinput".into()];
    app.write("requirements.txt", "# none\n")
        .write("app.py", "app = 1\n")
        .write("manage.py", "");
    assert!(!text(&app).contains("is not there"), "{}", text(&app));
}

#[test]
fn the_file_that_asks_for_a_python_is_named() {
    let mut app = App::wsgi();
    app.write("requirements.txt", "# none\n")
        .write(".python-version", "3.99.1\n");
    app.manifest.build.python = Some("3.99".into());
    let said = text(&app);
    assert!(said.contains("`.python-version` asks for it"), "{said}");
    app.manifest.build.python = Some("3.98".into());
    assert!(text(&app).contains("`build.python` asks for it"));
}
