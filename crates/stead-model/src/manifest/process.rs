//! `[process.NAME]`: what is run, and which keys go together.

use std::time::Duration;

use toml::de::DeValue;

use super::parse::missing_hint;
use super::section::Section;
use super::{Count, Health, Process, Program, Server, Threads, keys, values};
use crate::config_error::Problem;

const PROGRAMS: [&str; 5] = ["wsgi", "asgi", "command", "static", "uwsgi"];

/// Keys about requests that came after the first ones, wherever those are listed.
const OF_VISITORS: [&str; 4] = ["connect-timeout", "idle-timeout", "total-timeout", "sticky"];

const SERVERS: &[(&str, Server)] = &[
    ("stead", Server::Stead),
    ("gunicorn", Server::Gunicorn),
    ("uwsgi", Server::Uwsgi),
    ("granian", Server::Granian),
    ("uvicorn", Server::Uvicorn),
];

/// `reached`: visitors reach this process.
pub(super) fn read(section: &Section<'_>, name: &str, reached: bool) -> Process {
    let process = Process {
        program: program(section),
        server: section.string("server", server),
        count: section.read("count", count).unwrap_or(if name == "web" {
            Count::Auto
        } else {
            Count::Fixed(1)
        }),
        threads: section.read("threads", threads).unwrap_or(Threads::Auto),
        preload: section.boolean("preload").unwrap_or(false),
        memory: section.size("memory", "1M"),
        timeout: section
            .duration("timeout", "1ms", "1d")
            .unwrap_or(Duration::from_secs(30)),
        connect_timeout: section
            .duration("connect-timeout", "1ms", "1h")
            .unwrap_or(Duration::from_secs(5)),
        idle_timeout: section.duration("idle-timeout", "1ms", "1d"),
        total_timeout: section.duration("total-timeout", "1ms", "1d"),
        sticky: section.boolean("sticky").unwrap_or(false),
        drain: section
            .duration("drain", "0s", "1d")
            .unwrap_or(Duration::from_secs(30)),
        health: health(section),
    };
    let given = section.has("timeout").then_some(process.timeout);
    section.within_total(
        &[("timeout", given), ("idle-timeout", process.idle_timeout)],
        process.total_timeout,
    );
    check_program(section, &process);
    if !reached && matches!(process.program, Program::Command(_)) {
        for key in ["health", "timeout"].into_iter().chain(OF_VISITORS) {
            if section.has(key) {
                section.conflict(
                    key,
                    "it is about visitors, and none reach this process",
                    format!("take it out, or add a `[[route]]` with process = \"{name}\""),
                );
            }
        }
    }
    process
}

fn program(section: &Section<'_>) -> Program {
    let given: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|name| section.has(name))
        .collect();
    match given.as_slice() {
        [] if PROGRAMS.into_iter().any(|name| section.has_or_means(name)) => {}
        [] => section.wrong(
            format!("`{}` does not say what to run", section.path),
            Some("add one of `wsgi`, `asgi`, `command`, `static`, `uwsgi`; for example: wsgi = \"shop:app\"".into()),
        ),
        [first, others @ ..] => {
            for other in others {
                section.conflict(
                    other,
                    format!("the process already has `{first}`"),
                    "one of the two; a second program is a second process".to_owned(),
                );
            }
        }
    }
    // All are read, so that a wrong one is reported even beside another.
    let mut programs = [
        section
            .string("wsgi", values::entry_point)
            .map(Program::Wsgi),
        section
            .string("asgi", values::entry_point)
            .map(Program::Asgi),
        section
            .string("command", values::shell_line)
            .map(Program::Command),
        section
            .string("static", values::relative_path)
            .map(Program::Static),
        section.string("uwsgi", uwsgi_file).map(Program::Uwsgi),
    ];
    programs
        .iter_mut()
        .find_map(Option::take)
        .unwrap_or(Program::Command(String::new()))
}

fn uwsgi_file(text: &str) -> Result<String, Problem> {
    let path = values::path_below(text)?;
    match path.ends_with(".ini") {
        true => Ok(path),
        false => Err(
            Problem::new(format!("`{}` is not an .ini file", super::shorten(text)))
                .hint("uwsgi configuration in XML, YAML or JSON is not supported yet"),
        ),
    }
}

/// Which keys have a meaning for which program.
fn check_program(section: &Section<'_>, process: &Process) {
    let program = match &process.program {
        Program::Wsgi(_) => "wsgi",
        Program::Asgi(_) => "asgi",
        Program::Command(_) => "command",
        Program::Static(_) => "static",
        Program::Uwsgi(_) => "uwsgi",
    };
    if !section.has(program) {
        return;
    }
    let refuse = |key: &str, why: &str, hint: Option<&str>| {
        if section.has(key) {
            section.conflict(key, why, hint.map(str::to_owned));
        }
    };
    match &process.program {
        Program::Wsgi(_) => {
            let server = process.server.unwrap_or(Server::Stead);
            if server == Server::Uvicorn {
                refuse(
                    "server",
                    "uvicorn runs ASGI applications, and this one is `wsgi`",
                    Some("leave `server` out, or write `asgi` if the app is one"),
                );
            }
            if process.sticky && server == Server::Stead {
                refuse(
                    "sticky",
                    "each thread of Stead's own worker takes whichever request waits longest",
                    Some("server = \"gunicorn\", if the app keeps sessions in memory"),
                );
            }
            if process.preload && server != Server::Stead {
                refuse(
                    "preload",
                    "only Stead's own worker preloads",
                    Some("leave `server` out, or `preload`"),
                );
            }
        }
        Program::Asgi(_) => {
            match process.server {
                Some(Server::Stead) => refuse(
                    "server",
                    "Stead's own worker runs WSGI, and this app is `asgi`",
                    Some("leave `server` out: uvicorn runs it"),
                ),
                Some(Server::Uwsgi) => refuse(
                    "server",
                    "uwsgi runs WSGI, and this app is `asgi`",
                    Some("leave `server` out: uvicorn runs it"),
                ),
                _ => {}
            }
            refuse(
                "threads",
                "an ASGI app takes many requests at once in one thread",
                Some("take it out; `count` gives more instances"),
            );
            refuse("preload", "only Stead's own WSGI worker preloads", None);
        }
        Program::Command(_) => {
            refuse(
                "server",
                "a `command` is its own server",
                Some("take it out, or give `wsgi` or `asgi` instead of `command`"),
            );
            refuse(
                "threads",
                "a `command` chooses its own threads",
                Some("give the command an argument for it"),
            );
            refuse(
                "preload",
                "only Stead's own WSGI worker preloads",
                Some("take it out, or give `wsgi` instead of `command`"),
            );
        }
        Program::Uwsgi(_) => {
            refuse(
                "server",
                "the server of `uwsgi` is uwsgi",
                Some("take it out"),
            );
            refuse(
                "threads",
                "the uwsgi file says how many",
                Some("set `threads` in that file"),
            );
            refuse(
                "preload",
                "only Stead's own WSGI worker preloads",
                Some("take it out, or give `wsgi` instead of `uwsgi`"),
            );
        }
        Program::Static(_) => {
            for key in [
                "server", "count", "threads", "preload", "memory", "timeout", "drain", "health",
            ]
            .into_iter()
            .chain(OF_VISITORS)
            {
                refuse(
                    key,
                    "the edge serves a `static` folder itself, no instance runs",
                    Some("take it out"),
                );
            }
        }
    }
}

fn server(text: &str) -> Result<Server, Problem> {
    let known = values::one_of(text, SERVERS);
    match text {
        "hypercorn" | "daphne" | "waitress" | "cheroot" | "bjoern" | "meinheld" | "mod_wsgi" => {
            known.map_err(|problem| Problem {
                hint: Some(format!(
                    "run it as a command that listens on $PORT: command = \"{text} …\""
                )),
                ..problem
            })
        }
        _ => known,
    }
}

fn count(value: &DeValue<'_>) -> Result<Count, Option<Problem>> {
    Ok(auto_or_number(value, "count", 0, 1000)?.map_or(Count::Auto, Count::Fixed))
}

fn threads(value: &DeValue<'_>) -> Result<Threads, Option<Problem>> {
    Ok(auto_or_number(value, "threads", 1, 256)?.map_or(Threads::Auto, Threads::Fixed))
}

fn auto_or_number(
    value: &DeValue<'_>,
    key: &str,
    least: u32,
    most: u32,
) -> Result<Option<u32>, Option<Problem>> {
    match value {
        DeValue::String(text) if text == "auto" => Ok(None),
        DeValue::String(text) if text.trim().parse::<u32>().is_ok() => Err(Some(
            Problem::new("a number stands without quotes").hint(format!("{key} = {}", text.trim())),
        )),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
            match parsed
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| (least..=most).contains(number))
            {
                Some(number) => Ok(Some(number)),
                None => Err(Some(Problem::new(format!(
                    "`{}` is not from {least} to {most}",
                    super::shorten(&number.to_string())
                )))),
            }
        }
        _ => Err(None),
    }
}

fn health(section: &Section<'_>) -> Health {
    let mut health = Health::default();
    let Some((at, value)) = section.value("health") else {
        return health;
    };
    let Some(table) = value.get_ref().as_table() else {
        let mut problem = section.wrong_type(keys::PROCESS.key("health"), value);
        if value
            .get_ref()
            .as_str()
            .is_some_and(|text| text.starts_with('/'))
        {
            problem.hint = Some(format!(
                "health = {{ path = {} }}",
                section.given(value.span())
            ));
        }
        section.invalid("health", value.span().start, problem);
        return health;
    };
    let path = section.full_key("health");
    let section = Section::open(section.file, table, path, at, &keys::HEALTH);
    if table.is_empty() {
        section.wrong(
            format!("`{}` is empty", section.path),
            Some(missing_hint(&keys::HEALTH, "path")),
        );
    }
    if let Some(path) = section.string("path", values::url_path) {
        health.path = path;
    }
    if let Some(status) = section.read("status", status) {
        health.status = status;
    }
    health.host = section.string("host", |text| values::host(text, false));
    if let Some(within) = section.duration("within", "1s", "1d") {
        health.within = within;
    }
    health.every = section.duration("every", "1s", "1d");
    health
}

fn status(value: &DeValue<'_>) -> Result<(u16, u16), Option<Problem>> {
    match value {
        DeValue::String(text) => values::status_range(text).map_err(Some),
        DeValue::Integer(number) => values::status_range(&number.to_string()).map_err(Some),
        DeValue::Array(_) => Err(Some(
            Problem::new("a list is not supported, only one range")
                .hint("from the least to the greatest: \"200-399\""),
        )),
        _ => Err(None),
    }
}
