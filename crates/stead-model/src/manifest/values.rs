//! What a single value may be. Pure functions from text to value, or why not.

mod http;
mod rate;
mod source;
mod web;

use std::time::Duration;

use crate::config_error::{Problem, nearest};

use super::section::shorten;

pub(crate) use http::{
    cache_pattern, destination, error_status, header_value, networks, password_hash,
    request_header, response_header, user_name,
};
pub(crate) use rate::rate;
pub(crate) use source::{
    date, entry_point, file_of_route, package, path_below, python_version, relative_path,
};
pub(crate) use web::{host, status_range, url_path, url_prefix};

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

/// A name of a process.
pub(crate) fn process_name(text: &str) -> Result<(), Problem> {
    name(text)?;
    match text {
        "release" => Err(
            Problem::new("what runs once for each release is no process")
                .hint("`[release]`, and `command` below it"),
        ),
        _ => Ok(()),
    }
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
