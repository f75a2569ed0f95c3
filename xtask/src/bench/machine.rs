//! On what, and with what, was measured.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::server::Places;

/// One line each: the machine, then the versions.
pub(crate) fn describe(places: &Places) -> Vec<(String, String)> {
    let cpu = field("/proc/cpuinfo", "model name");
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal");
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut lines = vec![
        ("CPU".to_owned(), format!("{cores} × {cpu}")),
        (
            "memory".to_owned(),
            format!("{} GB", memory.div_ceil(1 << 20)),
        ),
        (
            "system".to_owned(),
            format!(
                "{}, Linux {}",
                system.unwrap_or("").trim_matches('"'),
                kernel.trim()
            ),
        ),
    ];
    let venv = |name: &str| places.venv.join("bin").join(name);
    let stead = places.stead.as_path();
    let versions: [(&str, &Path, &str); 8] = [
        ("Stead", stead, "--version"),
        ("Python", &venv("python"), "--version"),
        ("nginx", Path::new("nginx"), "-v"),
        ("HAProxy", Path::new("haproxy"), "-v"),
        ("uwsgi", Path::new("uwsgi"), "--version"),
        ("gunicorn", &venv("gunicorn"), "--version"),
        ("caddy", Path::new("caddy"), "version"),
        ("granian", &venv("granian"), "--version"),
    ];
    for (name, program, argument) in versions {
        if let Some(version) = version(program, argument) {
            lines.push((name.to_owned(), version));
        }
    }
    lines
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line
        .and_then(|line| line.split_once(':'))
        .map(|(_, value)| value.trim());
    value.unwrap_or("?").to_owned()
}

/// The word with digits of the first line, without what is around it: `nginx version: nginx/1.22.1`.
fn version(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let word = text
        .split(|c: char| c.is_whitespace() || matches!(c, '/' | '(' | ')'))
        .find(|word| {
            word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit() || c == 'v')
        })?;
    Some(word.trim_start_matches('v').to_owned())
}
