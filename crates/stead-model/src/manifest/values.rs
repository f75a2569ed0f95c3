//! What a single value may be. Pure functions from text to value, or why not.

use std::time::Duration;

use crate::config_error::{Problem, nearest};

use super::section::shorten;

/// `[a-z][a-z0-9-]{0,31}`.
pub(crate) fn app_name(text: &str) -> Result<String, Problem> {
    let fits = text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits {
        return Ok(text.to_owned());
    }
    let problem = Problem::new(format!(
        "`{}` is not a name of lower-case letters, digits and `-` that begins with a letter and has at most 32 characters",
        shorten(text)
    ));
    Err(problem.hint(format!("for example: app = \"{}\"", fit_app_name(text))))
}

/// A name that the app rule accepts, as near to `text` (a directory's name, say) as can be.
pub(crate) fn fit_app_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || (c.is_ascii_digit() && !name.is_empty()) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == 32 {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "app".to_owned()
    } else {
        name.to_owned()
    }
}

/// A name of a process, job or volume: it becomes part of unit names and paths.
pub(crate) fn name(text: &str) -> Result<(), Problem> {
    let fits = text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if fits {
        return Ok(());
    }
    Err(Problem::new(
        "a name is letters, digits, `-` and `_`, begins with a letter and has at most 32 characters",
    ))
}

/// The name of an environment variable.
pub(crate) fn variable_name(text: &str) -> Result<(), Problem> {
    let fits = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        return Err(Problem::new(
            "the name of a variable is letters, digits and `_`, and does not begin with a digit",
        ));
    }
    if matches!(text, "PORT" | "LISTEN_FDS" | "LISTEN_PID" | "NOTIFY_SOCKET")
        || text.starts_with("STEAD_")
    {
        return Err(Problem::new(
            "Stead sets this variable itself, differently for each instance",
        ));
    }
    Ok(())
}

/// The value of an environment variable.
pub(crate) fn variable_value(text: &str) -> Result<String, Problem> {
    no_nul(text).map(str::to_owned)
}

fn no_nul(text: &str) -> Result<&str, Problem> {
    match text.contains('\0') {
        true => Err(Problem::new("it contains a NUL character")),
        false => Ok(text),
    }
}

/// A shell line that is not blank.
pub(crate) fn shell_line(text: &str) -> Result<String, Problem> {
    no_nul(text)?;
    if text.trim().is_empty() {
        return Err(Problem::new("it is empty"));
    }
    Ok(text.to_owned())
}

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

/// `"30s"`, `"1h30m"`, `"500ms"`, `"0s"`.
pub(crate) fn duration(text: &str) -> Result<Duration, Problem> {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let example = "a duration is whole numbers with units: 500ms, 30s, 10m, 1h30m, 1d";
    let shown = shorten(text.trim());
    let bad = || Problem::new(format!("`{shown}` is not a duration")).hint(example);
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(Problem::new("the duration is empty").hint(example));
    }
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::new(format!("`{shown}` has no unit"))
            .hint(format!("for seconds: \"{shown}s\"")));
    }
    let mut milliseconds: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let place = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(bad)?;
        if place < next_unit {
            return Err(bad());
        }
        next_unit = place + 1;
        milliseconds = number
            .checked_mul(UNITS[place].1)
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or_else(|| Problem::new(format!("`{shown}` is too long")))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(milliseconds))
}

/// A duration between two others, both allowed.
pub(crate) fn duration_within(
    least: &str,
    most: &str,
) -> impl Fn(&str) -> Result<Duration, Problem> {
    move |text| {
        let value = duration(text)?;
        if value < duration(least)? {
            return Err(Problem::new(format!(
                "`{}` is less than {least}",
                shorten(text)
            )));
        }
        if value > duration(most)? {
            return Err(Problem::new(format!(
                "`{}` is more than {most}",
                shorten(text)
            )));
        }
        Ok(value)
    }
}

/// `"300M"`, `"100 MB"`, `"1G"`: bytes, with units that are powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, Problem> {
    let example = "a size is a whole number with a unit: 512K, 300M, 1G";
    let text = text.trim();
    let shown = shorten(text);
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(Problem::new(format!("`{shown}` is not a size")).hint(example));
    }
    let shift = match unit.trim_start().to_ascii_uppercase().as_str() {
        "" => {
            return Err(Problem::new(format!("`{shown}` has no unit"))
                .hint(format!("for megabytes: \"{shown}M\"")));
        }
        "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err(Problem::new(format!("`{shown}` is not a size")).hint(example)),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| Problem::new(format!("`{shown}` is too large")))?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes <= i64::MAX as u64)
        .ok_or_else(|| Problem::new(format!("`{shown}` is too large")))
}

/// A size that is not below `least`.
pub(crate) fn size_from(least: &str) -> impl Fn(&str) -> Result<u64, Problem> {
    move |text| {
        let value = size(text)?;
        match value < size(least)? {
            true => Err(Problem::new(format!(
                "`{}` is less than {least}",
                shorten(text)
            ))),
            false => Ok(value),
        }
    }
}

/// `"200-399"` or `"200"`.
pub(crate) fn status_range(text: &str) -> Result<(u16, u16), Problem> {
    let example = "a status or a range, from 100 to 599: \"200\", \"200-399\"";
    let bad = || {
        Problem::new(format!(
            "`{}` is not a range of HTTP statuses",
            shorten(text)
        ))
        .hint(example)
    };
    let one = |part: &str| {
        let part = part.trim();
        let plain = part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit());
        let value: u16 = part.parse().ok().filter(|_| plain).ok_or_else(bad)?;
        (100..=599)
            .contains(&value)
            .then_some(value)
            .ok_or_else(bad)
    };
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (one(low)?, one(high)?),
        None => (one(text)?, one(text)?),
    };
    if low > high {
        return Err(Problem::new(format!("`{text}` ends before it begins"))
            .hint(format!("for example: \"{high}-{low}\"")));
    }
    Ok((low, high))
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

/// A host name without scheme, port or path, lower-cased. `wildcard`: `*.example.com` too.
pub(crate) fn host(text: &str, wildcard: bool) -> Result<String, Problem> {
    let shown = shorten(text);
    let bad = |why: &str| Problem::new(format!("`{shown}` {why}"));
    if text.is_empty() {
        return Err(Problem::new("the host name is empty"));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let bare = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return Err(bad("is an URL, not a host name")
            .hint(format!("without scheme and path: \"{}\"", shorten(bare))));
    }
    if text.contains('/') {
        return Err(bad("has a path").hint("a host name alone; paths go into `path`"));
    }
    if let Some((bare, _)) = text.split_once(':') {
        return Err(match text.matches(':').count() {
            1 => bad("has a port").hint(format!("without the port: \"{bare}\"")),
            _ => bad("is not a host name"),
        });
    }
    if text == "*" {
        return Err(bad("is not a host name").hint("leave `hosts` out: every host is meant then"));
    }
    if !text.is_ascii() {
        return Err(bad("has letters that host names do not have")
            .hint("write it as browsers send it, beginning with xn--"));
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('.').unwrap_or(&lower);
    let name = match lower.strip_prefix("*.") {
        Some(name) if wildcard && name.contains('.') => name,
        Some(name) if wildcard => {
            return Err(bad("covers a whole top-level domain")
                .hint(format!("for example: \"*.example.{name}\"")));
        }
        Some(_) => return Err(bad("has a `*` where one host is wanted")),
        None => lower,
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(bad("is not a host name")
            .hint("letters, digits and `-`, joined by dots: \"shop.example.com\""));
    }
    Ok(lower.to_owned())
}

/// A path prefix of an URL: begins with `/`, comes back without a `/` at its end.
pub(crate) fn url_prefix(text: &str) -> Result<String, Problem> {
    let path = url_path(text)?;
    if path.contains(['?', '#', '*']) {
        return Err(
            Problem::new(format!("`{}` is not a plain path", shorten(text)))
                .hint("a prefix without `?`, `#` and `*`: \"/static\""),
        );
    }
    if path
        .split('/')
        .skip(1)
        .any(|part| part == "." || part == "..")
        || path.contains("//")
    {
        return Err(
            Problem::new(format!("`{}` is not a plain path", shorten(text)))
                .hint("a prefix without `.`, `..` and `//`"),
        );
    }
    let trimmed = path.trim_end_matches('/');
    Ok(if trimmed.is_empty() {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    })
}

/// A path of an URL, with a query if there is one.
pub(crate) fn url_path(text: &str) -> Result<String, Problem> {
    let shown = shorten(text);
    if !text.starts_with('/') {
        let problem = Problem::new(format!("`{shown}` does not begin with `/`"));
        return Err(match text.contains("://") {
            true => problem.hint("a path alone, without scheme and host: \"/health\""),
            false => problem.hint(format!("\"/{shown}\"")),
        });
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::new(format!(
            "`{shown}` has characters that must be percent-encoded in an URL"
        )));
    }
    if text.contains('#') {
        return Err(Problem::new(format!(
            "`{shown}` has a fragment, which is never sent to a server"
        )));
    }
    Ok(text.to_owned())
}

/// The name that is one of `known`.
pub(crate) fn one_of<T: Copy>(text: &str, known: &[(&'static str, T)]) -> Result<T, Problem> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names = || known.iter().map(|(name, _)| *name);
    let list: Vec<String> = names().map(|name| format!("\"{name}\"")).collect();
    let problem = Problem::new(format!(
        "`{}` is none of {}",
        shorten(text),
        list.join(", ")
    ));
    Err(match nearest(text, names()) {
        Some(name) => problem.hint(format!("did you mean \"{name}\"?")),
        None => problem,
    })
}
