//! uwsgi, over its own protocol: from an entry point, or with the values of the app's uwsgi.ini.
//!
//! The file's values become arguments; the file itself is not run, since shipped ones name users,
//! sockets, log files and paths of another machine. uwsgi takes the listening socket from
//! `LISTEN_FDS`; naming it with `--socket` as well would make it listen twice.

use std::path::Path;

use stead_model::manifest::{Count, Manifest, Process, Threads};
use stead_model::release::{Listen, Protocol, Start};

use super::server::{one, processors};
use super::{Place, Resolved, environment, impossible, text};
use crate::Error;
use crate::detect::uwsgi::{ALWAYS_SET, Given, UwsgiIni, parse};
use crate::machine::Machine;

/// Options of a shipped file that Stead sets itself or that would act outside of the instance.
const NOT_PASSED: [&str; 5] = ["need-app", "vacuum", "listen", "strict", "auto-procname"];

/// Run a WSGI entry point.
pub(super) fn of_entry(
    name: &str,
    entry: &str,
    process: &Process,
    place: Place<'_>,
) -> Result<Resolved, Error> {
    resolve(name, entry, &UwsgiIni::default(), process, place)
}

/// Run what a uwsgi.ini says.
pub(super) fn of_file(
    manifest: &Manifest,
    name: &str,
    file: &str,
    process: &Process,
    place: Place<'_>,
) -> Result<Resolved, Error> {
    let content = std::fs::read(place.code.join(file))
        .map_err(|error| impossible(name, &format!("`{file}` cannot be read: {error}")))?;
    let ini = read(&content, manifest, place.machine, place.code);
    let entry = ini.entry.clone().ok_or_else(|| {
        impossible(name, &format!("`{file}` names no `module` or `wsgi-file`")).hinted(format!(
            "write `wsgi = \"module:attribute\"` and `server = \"uwsgi\"` in [process.{name}]"
        ))
    })?;
    resolve(name, &entry, &ini, process, place)
}

/// The `env` lines of the file.
pub(super) fn variables(
    manifest: &Manifest,
    machine: &Machine,
    file: &str,
    code: &Path,
) -> Vec<(String, String)> {
    std::fs::read(code.join(file))
        .map(|content| read(&content, manifest, machine, code).env)
        .unwrap_or_default()
}

/// Its conditions hold as they will for an instance, which gets [env], then this machine's variables.
fn read(content: &[u8], manifest: &Manifest, machine: &Machine, code: &Path) -> UwsgiIni {
    let variable = |name: &str| {
        let own = manifest.env.get(name).map(String::as_str);
        let value = own.or_else(|| machine.variable(name)).map(str::to_owned);
        value.or_else(|| ALWAYS_SET.contains(&name).then(String::new))
    };
    let path = |path: &str| {
        let found = std::fs::metadata(code.join(path)).ok()?;
        Some(found.is_dir())
    };
    let given = Given {
        variable: &variable,
        path: &path,
    };
    parse(&String::from_utf8_lossy(content), &given)
}

fn resolve(
    name: &str,
    entry: &str,
    ini: &UwsgiIni,
    process: &Process,
    place: Place<'_>,
) -> Result<Resolved, Error> {
    let mut arguments = program(name, place)?;
    arguments.extend(["--master", "--die-on-term", "--need-app"].map(str::to_owned));
    let processes = match (process.count, ini.processes) {
        (Count::Fixed(count), _) => count.max(1),
        (Count::Auto, Some(count)) => count.clamp(1, 1000),
        (Count::Auto, None) => u32::try_from(processors()).unwrap_or(3),
    };
    let threads = match (process.threads, ini.threads) {
        (Threads::Fixed(count), _) | (Threads::Auto, Some(count)) => count.clamp(1, 256),
        (Threads::Auto, None) => 1,
    };
    let mut option = |name: &str, value: &str| match value {
        "true" | "1" | "on" | "yes" if is_switch(name) => arguments.push(format!("--{name}")),
        "false" | "0" | "off" | "no" if is_switch(name) => {}
        value => arguments.push(format!("--{name}={value}")),
    };
    option("processes", &processes.to_string());
    if threads > 1 {
        option("threads", &threads.to_string());
    }
    if let Some(seconds) = ini.harakiri {
        option("harakiri", &seconds.to_string());
    }
    for (name, value) in &ini.kept {
        if !NOT_PASSED.contains(&name.as_str()) {
            option(name, value);
        }
    }
    for path in &ini.pythonpath {
        option("pythonpath", &text(&place.code.join(path)));
    }
    if let Some(directory) = &ini.chdir
        && place.code.join(directory).is_dir()
    {
        option("chdir", &text(&place.code.join(directory)));
    }
    // uwsgi calls a factory itself.
    option("module", entry);
    let concurrent = ini
        .kept
        .iter()
        .find(|(name, _)| matches!(name.as_str(), "gevent" | "asyncio" | "async"))
        .and_then(|(_, value)| value.parse::<u32>().ok());
    let each = concurrent.unwrap_or(threads);
    Ok(Resolved {
        start: Start::Command(arguments),
        listen: Some(Listen::Descriptor(Protocol::Uwsgi)),
        count: one(process.count),
        capacity: processes.saturating_mul(each).max(1),
    })
}

/// Options without a value; their `= true` is how an ini writes them.
fn is_switch(name: &str) -> bool {
    !matches!(
        name,
        "processes"
            | "threads"
            | "harakiri"
            | "mules"
            | "async"
            | "gevent"
            | "asyncio"
            | "offload-threads"
            | "max-requests"
            | "cheaper"
            | "post-buffering"
            | "spooler-processes"
            | "cheaper-initial"
            | "cheaper-step"
    )
}

/// The app's own uwsgi; else Debian's, if its Python plugin is for the environment's Python.
fn program(name: &str, place: Place<'_>) -> Result<Vec<String>, Error> {
    let (environment, version) = environment(name, place)?;
    let home = ["--virtualenv".to_owned(), text(&environment.root)];
    if let Some(own) = environment.program("uwsgi") {
        return Ok(std::iter::once(text(&own)).chain(home).collect());
    }
    let plugin = format!("python{}{}", version.0, version.1);
    let system = place.machine.program("uwsgi");
    let has_plugin = ["/usr/lib/uwsgi/plugins", "/usr/local/lib/uwsgi/plugins"]
        .iter()
        .any(|directory| {
            Path::new(directory)
                .join(format!("{plugin}_plugin.so"))
                .is_file()
        });
    if let (Some(system), true) = (&system, has_plugin) {
        let start = [text(system), "--plugin".to_owned(), plugin];
        return Ok(start.into_iter().chain(home).collect());
    }
    let file = place.dependencies.unwrap_or("requirements.txt");
    let why = match system {
        Some(_) => format!(
            "`{file}` does not list uwsgi, and this machine's uwsgi has no plugin for Python {}.{}",
            version.0, version.1
        ),
        None => format!("`{file}` does not list uwsgi, and this machine has none"),
    };
    Err(impossible(name, &why).hinted(format!(
        "add `uwsgi` to `{file}`, or write `wsgi = \"module:attribute\"` in [process.{name}] to use Stead's own worker"
    )))
}
