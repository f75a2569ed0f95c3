//! Pipfile.lock and Pipfile as requirements.

use std::path::Path;

use serde_json::{Map, Value};

/// The `default` packages of a Pipfile.lock, one line each.
pub(super) fn from_lock(lock: &Value, code: &Path) -> String {
    let empty = Map::new();
    let packages = lock
        .get("default")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let mut text = sources(lock.pointer("/_meta/sources"));
    for (name, package) in packages {
        text.push_str(&line(name, package, code));
        text.push('\n');
    }
    text
}

/// `[packages]` of a Pipfile, which says less: versions may be open.
pub(super) fn from_pipfile(pipfile: &Value, code: &Path) -> String {
    let empty = Map::new();
    let packages = pipfile
        .get("packages")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let mut text = sources(pipfile.get("source"));
    for (name, package) in packages {
        text.push_str(&line(name, package, code));
        text.push('\n');
    }
    text
}

/// The first source replaces the index, the others are asked too; PyPI is what is asked anyway.
fn sources(sources: Option<&Value>) -> String {
    let urls: Vec<&str> = sources
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|source| source.get("url")?.as_str())
        .collect();
    let is_pypi = |url: &str| url.contains("//pypi.org/") || url.contains("//pypi.python.org/");
    let mut text = String::new();
    for (at, url) in urls.iter().enumerate() {
        match at {
            0 if is_pypi(url) => {}
            0 => text.push_str(&format!("--index-url {url}\n")),
            _ => text.push_str(&format!("--extra-index-url {url}\n")),
        }
    }
    text
}

fn line(name: &str, package: &Value, code: &Path) -> String {
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let list = |key: &str| -> Vec<&str> {
        package
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let extras = match list("extras").as_slice() {
        [] => String::new(),
        extras => format!("[{}]", extras.join(",")),
    };
    let marker = marker(package);
    let editable = package.get("editable").and_then(Value::as_bool) == Some(true);
    let repository = ["git", "hg", "svn", "bzr"]
        .iter()
        .find_map(|kind| Some((*kind, text(kind)?)));
    if let Some((kind, url)) = repository {
        let url = match url.starts_with(&format!("{kind}+")) {
            true => url.to_owned(),
            false => format!("{kind}+{url}"),
        };
        let reference = text("ref")
            .map(|name| format!("@{name}"))
            .unwrap_or_default();
        let below = text("subdirectory")
            .map(|path| format!("#subdirectory={path}"))
            .unwrap_or_default();
        return format!("{name}{extras} @ {url}{reference}{below}{marker}");
    }
    if let Some(path) = text("path") {
        let path = code.join(path);
        return match editable {
            true => format!("-e {}{extras}", path.display()),
            false => format!("{name}{extras} @ file://{}{marker}", path.display()),
        };
    }
    if let Some(file) = text("file") {
        let url = match file.contains("://") {
            true => file.to_owned(),
            false => format!("file://{}", code.join(file).display()),
        };
        return format!("{name}{extras} @ {url}{marker}");
    }
    let version = package.as_str().or(text("version")).unwrap_or("*");
    let version = if version == "*" { "" } else { version };
    let mut line = format!("{name}{extras}{version}{marker}");
    for hash in list("hashes") {
        line.push_str(&format!(" --hash={hash}"));
    }
    line
}

/// `markers = "…"`, or a Pipfile's `sys_platform = "== 'linux'"` and the like.
fn marker(package: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    let Some(table) = package.as_object() else {
        return String::new();
    };
    for (key, value) in table {
        let Some(value) = value.as_str() else {
            continue;
        };
        match key.as_str() {
            "markers" => parts.push(format!("({value})")),
            "os_name"
            | "sys_platform"
            | "platform_machine"
            | "platform_system"
            | "python_version"
            | "python_full_version"
            | "implementation_name"
            | "platform_python_implementation" => {
                parts.push(format!("{key} {value}"));
            }
            _ => {}
        }
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" ; {}", parts.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_locked_package_becomes_a_line() {
        let lock: Value = serde_json::from_str(
            r#"{"_meta":{"sources":[{"name":"pypi","url":"https://pypi.org/simple"},{"url":"https://inner.example/simple"}]},
            "default":{
              "flask":{"hashes":["sha256:aa","sha256:bb"],"index":"pypi","markers":"python_version >= '3.8'","version":"==3.0.0"},
              "celery":{"extras":["redis"],"version":"==5.3.0"},
              "inner":{"git":"https://git.example/inner.git","ref":"abc","subdirectory":"py"},
              "own":{"editable":true,"path":"."},
              "wheel-of":{"file":"https://x.example/w.whl"}},
            "develop":{"pytest":{"version":"==8"}}}"#,
        )
        .unwrap();
        let expected = "--extra-index-url https://inner.example/simple\n\
            flask==3.0.0 ; (python_version >= '3.8') --hash=sha256:aa --hash=sha256:bb\n\
            celery[redis]==5.3.0\n\
            inner @ git+https://git.example/inner.git@abc#subdirectory=py\n\
            -e /code/.\n\
            wheel-of @ https://x.example/w.whl\n";
        assert_eq!(from_lock(&lock, Path::new("/code")), expected);
    }

    #[test]
    fn a_pipfile_without_a_lock_keeps_its_open_versions() {
        let pipfile: Value = serde_json::from_str(
            r#"{"source":[{"url":"https://mirror.example/simple"}],
            "packages":{"flask":"*","redis":{"version":">=4","extras":["hiredis"],"sys_platform":"== 'linux'"}}}"#,
        )
        .unwrap();
        assert_eq!(
            from_pipfile(&pipfile, Path::new("/code")),
            "--index-url https://mirror.example/simple\nflask\nredis[hiredis]>=4 ; sys_platform == 'linux'\n"
        );
    }
}
