//! What `stead edge status` and `stead edge upgrade` say.

use std::fmt::Write;

use serde_json::json;
use stead_model::control::Status;

use super::text::{STRONG, styled};

/// How an edge is: JSON, or for a person.
pub(crate) fn edge_status(status: &Status, as_json: bool) -> String {
    if as_json {
        let text = serde_json::to_string_pretty(status).unwrap_or_default();
        return text + "\n";
    }
    let mut text = String::new();
    let title = format!("stead {} as process {}", status.version, status.pid);
    let _ = writeln!(text, "{}", styled(STRONG, &title));
    let listens: Vec<String> = status.listens.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "  listens:     {}", listens.join(", "));
    if !status.listens_tls.is_empty() {
        let listens: Vec<String> = status.listens_tls.iter().map(ToString::to_string).collect();
        let certificates = counted(status.certificates, "certificate");
        let _ = writeln!(
            text,
            "  TLS:         {} with {certificates}",
            listens.join(", ")
        );
    }
    let table = match status.generation {
        None => {
            "none yet: visitors get 421, after waiting for one in the edge's first 5 s".to_owned()
        }
        Some(generation) => format!(
            "generation {generation}, {}, {}",
            counted(status.routes, "route"),
            counted(status.instances, "instance")
        ),
    };
    let _ = writeln!(text, "  table:       {table}");
    let agent = if status.agent {
        "connected"
    } else {
        "not connected"
    };
    let _ = writeln!(text, "  agent:       {agent}");
    let at_instances = counted(status.requests as usize, "request");
    let _ = writeln!(
        text,
        "  connections: {}, {at_instances} at instances",
        status.connections
    );
    if !status.leaving.is_empty() {
        let leaving = counted(status.leaving.len(), "instance");
        let _ = writeln!(text, "  leaving:     {leaving} with requests yet");
    }
    for problem in &status.problems {
        let _ = writeln!(text, "  problem:     {problem}");
    }
    for old in &status.draining {
        let _ = writeln!(
            text,
            "  draining:    process {} (stead {}) with {}",
            old.pid,
            old.version,
            counted(old.connections, "connection")
        );
    }
    text
}

/// What an upgrade came to: JSON, or for a person.
pub(crate) fn upgraded(pid: u32, version: &str, previous: u32, as_json: bool) -> String {
    match as_json {
        true => json!({ "pid": pid, "version": version, "previous": previous }).to_string() + "\n",
        false => format!("stead {version} serves as process {pid}; process {previous} drains\n"),
    }
}

/// What the drain time's end came to.
pub(crate) fn cut_off(connections: usize) -> String {
    let were = if connections == 1 { "was" } else { "were" };
    let connections = counted(connections, "connection");
    format!("{connections} {were} cut when the drain time was over\n")
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_counted_as_many() {
        assert_eq!(
            cut_off(1),
            "1 connection was cut when the drain time was over\n"
        );
        assert_eq!(
            cut_off(2),
            "2 connections were cut when the drain time was over\n"
        );
    }
}
