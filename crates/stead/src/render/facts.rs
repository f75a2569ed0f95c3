//! What `stead check` found, for a person and for a program.

use std::fmt::Write;

use serde_json::{Value, json};
use stead_build::Finding;
use stead_model::manifest::{Count, Process, Program, Server};

use super::text::{ERROR, FAINT, GOOD, HINT, STRONG, shown, styled};
use crate::source::{FILE, Loaded};

/// For a person.
pub(crate) fn check_text(loaded: &Loaded, findings: &[Finding]) -> String {
    let mut text = String::new();
    let origin = match (loaded.has_file, &loaded.detection) {
        (true, None) => FILE.to_owned(),
        (true, Some(_)) => format!("{FILE}, its processes detected"),
        (false, _) => format!("no {FILE}: detected; `stead init` writes it down"),
    };
    let manifest = &loaded.manifest;
    let _ = writeln!(text, "{} ({origin})", styled(STRONG, &manifest.app));
    for (name, process) in &manifest.process {
        let _ = writeln!(text, "  {name}: {}", shown(&runs(process)));
        if let Some(from) = from(loaded, &format!("process.{name}.")) {
            let _ = writeln!(text, "    {}", styled(FAINT, &shown(&from)));
        }
    }
    for (name, job) in &manifest.job {
        let when = job.schedule.as_deref().unwrap_or("run by hand");
        let _ = writeln!(text, "  job {name}: {} ({when})", shown(&job.command));
    }
    if let Some(command) = &manifest.release_command {
        let _ = writeln!(text, "  before the first instance: {}", shown(command));
    }
    for finding in findings {
        // What has a hint asks for attention, even if it stops nothing.
        let mark = match (finding.blocks, &finding.hint) {
            (true, _) => styled(ERROR, "missing"),
            (false, Some(_)) => styled(HINT, "warning"),
            (false, None) => styled(GOOD, "     ok"),
        };
        let _ = writeln!(text, "{mark}  {}", shown(&finding.text));
        if let Some(hint) = &finding.hint {
            for line in hint.lines() {
                let _ = writeln!(text, "         {} {}", styled(HINT, "hint:"), shown(line));
            }
        }
    }
    for note in loaded
        .detection
        .iter()
        .flat_map(|detection| &detection.notes)
    {
        let _ = writeln!(text, "   note  {}", shown(note));
    }
    let _ = writeln!(text, "{}", conclusion(findings));
    text
}

/// The last line: what a person is to think of it all.
fn conclusion(findings: &[Finding]) -> String {
    let missing = findings.iter().filter(|finding| finding.blocks).count();
    let asking = findings.iter().filter(|finding| finding.asks()).count() - missing;
    let attention = match asking {
        0 => String::new(),
        1 => "1 thing asks for attention".to_owned(),
        count => format!("{count} things ask for attention"),
    };
    match (missing, asking) {
        (0, 0) => "nothing is missing: `stead up` runs it".to_owned(),
        (0, _) => format!("{attention}: `stead up` runs it as it is"),
        (1, 0) => "1 thing is missing".to_owned(),
        (1, _) => format!("1 thing is missing, and {attention}"),
        (count, 0) => format!("{count} things are missing"),
        (count, _) => format!("{count} things are missing, and {attention}"),
    }
}

/// For a program.
pub(crate) fn check_json(loaded: &Loaded, findings: &[Finding]) -> String {
    let manifest = &loaded.manifest;
    let processes: serde_json::Map<String, Value> = manifest
        .process
        .iter()
        .map(|(name, process)| (name.clone(), process_json(process)))
        .collect();
    let jobs: serde_json::Map<String, Value> = manifest
        .job
        .iter()
        .map(|(name, job)| {
            let job = json!({ "schedule": job.schedule, "command": job.command });
            (name.clone(), job)
        })
        .collect();
    let detection = loaded.detection.as_ref();
    let origins: Vec<Value> = detection
        .iter()
        .flat_map(|detection| &detection.origins)
        .map(|origin| json!({ "key": origin.key, "from": origin.from }))
        .collect();
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "text": finding.text, "blocks": finding.blocks, "hint": finding.hint }))
        .collect();
    let facts = json!({
        "app": manifest.app,
        "file": loaded.has_file.then_some(FILE),
        "python": manifest.build.python,
        "processes": processes,
        "jobs": jobs,
        "release_command": manifest.release_command,
        "origins": origins,
        "notes": detection.map(|detection| detection.notes.clone()).unwrap_or_default(),
        "ok": findings.iter().all(|finding| finding["blocks"] == false),
        "findings": findings,
    });
    format!("{facts:#}\n")
}

fn from(loaded: &Loaded, keys: &str) -> Option<String> {
    let detection = loaded.detection.as_ref()?;
    let origin = detection
        .origins
        .iter()
        .find(|origin| origin.key.starts_with(keys))?;
    Some(format!("from {}", origin.from))
}

/// What a process runs, in words.
fn runs(process: &Process) -> String {
    let count = match process.count {
        Count::Auto => String::new(),
        Count::Fixed(1) => ", 1 instance".to_owned(),
        Count::Fixed(count) => format!(", {count} instances"),
    };
    match &process.program {
        Program::Wsgi(entry) => format!(
            "{entry} on {}{count}",
            server(process, "Stead's own worker")
        ),
        Program::Asgi(entry) => format!("{entry} on {}{count}", server(process, "uvicorn")),
        Program::Command(line) => format!("{line}{count}"),
        Program::Static(folder) => format!("the files in {folder}"),
        Program::Uwsgi(file) => format!("uWSGI as {file} says{count}"),
    }
}

fn process_json(process: &Process) -> Value {
    let (kind, value) = match &process.program {
        Program::Wsgi(entry) => ("wsgi", entry),
        Program::Asgi(entry) => ("asgi", entry),
        Program::Command(line) => ("command", line),
        Program::Static(folder) => ("static", folder),
        Program::Uwsgi(file) => ("uwsgi", file),
    };
    let mut facts = serde_json::Map::new();
    facts.insert(kind.to_owned(), json!(value));
    if let Some(server) = process.server.map(server_name) {
        facts.insert("server".to_owned(), json!(server));
    }
    let count = match process.count {
        Count::Auto => json!("auto"),
        Count::Fixed(count) => json!(count),
    };
    facts.insert("count".to_owned(), count);
    Value::Object(facts)
}

fn server<'a>(process: &Process, default: &'a str) -> &'a str {
    match process.server {
        Some(Server::Stead) => "Stead's own worker",
        Some(server) => server_name(server),
        None => default,
    }
}

fn server_name(server: Server) -> &'static str {
    match server {
        Server::Stead => "stead",
        Server::Gunicorn => "gunicorn",
        Server::Uwsgi => "uwsgi",
        Server::Granian => "granian",
        Server::Uvicorn => "uvicorn",
    }
}
