//! The command line: one file per verb under `cli/`, each of which parses, checks and makes one
//! call. Everything shared by the verbs (colours, exit codes, the one place that prints errors)
//! is here.

mod check;
mod completions;
mod edge;
mod init;
mod up;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::problem::Problem;
use crate::render::Terminal;

const EXAMPLES: &str = "\
Examples:
  stead up                    run the app of this directory at http://127.0.0.1:8000
  stead up shop --watch       run the app in `shop`, and reload it when its source changes
  stead check                 say what would be built and run, and what is missing
  stead init                  write down what was detected, as stead.toml

Exit codes: 0 done, 1 failed or refused, 2 bad invocation or configuration.";

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
    Edge(edge::Arguments),
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

    let arguments = match Arguments::try_parse() {
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
        Some(Verb::Edge(arguments)) => edge::run(arguments, &terminal),
        Some(Verb::Completions(arguments)) => completions::run(&arguments, &terminal),
    };
    done.unwrap_or_else(|problem| {
        terminal.problem(&problem);
        ExitCode::from(problem.exit_code())
    })
}

/// `--color` counts for errors about the command line too, so it is read before clap does.
fn colours_of(arguments: impl Iterator<Item = std::ffi::OsString>) -> anstream::ColorChoice {
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
        return ExitCode::SUCCESS;
    }
    let text = text.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let act = lines.next().unwrap_or("the command line is not valid");
    let mut problem = Problem::invocation(in_backticks(
        &act.trim_start_matches("error: ")
            .replace("unrecognized subcommand", "unknown command"),
    ));
    let mut usage = None;
    for line in lines {
        if let Some(tip) = line.strip_prefix("tip: ") {
            problem.hint.get_or_insert_with(|| hint_of(tip));
        } else if let Some(usage_line) = line.strip_prefix("Usage: ") {
            usage = Some(format!("usage: {usage_line}"));
        } else if !line.starts_with("For more information") && usage.is_none() {
            let cause = line.trim_start_matches('[').trim_end_matches(']');
            problem.causes.push(in_backticks(cause));
        }
    }
    if problem.hint.is_none() {
        let verb = std::env::args().nth(1).filter(|word| {
            Arguments::command()
                .get_subcommands()
                .any(|verb| verb.get_name() == word)
        });
        problem.hint = Some(match verb {
            Some(verb) => format!("stead {verb} --help"),
            None => "stead --help".to_owned(),
        });
    }
    terminal.problem(&problem);
    ExitCode::from(problem.exit_code())
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
}
