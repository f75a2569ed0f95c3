use super::*;

#[test]
fn a_lock_that_lacks_what_is_asked_for_is_refused_with_the_command_that_makes_it_again() {
    let lock: Table = "[[package]]\nname = \"flask-login\"\n".parse().unwrap();
    let project: Table =
        "[project]\ndependencies = [\"Flask_Login>=0.6\", \"colorama; python_version > '3'\"]\n\
         [tool.poetry.dependencies]\npython = \"^3.10\"\nRedis = \"*\"\n"
            .parse()
            .unwrap();
    let error = of_project("uv.lock", &lock, &project, "uv lock").unwrap_err();
    assert_eq!(error.act, "cannot use `uv.lock`");
    assert_eq!(
        error.causes,
        ["pyproject.toml asks for `colorama`, `redis`, which the lock does not have"]
    );
    assert_eq!(error.hint.as_deref(), Some("uv lock"));
    let full = "[[package]]\nname = \"flask-login\"\n[[package]]\nname = \"colorama\"\n[[package]]\nname = \"redis\"\n";
    assert!(of_project("uv.lock", &full.parse().unwrap(), &project, "uv lock").is_ok());
    let pipfile: Table = "[packages]\nflask = \"*\"\n".parse().unwrap();
    let lock = serde_json::json!({ "default": { "Flask": {} } });
    assert!(of_pipfile("Pipfile.lock", &lock, &pipfile).is_ok());
    let error = of_pipfile("Pipfile.lock", &serde_json::json!({}), &pipfile).unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("pipenv lock"));
}
