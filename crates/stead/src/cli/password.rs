//! `stead password`: a hash of a password, for `users` of a route.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::problem::Problem;
use crate::render::Terminal;

/// How much work a hash is: 2^10 rounds, some 50 ms of a processor, spent once for each visitor and edge.
const COST: u32 = 10;
/// bcrypt looks at no more, bytes.
const LONGEST: usize = 72;

/// Print the hash of a password, for `users` of a route
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead password anna                  asks for the password, prints `anna = \"…\"` for [route.users]
  pwgen 20 1 | stead password          prints the hash alone

The password is read from the terminal without showing it, or else is the first line of standard input.")]
pub(super) struct Arguments {
    /// The user's name
    name: Option<String>,
}

pub(super) fn run(arguments: &Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    if let Some(name) = &arguments.name {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b":\"\\".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            let act = format!("cannot make a line for the user `{}`", name.escape_debug());
            let cause = "a name has up to 64 visible ASCII characters without `:`, `\"` and `\\`";
            return Err(Problem::invocation(act).cause(cause));
        }
    }
    let password = match std::io::stdin().is_terminal() {
        true => asked(terminal)?,
        false => piped()?,
    };
    let hash = bcrypt::hash(&password, COST).map_err(|error| problem().cause(error.to_string()))?;
    let line = match &arguments.name {
        Some(name) => format!("{} = \"{hash}\"\n", toml_edit::Key::new(name)),
        None => format!("{hash}\n"),
    };
    terminal.raw(line.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn problem() -> Problem {
    Problem::new("cannot make a hash of the password")
}

/// What bcrypt cannot tell from another password is none.
fn checked(password: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let why = match password.as_slice() {
        [] => "it is empty",
        long if long.len() > LONGEST => "it is longer than 72 bytes, and the rest would not count",
        control if control.iter().any(u8::is_ascii_control) => "it has a control character",
        _ => return Ok(password),
    };
    Err(problem().cause(why))
}

fn piped() -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(4096);
    let read = input.read_to_end(&mut bytes);
    read.map_err(|error| problem().cause(format!("cannot read it: {error}")))?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    checked(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

fn asked(terminal: &Terminal) -> Result<Vec<u8>, Problem> {
    let quiet = Quiet::begin()?;
    terminal.err("Password: ");
    let first = quiet.line(terminal)?;
    let first = checked(first)?;
    terminal.err("Again: ");
    match quiet.line(terminal)? == first {
        true => Ok(first),
        false => Err(problem().cause("the two are not the same")),
    }
}

/// The terminal, while it shows nothing of what is typed.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> Result<Self, Problem> {
        let failed = |error| problem().cause(format!("the terminal cannot be silenced: {error}"));
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut quiet = before.clone();
        // Ctrl-C too is read as a byte: the terminal must not be left like this.
        let shown = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        quiet.local_modes.remove(shown);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet).map_err(failed)?;
        Ok(Self(before))
    }

    fn line(&self, terminal: &Terminal) -> Result<Vec<u8>, Problem> {
        let mut line = Vec::new();
        let stopped = || problem().cause("it was stopped");
        for byte in std::io::stdin().lock().bytes() {
            match byte.map_err(|error| problem().cause(error.to_string()))? {
                b'\n' | b'\r' => {
                    terminal.err("\n");
                    return Ok(line);
                }
                0x03 | 0x04 => break,
                0x08 | 0x7f => {
                    // A whole character.
                    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                }
                // Ctrl-U
                0x15 => line.clear(),
                byte => line.push(byte),
            }
        }
        terminal.err("\n");
        Err(stopped())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
