//! A line that starts a server (`gunicorn app:app -w 3 --timeout 180`), taken apart.
//!
//! Found in Procfiles, Dockerfiles, unit files, compose files and package scripts. The line itself
//! is never rebuilt from this; what is read only names entry points and settings.

/// What a line says, as far as it is understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServerLine {
    /// `gunicorn`, `uvicorn`, `hypercorn`, `daphne`, `waitress-serve`, `granian`, `uwsgi`, `flask`, `python`.
    pub(crate) server: String,
    /// `module:attribute` as given; for `python`, the script.
    pub(crate) target: Option<String>,
    pub(crate) workers: Option<u32>,
    pub(crate) threads: Option<u32>,
    /// Seconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) worker_class: Option<String>,
    pub(crate) chdir: Option<String>,
    /// A gunicorn configuration file, or a uwsgi ini.
    pub(crate) config: Option<String>,
    /// The target is a factory to be called.
    pub(crate) factory: bool,
    /// `-k` names an ASGI worker, or the server is an ASGI one.
    pub(crate) asgi: bool,
    pub(crate) preload: bool,
    /// Options that were not understood, without their values.
    pub(crate) others: Vec<String>,
}

const SERVERS: &[&str] = &[
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "waitress-serve",
    "granian",
    "uwsgi",
    "flask",
    "fastapi",
    "bjoern",
];

/// Words of a shell line; quotes are taken off, variables stay as they are.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut inside = false;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => word.extend(chars.next()),
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                inside = true;
            }
            (None, '\\') => word.extend(chars.next().filter(|c| *c != '\n')),
            (None, c) if c.is_whitespace() => {
                if inside || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            (None, ';' | '&' | '|') => {
                if inside || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
                let mut operator = String::from(c);
                if chars.peek() == Some(&c) {
                    operator.extend(chars.next());
                }
                words.push(operator);
            }
            (None, c) => word.push(c),
        }
    }
    if inside || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Take a shell line apart; `None` when no known server is started by it.
pub(crate) fn read(line: &str) -> Option<ServerLine> {
    let words = words(line);
    let mut chdir = None;
    for command in words.split(|word| matches!(word.as_str(), ";" | "&&" | "&" | "|" | "||")) {
        if let [cd, dir] = command
            && cd == "cd"
        {
            chdir = Some(dir.clone());
            continue;
        }
        if let Some(mut found) = one(command) {
            found.chdir = found.chdir.or(chdir);
            return Some(found);
        }
    }
    None
}

fn program(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    name.strip_suffix(".exe").unwrap_or(name)
}

fn is_python(name: &str) -> bool {
    name.strip_prefix("python")
        .is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

fn one(command: &[String]) -> Option<ServerLine> {
    let at = command
        .iter()
        .position(|word| SERVERS.contains(&program(word)))
        .filter(|at| {
            // Only what may stand before a program: `poetry run`, `python -m`, `A=b`, `exec`.
            command[..*at].iter().all(|word| {
                let name = program(word);
                word.contains('=')
                    || word.starts_with('-')
                    || is_python(name)
                    || matches!(
                        name,
                        "exec"
                            | "env"
                            | "run"
                            | "poetry"
                            | "pipenv"
                            | "uv"
                            | "newrelic-admin"
                            | "run-program"
                            | "ddtrace-run"
                            | "opentelemetry-instrument"
                            | "nohup"
                            | "time"
                            | "tini"
                            | "dumb-init"
                            | "sudo"
                            | "conda"
                            | "rye"
                            | "pdm"
                            | "hatch"
                            | "coverage"
                            | "start-nginx"
                            | "stdbuf"
                            | "xvfb-run"
                            | "bin"
                    )
            })
        });
    match at {
        // `flask db upgrade` starts no server.
        Some(at) if matches!(program(&command[at]), "flask" | "fastapi") => command[at..]
            .iter()
            .any(|word| word == "run" || word == "dev")
            .then(|| options(program(&command[at]), &command[at + 1..])),
        Some(at) => Some(options(program(&command[at]), &command[at + 1..])),
        None => script(command),
    }
}

/// `python app.py`.
fn script(command: &[String]) -> Option<ServerLine> {
    let at = command.iter().position(|word| is_python(program(word)))?;
    let script = command[at + 1..]
        .iter()
        .find(|word| !word.starts_with('-') || word.as_str() == "-m")?;
    script.ends_with(".py").then(|| ServerLine {
        server: "python".to_owned(),
        target: Some(script.clone()),
        ..ServerLine::default()
    })
}

fn options(server: &str, arguments: &[String]) -> ServerLine {
    let mut line = ServerLine {
        server: server.to_owned(),
        asgi: matches!(server, "uvicorn" | "hypercorn" | "daphne" | "fastapi"),
        ..ServerLine::default()
    };
    let mut at = 0;
    while at < arguments.len() {
        let word = arguments[at].as_str();
        at += 1;
        if !word.starts_with('-') || word == "-" {
            let target = word.contains(':') || line.target.is_none();
            let usual = !matches!(word, "run" | "dev") && !word.starts_with('$');
            if target && usual && !(server == "uwsgi" && word.ends_with(".ini")) {
                line.target = Some(word.to_owned());
            } else if word.ends_with(".ini") {
                line.config = Some(word.to_owned());
            }
            continue;
        }
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None if word.len() > 2 && !word.starts_with("--") => {
                // `-w3`
                let end = word
                    .char_indices()
                    .nth(2)
                    .map_or(word.len(), |(end, _)| end);
                (&word[..end], Some(word[end..].to_owned()))
            }
            None => (word, None),
        };
        let takes_none = matches!(
            name,
            "--preload"
                | "--factory"
                | "--call"
                | "--reload"
                | "--debug"
                | "--daemon"
                | "-D"
                | "--proxy-headers"
                | "--no-access-log"
                | "--master"
                | "--die-on-term"
                | "--enable-threads"
                | "--no-sendfile"
                | "--reuse-port"
                | "--lazy-apps"
        );
        if value.is_none() && !takes_none {
            value = arguments
                .get(at)
                .filter(|next| !next.starts_with('-'))
                .cloned();
            at += usize::from(value.is_some());
        }
        apply(&mut line, name, value);
    }
    line
}

fn apply(line: &mut ServerLine, name: &str, value: Option<String>) {
    let number = || value.as_deref().and_then(|text| text.parse::<u32>().ok());
    match (line.server.as_str(), name) {
        (_, "--workers" | "--processes") | ("gunicorn" | "hypercorn", "-w") | ("uwsgi", "-p") => {
            line.workers = number();
        }
        (_, "--threads" | "--blocking-threads") => line.threads = number(),
        ("gunicorn", "-t" | "--timeout") => line.timeout = number().map(u64::from),
        ("uwsgi", "--harakiri") => line.timeout = number().map(u64::from),
        (_, "-k" | "--worker-class") => {
            let class = value.unwrap_or_default();
            line.asgi = class.to_lowercase().contains("uvicorn");
            line.worker_class = Some(class);
        }
        ("gunicorn" | "uwsgi", "--chdir") | ("uvicorn", "--app-dir") => line.chdir = value,
        ("gunicorn", "-c" | "--config") | ("uwsgi", "--ini" | "-i") => line.config = value,
        ("gunicorn", "--pythonpath") => line.chdir = line.chdir.take().or(value),
        ("uwsgi", "-w" | "--module" | "--wsgi") | ("flask", "--app" | "-A") => line.target = value,
        ("uwsgi", "--wsgi-file") => {
            let module = value.map(|file| file.trim_end_matches(".py").replace('/', "."));
            line.target = module.map(|module| format!("{module}:application"));
        }
        ("uwsgi", "--callable") => {
            let module = line.target.take().unwrap_or_default();
            let module = module.split(':').next().unwrap_or_default().to_owned();
            line.target = Some(format!("{module}:{}", value.unwrap_or_default()));
        }
        (_, "--factory" | "--call") => line.factory = true,
        (_, "--preload") => line.preload = true,
        ("granian", "--interface") => {
            line.asgi = value.is_some_and(|value| value.starts_with("asgi"));
        }
        (
            _,
            "-b"
            | "--bind"
            | "--host"
            | "--port"
            | "-p"
            | "-h"
            | "--listen"
            | "--log-level"
            | "--access-logfile"
            | "--error-logfile"
            | "--log-file"
            | "--reload"
            | "--debug"
            | "-n"
            | "--name"
            | "--proxy-headers"
            | "--forwarded-allow-ips"
            | "--access-logformat"
            | "--worker-tmp-dir"
            | "--capture-output"
            | "--enable-stdio-inheritance"
            | "-u"
            | "-g"
            | "--user"
            | "--group"
            | "--pid"
            | "--daemon"
            | "-D"
            | "--no-access-log"
            | "--http"
            | "--master"
            | "--die-on-term"
            | "--enable-threads"
            | "--socket"
            | "-s"
            | "--url-scheme",
        ) => {}
        (_, other) => line.others.push(other.to_owned()),
    }
}

impl ServerLine {
    /// `module:attribute` as Stead writes it, if the target is one.
    pub(crate) fn entry(&self) -> Option<String> {
        let target = self.target.as_deref()?;
        if self.server == "python" || self.server == "fastapi" {
            return None;
        }
        let default = match self.server.as_str() {
            "gunicorn" | "uwsgi" => "application",
            _ => "app",
        };
        let (module, attribute) = target.split_once(':').unwrap_or((target, default));
        let module = module
            .strip_suffix(".py")
            .unwrap_or(module)
            .replace('/', ".");
        let good =
            |text: &str| !text.is_empty() && text.split('.').all(super::project::is_identifier);
        let bare = attribute.strip_suffix("()").unwrap_or(attribute);
        if !good(&module) || !good(bare) {
            return None;
        }
        let call = if self.factory && bare == attribute {
            "()"
        } else {
            ""
        };
        Some(format!("{module}:{attribute}{call}"))
    }
}

#[cfg(test)]
mod tests;
