//! The command line: one file per verb under `cli/`, each of which parses, checks and makes one
//! call. Everything shared by the verbs (colours, exit codes, the one place that prints errors)
//! is here.

mod agent;
mod api;
mod build_release;
mod cert;
mod check;
mod completions;
mod deploy;
mod edge;
mod host;
mod init;
mod logs;
mod on;
mod password;
mod releases;
mod restart;
mod rm;
mod rollback;
mod scale;
mod status;
mod up;
mod values;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::problem::Problem;
use crate::render::Terminal;

const EXAMPLES: &str = "\
Examples:
  stead up                    run the app of this directory at http://127.0.0.1:8000
  stead up shop --watch       run the app in `shop`, and reload it when its source changes
  stead check                 say what would be built and run, and what is missing
  stead host add root@HOST    make a Linux machine a home for apps
  stead deploy                send the app there, and switch visitors over when it is healthy
  stead status                say how it is there
  stead init                  write down what was detected, as stead.toml
  stead help up               the same as `stead up --help`

Environment:
  NO_COLOR                    when it is there: no colours, unless --color asks for them

Exit codes: 0 done, 1 failed or refused, 2 bad invocation or configuration.

The keys of stead.toml are explained in docs/stead-toml.md, errors as they occur.";

/// Stead gives a web app a home on Linux machines you own.
#[derive(Debug, Parser)]
#[command(name = "stead", version, after_help = EXAMPLES, args_override_self = true)]
struct Arguments {
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Colour,

    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum LogFormat {
    /// As Apache and nginx do.
    Combined,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(up::Arguments),
    Init(init::Arguments),
    Check(check::Arguments),
    Cert(cert::Arguments),
    Deploy(deploy::Arguments),
    Releases(releases::Arguments),
    Rollback(rollback::Arguments),
    Status(status::Arguments),
    Logs(logs::Arguments),
    Restart(restart::Arguments),
    Scale(scale::Arguments),
    Rm(rm::Arguments),
    Host(host::Arguments),
    Edge(edge::Arguments),
    Agent(agent::Arguments),
    Api(api::Arguments),
    #[command(hide = true)]
    BuildRelease(build_release::Arguments),
    Password(password::Arguments),
    Completions(completions::Arguments),
}

/// The whole program.
pub(crate) fn main() -> ExitCode {
    // The keeper looks after the instances if this program is killed. It must be the process that
    // it was started as: no runtime, no second thread, no command line to get wrong.
    let mut roles = std::env::args_os().skip(1);
    if roles.next().is_some_and(|role| role == "keeper") {
        stead_agent::keeper(&roles.next().unwrap_or_default().to_string_lossy());
    }
    colours_of(std::env::args_os()).write_global();
    let terminal = Terminal::new();
    let told = terminal.clone();
    std::panic::set_hook(Box::new(move |panic| told.last_words(&bug(panic))));

    let arguments = match Arguments::try_parse_from(without_help_about_help(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error, &terminal),
    };
    let done = match arguments.verb {
        None => {
            terminal.out(&Arguments::command().render_help().ansi().to_string());
            Ok(ExitCode::SUCCESS)
        }
        Some(Verb::Up(arguments)) => up::run(arguments, &terminal),
        Some(Verb::Init(arguments)) => init::run(&arguments, &terminal),
        Some(Verb::Check(arguments)) => check::run(&arguments, &terminal),
        Some(Verb::Cert(arguments)) => cert::run(&arguments, &terminal),
        Some(Verb::Edge(arguments)) => edge::run(arguments, &terminal),
        Some(Verb::Deploy(arguments)) => deploy::run(arguments, &terminal),
        Some(Verb::Releases(arguments)) => releases::run(arguments, &terminal),
        Some(Verb::Rollback(arguments)) => rollback::run(arguments, &terminal),
        Some(Verb::Status(arguments)) => status::run(arguments, &terminal),
        Some(Verb::Logs(arguments)) => logs::run(arguments, &terminal),
        Some(Verb::Restart(arguments)) => restart::run(arguments, &terminal),
        Some(Verb::Scale(arguments)) => scale::run(arguments, &terminal),
        Some(Verb::Rm(arguments)) => rm::run(arguments, &terminal),
        Some(Verb::Host(arguments)) => host::run(arguments, &terminal),
        Some(Verb::Agent(arguments)) => agent::run(arguments, &terminal),
        Some(Verb::Api(arguments)) => api::run(arguments, &terminal),
        Some(Verb::BuildRelease(arguments)) => build_release::run(&arguments, &terminal),
        Some(Verb::Password(arguments)) => password::run(&arguments, &terminal),
        Some(Verb::Completions(arguments)) => completions::run(&arguments, &terminal),
    };
    match done {
        Ok(code) => written(&terminal, code),
        Err(problem) => {
            terminal.problem(&problem);
            ExitCode::from(problem.exit_code())
        }
    }
}

/// What was asked for may be on a full disk: then it is not there, and whoever reads it must know.
fn written(terminal: &Terminal, code: ExitCode) -> ExitCode {
    match terminal.unwritten() {
        None => code,
        Some(problem) => {
            terminal.problem(&problem);
            ExitCode::from(problem.exit_code())
        }
    }
}

/// `--color` counts for errors about the command line too, so it is read before clap does.
fn colours_of(arguments: impl Iterator<Item = OsString>) -> anstream::ColorChoice {
    let arguments: Vec<_> = arguments.collect();
    let given = arguments.iter().enumerate().find_map(|(at, argument)| {
        let argument = argument.to_str()?;
        match argument.strip_prefix("--color")? {
            "" => arguments.get(at + 1)?.to_str(),
            value => value.strip_prefix('='),
        }
    });
    match given {
        Some("always") => anstream::ColorChoice::Always,
        Some("never") => anstream::ColorChoice::Never,
        _ => anstream::ColorChoice::Auto,
    }
}

/// clap's refusal in the form that all failures have.
fn refused(error: &clap::Error, terminal: &Terminal) -> ExitCode {
    let text = error.render();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        terminal.out(&text.ansi().to_string());
        return written(terminal, ExitCode::SUCCESS);
    }
    let words = std::env::args_os().skip(1);
    let (asked, command) = asked(words.filter_map(|word| word.into_string().ok()));
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let problem = missing(error, &asked, &command);
        terminal.problem(&problem);
        return ExitCode::from(problem.exit_code());
    }
    let text = text.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let act = lines.next().unwrap_or("the command line is not valid");
    let why = error.source().map(ToString::to_string);
    let act = act.trim_start_matches("error: ");
    let without_why = why
        .as_ref()
        .and_then(|why| act.strip_suffix(why)?.strip_suffix(": "));
    let mut problem = Problem::invocation(in_backticks(
        &without_why
            .unwrap_or(act)
            .replace("unrecognized subcommand", "unknown command"),
    ));
    if without_why.is_some() {
        problem.causes.extend(why);
    }
    let mut usage = None;
    for line in lines {
        if let Some(tip) = line.strip_prefix("tip: ") {
            // That an option may be meant as a value is what nobody has in mind.
            if !tip.starts_with("to pass ") {
                problem.hint.get_or_insert_with(|| hint_of(tip));
            }
        } else if let Some(usage_line) = line.strip_prefix("Usage: ") {
            usage = Some(format!("usage: {usage_line}"));
        } else if !line.starts_with("For more information") && usage.is_none() {
            let cause = line.trim_start_matches('[').trim_end_matches(']');
            problem.causes.push(in_backticks(cause));
        }
    }
    problem
        .hint
        .get_or_insert_with(|| format!("{asked} --help"));
    terminal.problem(&problem);
    ExitCode::from(problem.exit_code())
}

/// `stead help --help` asks for the same as `stead help`, which clap takes for a verb.
fn without_help_about_help(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let (mut command, mut is_about_help) = (Arguments::command(), false);
    let mut kept = Vec::new();
    for (at, word) in words.enumerate() {
        if is_about_help && (word == "--help" || word == "-h") {
            continue;
        }
        let verb = command.find_subcommand(&word).cloned();
        is_about_help |= at > 0 && command.has_subcommands() && word == "help";
        command = verb.filter(|_| at > 0).unwrap_or(command);
        kept.push(word);
    }
    kept
}

/// The verb that the command line is about, with its program: `stead edge status`.
fn asked(words: impl Iterator<Item = String>) -> (String, clap::Command) {
    let mut command = Arguments::command();
    let mut asked = command.get_name().to_owned();
    for word in words {
        if let Some(verb) = command.find_subcommand(&word).cloned() {
            asked = format!("{asked} {word}");
            command = verb;
        }
    }
    (asked, command)
}

/// What is said when a verb was not told all that it needs.
fn missing(error: &clap::Error, asked: &str, command: &clap::Command) -> Problem {
    let needed: Vec<String> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(needed)) => needed.clone(),
        _ => Vec::new(),
    };
    let shown: Vec<String> = needed.iter().map(|name| format!("`{name}`")).collect();
    let problem = Problem::invocation(format!("`{asked}` needs {}", shown.join(", ")));
    let possible = command.get_positionals().next();
    let possible = possible.map(clap::Arg::get_possible_values);
    let possible = possible.unwrap_or_default();
    let names: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
    match names.first() {
        Some(first) => problem
            .cause(format!("possible values: {}", names.join(", ")))
            .hint(format!("{asked} {first}")),
        None => problem.hint(format!("{asked} --help")),
    }
}

/// clap's tip as a hint.
fn hint_of(tip: &str) -> String {
    match tip.split_once(" exists: ") {
        Some((_, similar)) => format!("did you mean {}?", in_backticks(similar)),
        None => in_backticks(tip),
    }
}

/// clap quotes with `'`, Stead with backticks.
fn in_backticks(text: &str) -> String {
    text.replace('\'', "`")
}

/// A bug in Stead itself. Whoever waits for the thread decides what happens next.
fn bug(panic: &std::panic::PanicHookInfo<'_>) -> Problem {
    let message = panic.payload();
    let why = message
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| message.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let place = panic
        .location()
        .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
    Problem::new(format!("a bug in stead {}", env!("CARGO_PKG_VERSION")))
        .cause(format!("{why}{place}"))
        .hint(format!(
            "please report it: {}/issues",
            env!("CARGO_PKG_REPOSITORY")
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_about_help_is_help() {
        let words = |line: &str| -> Vec<String> {
            without_help_about_help(line.split(' ').map(OsString::from))
                .into_iter()
                .filter_map(|word| word.into_string().ok())
                .collect()
        };
        assert_eq!(words("stead help --help"), ["stead", "help"]);
        assert_eq!(words("stead help up -h"), ["stead", "help", "up"]);
        assert_eq!(words("stead edge help --help"), ["stead", "edge", "help"]);
        assert_eq!(words("stead up --help"), ["stead", "up", "--help"]);
        // A directory of that name.
        assert_eq!(words("stead up help --help").len(), 4);
    }

    #[test]
    fn help_is_asked_for_of_the_verb_that_was_meant() {
        let asked = |line: &str| asked(line.split(' ').map(str::to_owned)).0;
        assert_eq!(asked("edge status --nonsense"), "stead edge status");
        assert_eq!(asked("--color always edge --drain x"), "stead edge");
        assert_eq!(asked("up check --port x"), "stead up");
        assert_eq!(asked("chekc"), "stead");
    }
}
