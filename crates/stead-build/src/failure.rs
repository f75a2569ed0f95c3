//! From what an installer printed to an error that names the package, the cause and the line to add.
//!
//! The tables below are data: what is looked for is text that the real programs print, and
//! `tests/` holds whole outputs that were captured from them.

mod tables;

use crate::Error;
use crate::interpreter::Want;
use crate::interpreter::wanted::Version;

pub(crate) use tables::Remedy;

/// What is known where an installation failed.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The act, when the output does not name one package: ``cannot install the packages of `requirements.txt` ``.
    pub(crate) act: &'a str,
    /// The Python that was used.
    pub(crate) python: Version,
    /// The Pythons of this machine.
    pub(crate) available: &'a [Version],
    /// `build.packages`.
    pub(crate) packages: &'a [String],
    /// The index that was asked, for messages.
    pub(crate) index: &'a str,
}

/// Turn the failing program's output into an error. What is not known is shown in uv's own words.
pub(crate) fn explain(lines: &[String], context: &Context<'_>) -> Error {
    let mut text = lines.join("\n");
    text.push('\n');
    let packages = failed_packages(&text);
    let (act, name) = match &packages {
        Some((asked, failed)) => (format!("cannot install `{asked}`"), failed.as_str()),
        None => (context.act.to_owned(), "a package"),
    };
    let mut error = known(&text, &act, name, context).unwrap_or_else(|| {
        let mut causes = own_words(&text);
        causes.extend(last_words(&text));
        Error::new(act, causes)
    });
    error.output = tail(lines);
    error
}

/// What to try again with, for a package whose own build asks for too little.
pub(crate) fn remedy(lines: &[String], tried: &[&'static Remedy]) -> Option<&'static Remedy> {
    let text = lines.join("\n");
    tables::REMEDIES.iter().find(|remedy| {
        let again = tried
            .iter()
            .any(|other| other.constraint == remedy.constraint);
        !again && remedy.signs.iter().any(|sign| text.contains(sign))
    })
}

fn known(text: &str, act: &str, name: &str, context: &Context<'_>) -> Option<Error> {
    let error = |causes: Vec<String>| Error::new(act, causes);
    if text.contains("No space left on device") || text.contains("os error 28") {
        return Some(error(vec!["the disk is full".into()]).hinted("df -h"));
    }
    if let Some(error) = network(text, act, context) {
        return Some(error);
    }
    if text.contains("Git operation failed") && !text.contains("Git executable not found") {
        let address = text.split('\'').find(|part| {
            (part.contains("://") || part.contains("git@")) && !part.contains(char::is_whitespace)
        });
        let why = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("fatal: "));
        return Some(
            error(vec![
                format!(
                    "the repository {} cannot be fetched",
                    address.unwrap_or("of a package")
                ),
                why.unwrap_or("git failed").to_owned(),
            ])
            .hinted("git ls-remote ADDRESS shows whether it is reached from here, and as whom"),
        );
    }
    if let Some(file) = between(text, "Couldn't parse requirement in `", "`") {
        let mut lines = text
            .lines()
            .skip_while(|line| !line.contains("Couldn't parse"));
        let marked = lines.position(|line| line.trim() == "^" || line.trim().starts_with("^^"));
        let all: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.contains("Couldn't parse"))
            .collect();
        let line = marked.and_then(|at| all.get(at.checked_sub(1)?));
        let line = line.map_or("a line", |line| line.trim());
        return Some(
            error(vec![format!(
                "`{file}` has a line that is no requirement: `{line}`"
            )])
            .hinted("one package a line, such as `flask==3.0.3`; comments begin with #"),
        );
    }
    if text.contains("Hash mismatch for") {
        return Some(
            error(vec![
                "the file of the index is not the one that the hash was made of".into(),
                quoted(text, "Expected:"),
            ])
            .hinted("make the hashes again with the tool that wrote them; a mirror that changes files is not to be trusted"),
        );
    }
    if text.contains("--require-hashes") && text.contains("error: In") {
        let mut causes =
            vec!["some requirements have a hash, so that every one must have one".into()];
        causes.extend(own_words(text));
        return Some(
            error(causes)
                .hinted("uv pip compile --generate-hashes requirements.in -o requirements.txt"),
        );
    }
    if let Some(range) = between(text, "does not satisfy Python", " and ") {
        return Some(wrong_python(text, act, range, context));
    }
    if text.contains("No solution found when resolving") {
        return Some(unresolvable(text, act, context));
    }
    // What a compiler complains of last is often a consequence; a missing file is a cause.
    if let Some(missing) = tables::SYSTEM
        .iter()
        .find(|missing| missing.signs.iter().any(|sign| text.contains(sign)))
    {
        return Some(missing_package(text, act, name, missing, context));
    }
    let old = tables::TOO_OLD.iter().find(|old| {
        (context.python.0, context.python.1) >= old.since
            && old.signs.iter().any(|sign| text.contains(sign))
    });
    if let Some(old) = old {
        return Some(too_old(act, name, old.since, old.why, context));
    }
    if let Some(header) = between(text, "fatal error: ", ": No such file") {
        return Some(
            error(vec![format!(
                "`{name}` is built from source, and the header `{header}` is not on this machine"
            )])
            .hinted(format!(
                "apt-file search {header}, then add the package to `packages` under [build]"
            )),
        );
    }
    if text.contains("error: command 'gcc' failed")
        || text.contains("error: Command '['gcc'")
        || text.contains("error: command '/usr/bin/gcc' failed")
    {
        let since = (context.python.0, context.python.1);
        return Some(too_old(
            act,
            name,
            since,
            "its C code does not compile",
            context,
        ));
    }
    not_built(act, name, text, context)
}

fn network(text: &str, act: &str, context: &Context<'_>) -> Option<Error> {
    let asked = between(text, "Failed to fetch: ", "\n")
        .map(|url| url.trim_matches('`').to_owned())
        .unwrap_or_else(|| context.index.to_owned());
    let why = [
        (
            "invalid peer certificate",
            "its certificate is not trusted here",
        ),
        ("dns error", "its name cannot be resolved"),
        ("Connection refused", "it refuses the connection"),
        ("timed out", "it does not answer in time"),
        ("Network is unreachable", "this machine has no network"),
        ("Missing credentials", "it wants a user and password"),
        ("401 Unauthorized", "it wants a user and password"),
        ("403 Forbidden", "it forbids this request"),
        ("407 Proxy", "the proxy wants a user and password"),
        ("503 Service", "it is out of service"),
        ("502 Bad Gateway", "it is out of service"),
        ("client error (Connect)", "it cannot be reached"),
    ];
    let fetching = text.contains("Failed to fetch")
        || text.contains("Request failed")
        || text.contains("error sending request");
    let (sign, why) = why
        .iter()
        .find(|(sign, _)| fetching && text.contains(sign))?;
    let error = Error::new(
        act,
        vec![
            format!("the package index does not answer: {asked}"),
            (*why).to_owned(),
        ],
    );
    Some(match *sign {
        "invalid peer certificate" => {
            error.hinted("set SSL_CERT_FILE to a file that has your company's certificate authority")
        }
        "Missing credentials" | "401 Unauthorized" => {
            error.hinted("put them into the address: `index = \"https://USER:PASSWORD@…/simple\"` in UV_DEFAULT_INDEX or pip.conf")
        }
        _ => error.hinted(
            "set `index` under [build] to a mirror that is reachable from here (`tuna`, `aliyun`, `https://…/simple`), or HTTPS_PROXY",
        ),
    })
}

fn wrong_python(text: &str, act: &str, range: &str, context: &Context<'_>) -> Error {
    let needs = between(text, "satisfy Python", " we can conclude")
        .and_then(|rest| between(rest, " and ", " depends on Python"))
        .unwrap_or("a package");
    let causes = vec![format!(
        "`{needs}` needs Python {range}, and this is Python {}",
        context.python
    )];
    let fitting = Want::parse(range, "").and_then(|want| {
        let mut fitting: Vec<&Version> = context
            .available
            .iter()
            .filter(|version| want.allows(**version))
            .collect();
        fitting.sort_unstable();
        fitting.pop()
    });
    let hint = match fitting {
        Some(version) => format!(
            "set `python = \"{}.{}\"` under [build]",
            version.0, version.1
        ),
        None => format!(
            "no Python {range} is on this machine: install one, or ask for another version of `{needs}`"
        ),
    };
    Error::new(act, causes).hinted(hint)
}

fn unresolvable(text: &str, act: &str, context: &Context<'_>) -> Error {
    let words = own_words(text);
    if let Some(name) = between(text, "Because ", " was not found in the package registry") {
        let name = name.rsplit([' ', '\n']).next().unwrap_or(name);
        return Error::new(
            act,
            vec![format!("the index ({}) has no package `{name}`", context.index)],
        )
        .hinted("check the spelling; a package of your own company needs its index: `index = \"https://…/simple\"` under [build]");
    }
    if let Some(wanted) = between(text, "Because there is no version of ", " and ") {
        return Error::new(
            act,
            vec![format!("the index ({}) has no version `{wanted}`", context.index)],
        )
        .hinted("ask for a version that exists; one that was withdrawn or is newer than `exclude-newer` does not count");
    }
    if text.contains("has no usable wheels") || text.contains("no wheels with a matching Python") {
        let name = between(text, "Because ", " has no").unwrap_or("a package");
        if let Some(error) = other_wheels(text, act, name, context) {
            return error;
        }
        return too_old(
            act,
            name,
            (context.python.0, context.python.1),
            "there is no ready-made build of it for this Python",
            context,
        );
    }
    let mut causes = vec!["no set of versions satisfies all requirements".to_owned()];
    causes.extend(words.into_iter().skip(1));
    Error::new(act, causes)
}

/// uv says for which Pythons there are ready-made builds: "the following Python ABI tags: `cp37m`, `cp38`".
fn other_wheels(text: &str, act: &str, name: &str, context: &Context<'_>) -> Option<Error> {
    let tags = text
        .split_once("the following Python ABI tag")
        .map(|(_, rest)| rest.lines().next().unwrap_or_default())?;
    let mut series: Vec<(u32, u32)> = tags
        .split('`')
        .filter_map(|tag| {
            let digits = tag
                .strip_prefix("cp")?
                .trim_end_matches(['m', 'u', 't', 'd']);
            let (major, minor) = digits.split_at_checked(1)?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .collect();
    series.sort_unstable();
    series.dedup();
    let newest = *series.last()?;
    let names: Vec<String> = series.iter().map(|(a, b)| format!("{a}.{b}")).collect();
    let here = context
        .available
        .iter()
        .map(|version| (version.0, version.1));
    let hint = match here.filter(|here| series.contains(here)).max() {
        Some((major, minor)) => format!(
            "set `python = \"{major}.{minor}\"` under [build], or ask for another version of the package"
        ),
        None => format!(
            "ask for another version of the package, or install Python {}.{}",
            newest.0, newest.1
        ),
    };
    let causes = vec![
        format!(
            "there is no ready-made build of `{name}` for Python {}",
            context.python
        ),
        format!("there are some for Python {}", names.join(", ")),
    ];
    Some(Error::new(act, causes).hinted(hint))
}

/// A build from source that failed for a reason that is not known: what is known is that there was no
/// ready-made one.
fn not_built(act: &str, name: &str, text: &str, context: &Context<'_>) -> Option<Error> {
    let failed = text.contains("The build backend returned an error")
        || text.contains("Failed to build `")
        || text.contains("failed (exit status:");
    // The app's own package is no matter of versions.
    let own = text.contains(&format!("{name} @ file://"));
    if !failed || own || name == "a package" {
        return None;
    }
    let bare = name.split("==").next().unwrap_or(name);
    let older = context.available.iter().filter(|version| {
        version.0 == 3 && (version.0, version.1) < (context.python.0, context.python.1)
    });
    let hint = match older.max() {
        Some(version) => format!(
            "ask for a newer version of `{bare}`, or set an older `python` under [build], such as \"{}.{}\"",
            version.0, version.1
        ),
        None => format!("ask for a newer version of `{bare}`"),
    };
    let mut causes = vec![format!(
        "there is no ready-made build of `{name}` for Python {}, and building it from source failed",
        context.python
    )];
    causes.extend(last_words(text));
    Some(Error::new(act, causes).hinted(hint))
}

/// The exception that a build ended with.
fn last_words(text: &str) -> Option<String> {
    let mut lines = text.lines().rev().map(str::trim);
    lines
        .find(|line| {
            let name = line.split(':').next().unwrap_or_default();
            let last = name.rsplit('.').next().unwrap_or(name);
            !name.contains(' ')
                && (last.ends_with("Error") || last.ends_with("Exception") || last == "SystemExit")
        })
        .map(|line| format!("the build ended with: {line}"))
}

fn missing_package(
    text: &str,
    act: &str,
    name: &str,
    missing: &tables::Missing,
    context: &Context<'_>,
) -> Error {
    let sign = missing
        .signs
        .iter()
        .find(|sign| text.contains(*sign))
        .unwrap_or(&"a file");
    let sign = sign.split(": No such").next().unwrap_or(sign);
    let causes = vec![
        format!(
            "`{name}` is built from source, and that needs {}",
            missing.what
        ),
        format!("the build stopped at: {sign}"),
    ];
    let names = missing.packages.replace(
        "python3-dev",
        &format!("python{}.{}-dev", context.python.0, context.python.1),
    );
    let mut all: Vec<String> = context.packages.to_vec();
    all.extend(
        names
            .split(' ')
            .filter(|name| !context.packages.iter().any(|other| other == name))
            .map(str::to_owned),
    );
    let list: Vec<String> = all.iter().map(|name| format!("\"{name}\"")).collect();
    let mut hint = format!(
        "apt-get install {names}, and add `packages = [{}]` under [build]",
        list.join(", ")
    );
    if let Some(instead) = missing.instead {
        hint.push_str(&format!("; or {instead}"));
    }
    Error::new(act, causes).hinted(hint)
}

fn too_old(act: &str, name: &str, since: (u32, u32), why: &str, context: &Context<'_>) -> Error {
    let cause = format!(
        "`{name}` is older than Python {}.{} and does not work with it: {why}",
        since.0, since.1
    );
    let mut older: Vec<&Version> = context
        .available
        .iter()
        .filter(|version| (version.0, version.1) < since && version.0 == 3)
        .collect();
    older.sort_unstable();
    let hint = match older.last() {
        Some(version) => format!(
            "set `python = \"{}.{}\"` under [build], or ask for a newer version of the package",
            version.0, version.1
        ),
        None => format!(
            "ask for a newer version of the package, or install a Python older than {}.{}",
            since.0, since.1
        ),
    };
    Error::new(
        act,
        vec![cause, format!("this is Python {}", context.python)],
    )
    .hinted(hint)
}

/// The packages that uv says it could not build or download: the one that the app asked for, and
/// the one that failed, which may be needed only to build the first.
fn failed_packages(text: &str) -> Option<(String, String)> {
    let mut found = text.lines().filter_map(|line| {
        let line = line.trim();
        let said = line
            .strip_prefix("error: ")
            .or_else(|| line.strip_prefix("cause: "))?;
        let rest = said.strip_prefix("Failed to ")?;
        let named = ["build `", "download and build `", "download `", "prepare `"];
        let name = named
            .iter()
            .find_map(|start| rest.strip_prefix(start))?
            .split('`')
            .next()?;
        // `name @ file:///…` is a package of the app's own.
        Some(name.split(" @ ").next().unwrap_or(name).to_owned())
    });
    let first = found.next()?;
    let last = found.next_back().unwrap_or_else(|| first.clone());
    Some((first, last))
}

/// uv's own explanation: its `error:` and `cause:` lines.
fn own_words(text: &str) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let trimmed = line.trim();
        let said = trimmed
            .strip_prefix("error: ")
            .or_else(|| trimmed.strip_prefix("cause: "))
            .filter(|_| !line.starts_with("    "));
        if let Some(said) = said {
            causes.push(said.to_owned());
            open = true;
            continue;
        }
        match causes.last_mut() {
            Some(last)
                if open
                    && line.starts_with("         ")
                    && !trimmed.is_empty()
                    && !trimmed.starts_with('[') =>
            {
                last.push(' ');
                last.push_str(trimmed);
            }
            _ => open = false,
        }
    }
    causes.truncate(6);
    causes
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    let (found, _) = rest.split_once(end)?;
    Some(found.trim())
}

/// The lines below a heading, on one line.
fn quoted(text: &str, heading: &str) -> String {
    let rest = text.split_once(heading).map_or("", |(_, rest)| rest);
    let words: Vec<&str> = rest.split_whitespace().collect();
    format!("expected {}", words.join(" ").to_lowercase())
}

/// The end of the output, without uv's hint, which the error replaces.
fn tail(lines: &[String]) -> Vec<String> {
    let end = lines
        .iter()
        .position(|line| line.starts_with("hint: "))
        .unwrap_or(lines.len());
    let said: Vec<&String> = lines
        .iter()
        .take(end)
        .filter(|line| !line.trim().is_empty())
        .collect();
    let start = said.len().saturating_sub(20);
    said.into_iter().skip(start).cloned().collect()
}

#[cfg(test)]
mod tests;
