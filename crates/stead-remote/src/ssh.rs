//! The user's own ssh: one connection, over which commands are run.
//!
//! The first command opens it and asks the person what there is to ask, on the terminal; the further ones share it
//! (`ControlMaster` of ssh_config(5)). It ends with this value, or by itself when it was idle for a minute.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::{Failure, Target, quote};

/// A path of a socket has 108 bytes at most, and ssh adds 17 while it makes one.
const LONGEST_DIR: usize = 70;
/// The exit status by which ssh says that it is ssh that failed.
const SSH_FAILED: i32 = 255;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Ssh {
    target: Target,
    config: Option<PathBuf>,
    dir: TempDir,
}

impl Ssh {
    /// Connect, and run lines of shell that have no value in them at once: what they print comes with the connection. `config`: for
    /// `ssh -F`.
    pub(crate) fn open(
        target: &Target,
        config: Option<&Path>,
        script: &str,
    ) -> Result<(Self, Vec<u8>), Failure> {
        let act = || format!("cannot reach `{target}`");
        let ssh = Self {
            target: target.clone(),
            config: config.map(Path::to_owned),
            dir: private_dir().map_err(|error| Failure::new(act(), error.to_string()))?,
        };
        // What stays in the background keeps standard error, so it cannot be a pipe that is read to its end.
        let (said, printed) = (ssh.dir.path().join("said"), ssh.dir.path().join("printed"));
        let broken = |error: io::Error| Failure::new(act(), error.to_string());
        let (errors, out) = (fs::File::create(&said), fs::File::create(&printed));
        let (errors, out) = (errors.map_err(broken)?, out.map_err(broken)?);
        let ended = ssh
            .command(
                &[
                    "-o",
                    "ControlMaster=yes",
                    "-o",
                    "ControlPersist=60",
                    "-o",
                    "ServerAliveInterval=10",
                ],
                &quote::line(["sh", "-c", script]),
            )
            .stdin(Stdio::inherit())
            .stdout(out)
            .stderr(errors)
            .status();
        let ended = ended.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(act(), "there is no `ssh` on this machine"),
            _ => Failure::new(act(), error.to_string()),
        })?;
        if ended.success() {
            let printed = fs::read(printed).map_err(broken)?;
            return Ok((ssh, printed));
        }
        let said = fs::read_to_string(said).unwrap_or_default();
        let failure = Failure::new(
            act(),
            last_line(&said).unwrap_or("ssh did not say why").to_owned(),
        );
        Err(match () {
            // ssh asks on a terminal alone.
            () if said.contains("Host key verification failed") => {
                failure.hinted(format!("ssh {target}"))
            }
            () => failure,
        })
    }

    /// Run words as they are. Standard output of what ended well.
    pub(crate) fn run(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        self.script(&quote::line(words.iter().copied()), input)
    }

    /// Run a line that has no value in it but quoted ones.
    pub(crate) fn script(&self, line: &str, input: &[u8]) -> Result<Vec<u8>, String> {
        let output = self.feed(line, input).and_then(Child::wait_with_output);
        let output = output.map_err(|error| format!("cannot run ssh: {error}"))?;
        ended(&output)
    }

    /// The same; each line of its standard output is shown as it comes.
    pub(crate) fn lines(
        &self,
        words: &[&str],
        input: &[u8],
        show: &mut dyn FnMut(&str),
    ) -> Result<(), String> {
        let line = quote::line(words.iter().copied());
        let talked = self.feed(&line, input).and_then(|mut child| {
            let out = child.stdout.take();
            for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()) {
                show(&line?);
            }
            child.wait_with_output()
        });
        ended(&talked.map_err(|error| format!("the connection failed: {error}"))?).map(drop)
    }

    /// Start words that run for as long as the value is there; their standard input ends with it. Gives what is behind
    /// `prefix` in the first line that begins with it.
    pub(crate) fn hold(&self, words: &[&str], prefix: &str) -> Result<(Hold, String), String> {
        let line = quote::line(words.iter().copied());
        let mut child = self
            .talk(&line)
            .map_err(|error| format!("cannot run ssh: {error}"))?;
        let mut lines = child
            .stdout
            .take()
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines());
        let found = lines.find_map(|line| line.ok()?.strip_prefix(prefix).map(str::to_owned));
        match found {
            Some(found) => Ok((Hold(child), found)),
            None => {
                let output = child.wait_with_output();
                let output = output.map_err(|error| format!("cannot run ssh: {error}"))?;
                Err(ended(&output)
                    .err()
                    .unwrap_or_else(|| "it ended at once".to_owned()))
            }
        }
    }

    /// Run a line with the person's terminal, which is asked for a password.
    pub(crate) fn with_terminal(&self, line: &str) -> Result<(), String> {
        let ended = self
            .command(&["-t"], line)
            .stderr(Stdio::inherit())
            .stdin(Stdio::inherit())
            .stdout(Stdio::inherit())
            .status();
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err("it did not end well".to_owned()),
            Err(error) => Err(format!("cannot run ssh: {error}")),
        }
    }

    /// Copy to a file of the host that only its owner may use.
    pub(crate) fn upload(&self, from: &Path, to: &str) -> Result<(), String> {
        let file = fs::File::open(from)
            .map_err(|error| format!("cannot read `{}`: {error}", from.display()))?;
        let line = quote::line([
            "sh",
            "-c",
            "umask 077; cat >\"$1\" && chmod 700 \"$1\"",
            "sh",
            to,
        ]);
        let output = self.command(&["-T"], &line).stdin(file).output();
        ended(&output.map_err(|error| format!("cannot run ssh: {error}"))?).map(drop)
    }

    /// Start a line that has no value in it but quoted ones, to talk with what it runs. Ctrl-C does not reach it: the person's program
    /// says what is to happen then.
    pub(crate) fn talk(&self, line: &str) -> io::Result<Child> {
        self.command(&["-T"], line)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn feed(&self, line: &str, input: &[u8]) -> io::Result<Child> {
        let mut child = self.talk(line)?;
        if let Some(mut to) = child.stdin.take() {
            let input = input.to_owned();
            // What does not read it says why it ended.
            std::thread::spawn(move || to.write_all(&input));
        }
        Ok(child)
    }

    fn command(&self, options: &[&str], line: &str) -> Command {
        let mut command = Command::new("ssh");
        if let Some(config) = &self.config {
            command.arg("-F").arg(config);
        }
        let mut control = std::ffi::OsString::from("ControlPath=");
        control.push(self.dir.path().join("c"));
        command
            .arg("-o")
            .arg(control)
            .args(options)
            .arg("--")
            .arg(self.target.as_str())
            .arg(line);
        command
    }
}

/// Something that runs on a host until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold(Child);

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let mut command = self.command(&["-O", "exit"], "");
        let _ = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// A directory that nobody else may enter, with a short name.
fn private_dir() -> io::Result<TempDir> {
    let usual = std::env::temp_dir();
    let short = match usual.as_os_str().len() <= LONGEST_DIR {
        true => usual,
        false => PathBuf::from("/tmp"),
    };
    tempfile::Builder::new().prefix("stead-").tempdir_in(short)
}

/// Standard output of what ended well, else why not.
pub(crate) fn ended(output: &Output) -> Result<Vec<u8>, String> {
    if output.status.success() {
        return Ok(output.stdout.clone());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = last_line(&said).map(str::to_owned);
    Err(match (output.status.code(), line) {
        (Some(SSH_FAILED), Some(line)) => format!("the connection failed: {line}"),
        (_, Some(line)) => line,
        (Some(SSH_FAILED), None) => "the connection failed".to_owned(),
        (Some(code), None) => format!("it ended with exit status {code}"),
        (None, None) => "ssh was killed".to_owned(),
    })
}

/// Of what a program said. The last cause of a program of ours is one of ours, and is not called so twice.
fn last_line(said: &str) -> Option<&str> {
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.strip_prefix("cause: ").unwrap_or(line))
}
