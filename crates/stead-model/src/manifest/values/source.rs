//! What is in a source tree: paths, entry points, versions and packages.

use super::no_nul;
use crate::config_error::Problem;
use crate::manifest::shorten;

/// A path inside the source: relative, without `..`. Comes back without `.` and double slashes.
/// The top itself is `.`.
pub(crate) fn relative_path(text: &str) -> Result<String, Problem> {
    no_nul(text)?;
    if text.is_empty() {
        return Err(Problem::new("it is empty"));
    }
    let shown = shorten(text);
    if text.starts_with('/') {
        return Err(Problem::new(format!(
            "`{shown}` is absolute; a path here is relative to the app's root"
        )));
    }
    if text.starts_with('~') {
        return Err(Problem::new(format!(
            "`{shown}` begins with `~`; a path here is relative to the app's root"
        )));
    }
    if text.contains(|c: char| c.is_control()) {
        return Err(Problem::new("it contains a control character"));
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                return Err(Problem::new(format!(
                    "`{shown}` leads out of the source with `..`"
                )));
            }
            part => parts.push(part),
        }
    }
    Ok(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}

/// A path inside the source that is not its top.
pub(crate) fn path_below(text: &str) -> Result<String, Problem> {
    match relative_path(text)?.as_str() {
        "." => Err(Problem::new(
            "it is the whole source; name something inside of it",
        )),
        path => Ok(path.to_owned()),
    }
}

/// A file of the source, or of the machine: `htpasswd`, `/etc/shop/htpasswd`.
pub(crate) fn file_of_route(text: &str) -> Result<String, Problem> {
    let Some(below) = text.strip_prefix('/') else {
        return path_below(text);
    };
    path_below(below).map(|path| format!("/{path}"))
}

/// `"3.11"` or `"3.11.4"`, 3.6 and up.
pub(crate) fn python_version(text: &str) -> Result<String, Problem> {
    let shown = shorten(text);
    let example = "for example: python = \"3.11\"";
    let bare = text
        .trim()
        .trim_start_matches("python-")
        .trim_start_matches("python")
        .trim_start_matches(['=', 'v']);
    let parts: Option<Vec<u32>> = bare
        .split('.')
        .map(|part| {
            part.parse()
                .ok()
                .filter(|_| part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit()))
        })
        .collect();
    let parts = match parts {
        Some(parts) if (2..=3).contains(&parts.len()) => parts,
        Some(parts) if parts == [3] => {
            return Err(Problem::new("`3` names no minor version").hint(example));
        }
        _ => {
            return Err(
                Problem::new(format!("`{shown}` is not a version such as 3.11 or 3.11.4"))
                    .hint(example),
            );
        }
    };
    if parts[0] != 3 || parts[1] < 6 {
        return Err(Problem::new(format!(
            "Python {bare} is not supported: 3.6 is the oldest"
        )));
    }
    if bare != text {
        return Err(Problem::new(format!("`{shown}` is not a bare version"))
            .hint(format!("python = \"{bare}\"")));
    }
    Ok(text.to_owned())
}

/// A date, `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Result<String, Problem> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| {
            if i == 4 || i == 7 {
                b == b'-'
            } else {
                b.is_ascii_digit()
            }
        });
    if shape && text.parse::<jiff::civil::Date>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("`{}` is not a date", shorten(text)))
        .hint("a date is written YYYY-MM-DD: \"2022-12-01\""))
}

/// The name of a Debian package.
pub(crate) fn package(text: &str) -> Result<String, Problem> {
    let fits = text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    if fits {
        return Ok(text.to_owned());
    }
    let problem = Problem::new(format!(
        "`{}` is not the name of a system package",
        shorten(text)
    ));
    Err(match text.split_whitespace().count() > 1 {
        true => problem.hint("one name for each string: [\"poppler-utils\", \"libpq-dev\"]"),
        false => problem,
    })
}

/// `"module:attribute"` or `"module:factory()"`.
pub(crate) fn entry_point(text: &str) -> Result<String, Problem> {
    let example = "an entry point is `module:attribute` or `module:factory()`: \"shop:app\", \"shop.web:create_app()\"";
    let shown = shorten(text);
    let bad = |why: String| Problem::new(why).hint(example);
    if text.is_empty() {
        return Err(bad("it is empty".into()));
    }
    let Some((module, attribute)) = text.split_once(':') else {
        let problem = Problem::new(format!("`{shown}` names no attribute after a `:`"));
        let module = text.trim_end_matches(".py").replace('/', ".");
        return Err(match module_name(&module) {
            true => problem.hint(format!("for example: \"{module}:app\"")),
            false => problem.hint(example),
        });
    };
    if module.contains('/') || module.ends_with(".py") {
        let module = module
            .trim_end_matches(".py")
            .trim_start_matches("./")
            .replace('/', ".");
        return Err(
            Problem::new(format!("`{shown}` names a file, not a module"))
                .hint(format!("\"{module}:{attribute}\"")),
        );
    }
    if module.is_empty() {
        return Err(bad(format!("`{shown}` names no module before the `:`")));
    }
    if !module_name(module) {
        return Err(bad(format!(
            "`{}` is not the name of a Python module",
            shorten(module)
        )));
    }
    let dotted = attribute.strip_suffix("()").unwrap_or(attribute);
    if let Some((factory, arguments)) = dotted.split_once('(') {
        return match arguments.ends_with(')') && dotted_name(factory, false) {
            true => Err(Problem::new(format!("`{shown}` passes arguments to a factory"))
                .hint("call the factory in a module of your own, for example wsgi.py, and name that: \"wsgi:app\"")),
            false => Err(bad(format!("`{shown}` is not an entry point"))),
        };
    }
    if attribute.is_empty() {
        return Err(bad(format!("`{shown}` names no attribute after the `:`")));
    }
    if !dotted_name(dotted, false) {
        return Err(bad(format!(
            "`{}` is not the name of an attribute",
            shorten(attribute)
        )));
    }
    Ok(text.to_owned())
}

fn module_name(text: &str) -> bool {
    dotted_name(text, true)
}

/// Identifiers joined by dots. A module's file may have `-` in its name.
fn dotted_name(text: &str, dashes: bool) -> bool {
    text.len() <= 400
        && text.split('.').all(|part| {
            part.starts_with(|c: char| {
                c == '_' || c.is_alphabetic() || (dashes && c.is_ascii_digit())
            }) && part
                .chars()
                .all(|c| c == '_' || c.is_alphanumeric() || (dashes && c == '-'))
        })
}
