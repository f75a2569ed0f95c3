//! A program that makes records: `PROGRAM ARGUMENTS… present NAME VALUE`, and `cleanup` after it.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificates::CertificateWish;

/// A provider may take minutes until a record can be seen.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often the program is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What is shown of its errors.
const SHOWN: usize = 300;

/// The program and its first arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    program: String,
    arguments: Vec<String>,
    /// Whose it is, and where; `None`: this program's own user, here.
    user: Option<(String, PathBuf)>,
}

impl Program {
    pub(super) fn of(wish: &CertificateWish) -> Self {
        let mut line = wish.acme.dns_program.iter().cloned();
        let user = wish.user.clone();
        Self {
            program: line.next().unwrap_or_default(),
            arguments: line.collect(),
            user: user.map(|user| (user, wish.source.clone())),
        }
    }

    /// An app's program is not run with an agent's rights: it gets a unit of its own, as the app's user, and changes nothing but a
    /// `/tmp` of its own.
    fn command(&self) -> Command {
        let Some((user, directory)) = &self.user else {
            return Command::new(&self.program);
        };
        let mut command = Command::new("systemd-run");
        command
            .args([
                "--quiet",
                "--wait",
                "--collect",
                "--pipe",
                "--service-type=exec",
            ])
            .arg(format!("--uid={user}"))
            .arg(format!("--working-directory={}", directory.display()));
        let runtime = format!("RuntimeMaxSec={}", PATIENCE.as_secs());
        for property in [
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "ProtectSystem=strict",
            "ProtectHome=yes",
            "PrivateTmp=yes",
            "PrivateDevices=yes",
            runtime.as_str(),
        ] {
            command.arg(format!("--property={property}"));
        }
        command.arg("--");
        // A relative path is one of the app's code; a bare name is looked for in the usual places.
        match self.program.contains('/') {
            true => command.arg(directory.join(&self.program)),
            false => command.arg(&self.program),
        };
        command
    }

    pub(super) fn run(&self, act: &str, name: &str, value: &str) -> Result<(), String> {
        let shown = format!("`{} {act} {name}`", self.program);
        let mut command = self.command();
        command
            .args(&self.arguments)
            .args([act, name, value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .map_err(|error| format!("{shown} cannot be run: {}", crate::spawn::io_text(&error)))?;
        let stderr = child.stderr.take();
        let words = std::thread::spawn(move || {
            let mut words = Vec::new();
            if let Some(mut stderr) = stderr {
                // What it writes beyond that is read, so that it is not held up, and forgotten.
                let _ = stderr.by_ref().take(64 * 1024).read_to_end(&mut words);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            }
            String::from_utf8_lossy(&words).into_owned()
        });
        let began = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if began.elapsed() < PATIENCE => std::thread::sleep(LOOK),
                _ => {
                    let group = rustix::process::Pid::from_child(&child);
                    let _ =
                        rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                    let _ = child.wait();
                    return Err(format!("{shown} did not end in {} s", PATIENCE.as_secs()));
                }
            }
        };
        if status.success() {
            return Ok(());
        }
        let words = words.join().unwrap_or_default();
        let last = words.lines().rev().find(|line| !line.trim().is_empty());
        let last: String = last
            .unwrap_or("it said nothing")
            .chars()
            .take(SHOWN)
            .collect();
        Err(format!("{shown} ended with {status}: {last}"))
    }
}
