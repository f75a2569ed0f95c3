//! The commented `stead.toml` that `stead init` writes.

use std::fmt::Write as _;
use std::time::Duration;

use stead_model::manifest::{Count, Manifest, Process, Program, Route, Server, Threads};

use crate::Detection;
use crate::detect::quoted;

/// A `stead.toml` that says what was detected and where each value came from. Alternatives
/// follow as comments. It parses to `detection.manifest`.
pub fn init_text(detection: &Detection) -> String {
    let mut text = String::from(
        "# What Stead found in this directory, and where. Every value may be changed.\n",
    );
    for remark in detection.remarks(|_| false) {
        comment(&mut text, &remark);
    }
    text.push('\n');
    let writer = Writer { detection };
    writer.manifest(&mut text, &detection.manifest);
    for alternative in &detection.alternatives {
        text.push('\n');
        comment(
            &mut text,
            &format!("{}:", alternative.why.trim_end_matches('.')),
        );
        for line in alternative.toml.lines() {
            let _ = writeln!(text, "#{line}");
        }
    }
    text
}

/// Text as comment lines of at most 100 characters.
fn comment(text: &mut String, sentence: &str) {
    let mut line = String::from("#");
    for word in sentence.split_whitespace() {
        if line.len() > 1 && line.len() + word.len() + 1 > 100 {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        // A control character would end the comment's validity.
        line.extend(word.chars().filter(|c| !c.is_control()));
    }
    text.push_str(&line);
    text.push('\n');
}

struct Writer<'d> {
    detection: &'d Detection,
}

impl Writer<'_> {
    /// ` # from Procfile, line 1`
    fn from(&self, key: &str) -> String {
        let origin = self.detection.origins.iter().find(|o| o.key == key);
        origin.map_or(String::new(), |origin| {
            let from: String = origin.from.chars().filter(|c| !c.is_control()).collect();
            format!("  # from {from}")
        })
    }

    fn line(&self, text: &mut String, path: &str, key: &str, value: &str) {
        let _ = writeln!(
            text,
            "{key} = {value}{}{}",
            self.from(&format!("{path}.{key}")),
            // A whole table may have one origin.
            self.from(path)
        );
    }

    fn manifest(&self, text: &mut String, manifest: &Manifest) {
        let _ = writeln!(text, "app = {}", quoted(&manifest.app));
        let build = &manifest.build;
        let mut lines = String::new();
        for (key, value) in [
            ("python", &build.python),
            ("root", &build.root),
            ("requirements", &build.requirements),
            ("index", &build.index),
            ("exclude-newer", &build.exclude_newer),
        ] {
            if let Some(value) = value {
                self.line(&mut lines, "build", key, &quoted(value));
            }
        }
        for (key, list) in [("packages", &build.packages), ("commands", &build.commands)] {
            if !list.is_empty() {
                self.line(&mut lines, "build", key, &quoted_list(list));
            }
        }
        if !lines.is_empty() {
            let _ = write!(text, "\n[build]\n{lines}");
        }
        // The process that visitors reach comes first.
        let web = manifest.process.get_key_value("web");
        let others = manifest.process.iter().filter(|(name, _)| *name != "web");
        for (name, process) in web.into_iter().chain(others) {
            self.process(text, name, process);
        }
        if let Some(command) = &manifest.release_command {
            text.push_str("\n[release]\n");
            self.line(text, "release", "command", &quoted(command));
        }
        for route in &manifest.route {
            self.route(text, route, manifest.route.len() > 1);
        }
        if !manifest.env.is_empty() {
            text.push_str("\n[env]\n");
            for (name, value) in &manifest.env {
                self.line(text, "env", name, &quoted(value));
            }
        }
        for (name, secret) in &manifest.secret {
            let _ = writeln!(text, "\n[secret.{name}]");
            if secret.generate {
                self.line(text, &format!("secret.{name}"), "generate", "true");
            }
        }
        for (name, volume) in &manifest.volume {
            let _ = writeln!(text, "\n[volume.{name}]\npath = {}", quoted(&volume.path));
        }
    }

    fn process(&self, text: &mut String, name: &str, process: &Process) {
        let path = format!("process.{name}");
        let _ = writeln!(text, "\n[{path}]");
        let (key, value) = match &process.program {
            Program::Wsgi(value) => ("wsgi", value),
            Program::Asgi(value) => ("asgi", value),
            Program::Command(value) => ("command", value),
            Program::Static(value) => ("static", value),
            Program::Uwsgi(value) => ("uwsgi", value),
        };
        self.line(text, &path, key, &quoted(value));
        if let Some(server) = process.server {
            let server = match server {
                Server::Stead => "stead",
                Server::Gunicorn => "gunicorn",
                Server::Uwsgi => "uwsgi",
                Server::Granian => "granian",
                Server::Uvicorn => "uvicorn",
            };
            self.line(text, &path, "server", &quoted(server));
        }
        let usual = if name == "web" {
            Count::Auto
        } else {
            Count::Fixed(1)
        };
        if process.count != usual {
            let count = match process.count {
                Count::Auto => quoted("auto"),
                Count::Fixed(count) => count.to_string(),
            };
            self.line(text, &path, "count", &count);
        }
        if let Threads::Fixed(threads) = process.threads {
            self.line(text, &path, "threads", &threads.to_string());
        }
        if process.preload {
            self.line(text, &path, "preload", "true");
        }
        if let Some(memory) = process.memory {
            self.line(text, &path, "memory", &quoted(&format!("{memory}B")));
        }
        let usual = Duration::from_secs(30);
        for (key, value) in [("timeout", process.timeout), ("drain", process.drain)] {
            if value != usual {
                self.line(
                    text,
                    &path,
                    key,
                    &quoted(&format!("{}ms", value.as_millis()).replace("000ms", "s")),
                );
            }
        }
    }

    fn route(&self, text: &mut String, route: &Route, several: bool) {
        text.push_str(if several {
            "\n[[route]]\n"
        } else {
            "\n[route]\n"
        });
        if !route.hosts.is_empty() {
            self.line(text, "route", "hosts", &quoted_list(&route.hosts));
        }
        if route.path != "/" {
            self.line(text, "route", "path", &quoted(&route.path));
        }
        if let Some(process) = &route.process {
            self.line(text, "route", "process", &quoted(process));
        }
        if !route.static_folders.is_empty() {
            let pairs: Vec<String> = route
                .static_folders
                .iter()
                .map(|(prefix, folder)| format!("{} = {}", quoted_basic(prefix), quoted(folder)))
                .collect();
            self.line(
                text,
                "route",
                "static",
                &format!("{{ {} }}", pairs.join(", ")),
            );
        }
    }
}

fn quoted_list(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A key in quotes.
fn quoted_basic(key: &str) -> String {
    quoted(key)
}
