//! A host to work on: connected to, with the program in place and the right to do what is asked.

mod logs;
mod send;
mod wish;

use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use stead_model::agent::{self, Answer, Question, Wish};
use stead_model::host::{self, BINARY, Facts, Progress, SetUp, Step, TakeDown};

use crate::ssh::{Hold, Ssh};
use crate::{Failure, Target, quote};

pub use send::Sent;
pub use wish::{GiveUp, Outcome};

/// What is found out before any program of ours is there. Nothing of the user's is in it, and it changes nothing.
const FIRST_LOOK: &str = "\
echo \"stead:kernel $(uname -s)\"
echo \"stead:machine $(uname -m)\"
echo \"stead:user $(id -u)\"
echo \"stead:binary $(sha256sum /usr/local/bin/stead 2>/dev/null | cut -d ' ' -f 1)\"
if ! command -v sudo >/dev/null; then echo 'stead:sudo none'
elif sudo -n true 2>/dev/null; then echo 'stead:sudo free'
else echo 'stead:sudo asks'
fi";

/// The same of what is a host already: nothing is read but who one is, and whether the program is there.
const GLANCE: &str = "\
echo \"stead:user $(id -u)\"
if test -x /usr/local/bin/stead; then echo 'stead:binary installed'; fi
if ! command -v sudo >/dev/null; then echo 'stead:sudo none'
elif sudo -n true 2>/dev/null; then echo 'stead:sudo free'
else echo 'stead:sudo asks'
fi";

/// A directory for what is copied there. It is removed when the connection ends, in whatever way: what is cut off
/// leaves no copy of the program behind.
const HOLD_DIR: &str = "\
umask 077
dir=$(mktemp -d \"${TMPDIR:-/tmp}/stead.XXXXXXXX\") || exit
trap '' HUP TERM PIPE
echo \"stead:dir $dir\"
cat >/dev/null
rm -rf -- \"$dir\"";

/// With the person's terminal for a password, standard input and output are files.
const FROM_FILES: &str = "dir=$1; shift; exec \"$@\" <\"$dir/asked\" >\"$dir/answered\"";

/// The program that is to be on the host.
#[derive(Clone, Debug)]
pub struct Own<'a> {
    /// On this machine.
    pub path: &'a Path,
    /// SHA-256 in hexadecimal digits.
    pub digest: String,
    /// It was named by the person, for that host.
    pub named: bool,
}

/// How commands are run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elevation {
    /// The account is root's.
    Root,
    /// sudo asks for nothing.
    Sudo,
    /// sudo asks for a password, on the terminal.
    SudoAsks,
}

/// A host to work on.
#[derive(Debug)]
pub struct Session {
    target: Target,
    elevation: Elevation,
    /// The program that is run there.
    program: String,
    /// Of our own, on the host; empty when none is needed.
    dir: String,
    /// While it is there, `dir` is. Before the connection, which it needs to end in order.
    _hold: Option<Hold>,
    /// `None`: the host is this machine.
    ssh: Option<Ssh>,
    /// SHA-256 of the program that is installed there.
    pub installed: Option<String>,
}

impl Session {
    /// Connect, and put `own` in a directory of its own on the host unless it is installed already. With `any`, whatever
    /// program is installed will do. `config`: for `ssh -F`.
    pub fn open(
        target: &Target,
        config: Option<&Path>,
        own: &Own<'_>,
        any: bool,
    ) -> Result<Self, Failure> {
        let (ssh, said) = Ssh::open(target, config, FIRST_LOOK)?;
        let act = || format!("cannot use `{target}`");
        let first = FirstLook::read(&String::from_utf8_lossy(&said));
        let elevation = first.elevation().map_err(|why| Failure::new(act(), why))?;
        if !own.named {
            first.fits().map_err(|why| {
                Failure::new(act(), why).hinted(format!("stead host add {target} --binary PATH"))
            })?;
        }
        let held = ssh.hold(&["sh", "-c", HOLD_DIR], "stead:dir ");
        let (hold, dir) = held.map_err(|why| Failure::new(act(), why))?;
        let installed = first.binary;
        let mut session = Self {
            target: target.clone(),
            ssh: Some(ssh),
            elevation,
            program: BINARY.to_owned(),
            dir,
            _hold: Some(hold),
            installed,
        };
        let will_do = session
            .installed
            .as_ref()
            .is_some_and(|installed| any || *installed == own.digest);
        if !will_do {
            session.program = format!("{}/stead", session.dir);
            session.copy(own)?;
        }
        Ok(session)
    }

    /// Connect to what is a host already, and use the program that is installed there. `config`: for `ssh -F`.
    pub fn visit(target: &Target, config: Option<&Path>) -> Result<Self, Failure> {
        let (ssh, said) = Ssh::open(target, config, GLANCE)?;
        let act = || format!("cannot use `{target}`");
        let first = FirstLook::read(&String::from_utf8_lossy(&said));
        if first.binary.is_none() {
            return Err(
                Failure::new(act(), "it is no host yet").hinted(format!("stead host add {target}"))
            );
        }
        let elevation = first.elevation().map_err(|why| Failure::new(act(), why))?;
        let held = match elevation {
            Elevation::SudoAsks => Some(ssh.hold(&["sh", "-c", HOLD_DIR], "stead:dir ")),
            Elevation::Root | Elevation::Sudo => None,
        };
        let held = held.transpose().map_err(|why| Failure::new(act(), why))?;
        let (hold, dir) = held.unzip();
        Ok(Self {
            target: target.clone(),
            elevation,
            program: BINARY.to_owned(),
            dir: dir.unwrap_or_default(),
            _hold: hold,
            ssh: Some(ssh),
            installed: None,
        })
    }

    /// Whether a person is asked for a password with each thing that is done, so that they are done one after the other.
    pub fn asks(&self) -> bool {
        self.elevation == Elevation::SudoAsks
    }

    /// This machine is the host, and who runs this is root. `program` is run as it would be over ssh.
    pub fn here(target: Target, program: &Path) -> Self {
        Self {
            target,
            elevation: Elevation::Root,
            program: program.to_string_lossy().into_owned(),
            dir: String::new(),
            _hold: None,
            ssh: None,
            installed: None,
        }
    }

    /// The words before those of a command that is run as root there.
    pub fn before_root(&self) -> &'static [&'static str] {
        match self.elevation {
            Elevation::Root => &[],
            Elevation::Sudo | Elevation::SudoAsks => &["sudo", "-n", "--"],
        }
    }

    /// Where it is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    fn copy(&self, own: &Own<'_>) -> Result<(), Failure> {
        let act = || format!("cannot copy `stead` to `{}`", self.target);
        let ssh = self.ssh().map_err(|why| Failure::new(act(), why))?;
        let copied = ssh.upload(own.path, &self.program);
        copied.map_err(|why| Failure::new(act(), why))?;
        let said = ssh.run(&[&self.program, "--version"], b"");
        match said {
            Ok(said) if said.starts_with(b"stead ") => Ok(()),
            Ok(_) => Err(Failure::new(act(), "what was copied is not `stead`")),
            Err(why) => Err(Failure {
                act: act(),
                causes: vec!["it does not run there".to_owned(), why],
                hint: (!own.named).then(|| format!("stead host add {} --binary PATH", self.target)),
            }),
        }
    }

    /// What the host is, and what of Stead is there.
    pub fn look(&self) -> Result<Facts, Failure> {
        let act = || format!("cannot look at `{}`", self.target);
        let said = self
            .as_root(&["api", "look"], b"")
            .map_err(|why| Failure::new(act(), why))?;
        let facts: Facts = serde_json::from_slice(&said)
            .map_err(|error| Failure::new(act(), format!("its answer is no facts: {error}")))?;
        match facts.protocol == host::PROTOCOL {
            true => Ok(facts),
            false => Err(Failure::new(
                act(),
                format!(
                    "stead {} there speaks version {} of the protocol, not {}",
                    facts.version,
                    facts.protocol,
                    host::PROTOCOL
                ),
            )),
        }
    }

    /// Carry out what the person has consented to.
    pub fn set_up(&self, steps: &[Step], show: &mut dyn FnMut(&Progress)) -> Result<(), Failure> {
        let asked = SetUp {
            protocol: host::PROTOCOL,
            steps: steps.to_vec(),
        };
        self.carry_out("set-up", &serde_json::to_vec(&asked), show)
    }

    /// Remove everything of Stead; `data`: what apps keep, too.
    pub fn take_down(&self, data: bool, show: &mut dyn FnMut(&Progress)) -> Result<(), Failure> {
        let asked = TakeDown {
            protocol: host::PROTOCOL,
            data,
        };
        self.carry_out("take-down", &serde_json::to_vec(&asked), show)
    }

    fn carry_out(
        &self,
        verb: &str,
        asked: &Result<Vec<u8>, serde_json::Error>,
        show: &mut dyn FnMut(&Progress),
    ) -> Result<(), Failure> {
        let act = || format!("cannot finish on `{}`", self.target);
        let asked = asked
            .as_ref()
            .map_err(|error| Failure::new(act(), error.to_string()))?;
        let mut end = None;
        let mut hear = |line: &str| match serde_json::from_str(line) {
            Ok(done @ Progress::Done { .. }) => show(&done),
            Ok(ended) => end = Some(ended),
            // A shell of the account may greet.
            Err(_) => {}
        };
        let talked = match self.elevation {
            Elevation::SudoAsks => self.as_root(&["api", verb], asked).map(|said| {
                String::from_utf8_lossy(&said).lines().for_each(&mut hear);
            }),
            _ => {
                let words = self.words(&["api", verb]);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let ssh = self.ssh().map_err(|why| Failure::new(act(), why))?;
                ssh.lines(&words, asked, &mut hear)
            }
        };
        match (end, talked) {
            (Some(Progress::Failed { act, causes }), _) => Err(Failure {
                act: format!("{act} on `{}`", self.target),
                causes,
                hint: None,
            }),
            (Some(_), Ok(())) => Ok(()),
            (_, Err(why)) => Err(Failure::new(act(), why)),
            (None, Ok(())) => Err(Failure::new(act(), "it ended before it was done")),
        }
    }

    /// Ask the host's agent.
    pub fn ask(&self, wish: Wish) -> Result<Answer, Failure> {
        let act = || format!("cannot ask the agent of `{}`", self.target);
        let question = Question {
            protocol: agent::PROTOCOL,
            wish,
            detached: false,
        };
        let mut line = serde_json::to_vec(&question)
            .map_err(|error| Failure::new(act(), error.to_string()))?;
        line.push(b'\n');
        let said = self.as_root(&["api"], &line).map_err(|why| {
            Failure::new(act(), why).hinted(format!("stead host doctor {}", self.target))
        })?;
        serde_json::from_slice(&said)
            .map_err(|error| Failure::new(act(), format!("its answer is none: {error}")))
    }

    /// Run the program as root, with these words. Its standard output.
    pub(crate) fn as_root(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let Some(ssh) = &self.ssh else {
            return self.run_here(words, input);
        };
        let words = self.words(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if self.elevation != Elevation::SudoAsks {
            return ssh.run(&words, input);
        }
        if !io::stdin().is_terminal() {
            return Err(
                "sudo asks for a password there, and there is no terminal here to ask on"
                    .to_owned(),
            );
        }
        let (asked, answered) = (
            format!("{}/asked", self.dir),
            format!("{}/answered", self.dir),
        );
        let writes = "umask 077; rm -f -- \"$2\"; cat >\"$1\"";
        ssh.run(&["sh", "-c", writes, "sh", &asked, &answered], input)?;
        let ran = ssh.with_terminal(&quote::line(words));
        // The file is there as soon as sudo lets it begin; before that, sudo has said on the terminal why not.
        let said = ssh.run(&["cat", &answered], b"");
        match (ran, said) {
            // What it said of a failure says more than that it failed.
            (Ok(()), said) => said,
            (Err(_), Ok(said)) if !said.is_empty() => Ok(said),
            (Err(why), Ok(_)) => Err(why),
            (Err(_), Err(_)) => Err("sudo did not let you there; it said why above".to_owned()),
        }
    }

    fn ssh(&self) -> Result<&Ssh, String> {
        let here = "this machine is the host itself";
        self.ssh.as_ref().ok_or_else(|| here.to_owned())
    }

    fn run_here(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |error: io::Error| format!("cannot run `{}`: {error}", self.program);
        let mut child = self.talk(words).map_err(failed)?;
        if let Some(mut to) = child.stdin.take() {
            let input = input.to_owned();
            // What does not read it says why it ended.
            std::thread::spawn(move || to.write_all(&input));
        }
        crate::ssh::ended(&child.wait_with_output().map_err(failed)?)
    }

    /// Start the program as root with these words, to talk with it. Ctrl-C does not reach it.
    fn talk(&self, words: &[&str]) -> io::Result<Child> {
        match &self.ssh {
            Some(ssh) => {
                let words = self.words(words);
                ssh.talk(&quote::line(words.iter().map(String::as_str)))
            }
            None => Command::new(&self.program)
                .args(words)
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn(),
        }
    }

    /// The words of a command that runs the program as root.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let before: &[&str] = match self.elevation {
            Elevation::Root => &[],
            Elevation::Sudo => &["sudo", "-n", "--"],
            Elevation::SudoAsks => &["sudo", "--", "sh", "-c", FROM_FILES, "sh", &self.dir],
        };
        let program = [self.program.as_str()];
        let words = before.iter().chain(&program).chain(words);
        words.map(|word| (*word).to_owned()).collect()
    }
}

/// What [`FIRST_LOOK`] has found.
#[derive(Debug, Default, PartialEq, Eq)]
struct FirstLook {
    kernel: String,
    machine: String,
    user: String,
    sudo: String,
    binary: Option<String>,
}

impl FirstLook {
    /// Whatever else a shell prints when it starts is passed over.
    fn read(said: &str) -> Self {
        let mut first = Self::default();
        for line in said.lines() {
            let Some((name, value)) = line
                .strip_prefix("stead:")
                .and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            let value = value.trim().to_owned();
            match name {
                "kernel" => first.kernel = value,
                "machine" => first.machine = value,
                "user" => first.user = value,
                "sudo" => first.sudo = value,
                "binary" => first.binary = Some(value).filter(|value| !value.is_empty()),
                _ => {}
            }
        }
        first
    }

    fn elevation(&self) -> Result<Elevation, String> {
        match (self.user.as_str(), self.sudo.as_str()) {
            ("0", _) => Ok(Elevation::Root),
            (_, "free") => Ok(Elevation::Sudo),
            (_, "asks") => Ok(Elevation::SudoAsks),
            _ => Err("its user is not root, and there is no `sudo`".to_owned()),
        }
    }

    /// Whether this machine's program can run there.
    fn fits(&self) -> Result<(), String> {
        if self.kernel != "Linux" {
            return Err(format!("it runs {}, and a host runs Linux", self.kernel));
        }
        match self.machine == std::env::consts::ARCH && cfg!(target_os = "linux") {
            true => Ok(()),
            false => Err(format!(
                "it is {}, and this `stead` is for {} on {}",
                self.machine,
                std::env::consts::ARCH,
                std::env::consts::OS
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_is_found_among_greetings() {
        let said = "Welcome to the machine!\nstead:kernel Linux\nstead:machine x86_64\nstead:user 1000\n\
                    stead:binary \nstead:sudo asks\nbye\n";
        let first = FirstLook::read(said);
        assert_eq!(first.elevation(), Ok(Elevation::SudoAsks));
        assert_eq!(first.binary, None);
        for end in 0..said.len() {
            let _ = FirstLook::read(&said[..end]);
        }
        assert!(FirstLook::read("").elevation().is_err());
        assert!(FirstLook::read("stead:kernel Darwin\n").fits().is_err());
    }
}
