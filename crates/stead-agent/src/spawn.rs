//! Starting a program: fork and exec, on a thread that lives as long as the programs do.
//!
//! A child gets a session of its own (a terminal's Ctrl-C does not reach it), /dev/null as stdin,
//! every signal as a fresh program expects it, no descriptor but 0, 1, 2 and those handed over, and SIGKILL when
//! the thread that forked it ends. That is why there is one such thread: `PR_SET_PDEATHSIG` is about the parent's *thread*.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Pid;
use tokio::sync::oneshot;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Program {
    /// What is executed; found by [`find`].
    pub(crate) file: PathBuf,
    /// The whole argument vector.
    pub(crate) argv: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub(crate) dir: PathBuf,
    /// Become descriptors 3, 4, … of the child.
    pub(crate) descriptors: Vec<Arc<OwnedFd>>,
    /// Set `LISTEN_PID` to the child's process id.
    pub(crate) listen_pid: bool,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Child {
    /// Also the id of its session and process group.
    pub(crate) pid: Pid,
    /// The read end of its standard output.
    pub(crate) stdout: OwnedFd,
    /// The read end of its standard error.
    pub(crate) stderr: OwnedFd,
}

type Request = (Program, oneshot::Sender<Result<Child, String>>);

/// The thread that forks. It ends when this value and its clones are gone.
#[derive(Clone, Debug)]
pub(crate) struct Spawner(std::sync::mpsc::Sender<Request>);

impl Spawner {
    /// Start the thread. `descriptors`: the soft limit of open files that its programs get.
    pub(crate) fn start(descriptors: Option<u64>) -> io::Result<Self> {
        let (sender, receiver) = std::sync::mpsc::channel::<Request>();
        std::thread::Builder::new()
            .name("spawner".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                for (program, answer) in receiver {
                    let _ = answer.send(run(&program, descriptors));
                }
            })?;
        Ok(Self(sender))
    }

    /// Run a program. The error is a sentence without its subject: why not.
    pub(crate) async fn spawn(&self, program: Program) -> Result<Child, String> {
        let (answer, child) = oneshot::channel();
        let gone = || "the thread that starts programs has ended".to_owned();
        self.0.send((program, answer)).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}

/// Find a program as a shell would, but in `path` first. A name with a slash is relative to `dir`.
pub(crate) fn find(
    name: &OsStr,
    dir: &Path,
    path: &[PathBuf],
    inherited: &OsStr,
) -> Result<PathBuf, String> {
    let shown = name.to_string_lossy();
    if name.is_empty() {
        return Err("its command is empty".into());
    }
    if name.as_bytes().contains(&b'/') {
        let file = dir.join(name);
        return match std::fs::metadata(&file) {
            Ok(found) if found.is_dir() => Err(format!("`{shown}` is a directory")),
            Ok(_) if is_executable(&file) => Ok(file),
            Ok(_) => Err(format!("`{shown}` is not executable")),
            Err(error) => Err(format!("`{shown}`: {}", io_text(&error))),
        };
    }
    let inherited: Vec<PathBuf> = std::env::split_paths(inherited).collect();
    path.iter()
        .chain(&inherited)
        .map(|folder| dir.join(folder).join(name))
        .find(|file| file.is_file() && is_executable(file))
        .ok_or_else(|| {
            let places: Vec<_> = path.iter().map(|p| format!("`{}`", p.display())).collect();
            let or = if places.is_empty() { "" } else { " or " };
            format!(
                "there is no program `{shown}` in {}{or}PATH",
                places.join(", ")
            )
        })
}

fn is_executable(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// An I/O error as a person says it, without `(os error 2)`.
pub(crate) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut text = text[..end].to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

fn run(program: &Program, limit: Option<u64>) -> Result<Child, String> {
    let describe = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| match error.raw_os_error() {
            Some(libc::EMFILE) => format!("{what}: too many open files in Stead (`ulimit -n`)"),
            Some(libc::ENFILE) => format!("{what}: too many open files on this machine"),
            _ => format!("{what}: {}", io_text(&error)),
        }
    };
    let pipe =
        || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from);
    let (out_read, out_write) = pipe().map_err(describe("cannot make a pipe"))?;
    let (err_read, err_write) = pipe().map_err(describe("cannot make a pipe"))?;
    let null = std::fs::File::open("/dev/null").map_err(describe("cannot open /dev/null"))?;
    let mut prepared = Prepared::new(
        program,
        [null.as_fd(), out_write.as_fd(), err_write.as_fd()],
    )
    .map_err(describe("cannot prepare it"))?;
    prepared.limit = limit;
    let pid = prepared
        .fork_exec()
        .map_err(|failure| failure.explain(program))?;
    for end in [&out_read, &err_read] {
        // A larger buffer lets a program that prints a lot run on while the log is written.
        let _ = rustix::pipe::fcntl_setpipe_size(end, 256 * 1024);
    }
    Ok(Child {
        pid,
        stdout: out_read,
        stderr: err_read,
    })
}

/// Why a fork or what follows it failed.
struct Failure {
    stage: Stage,
    error: io::Error,
}

#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Stage {
    Fork,
    Session,
    Directory,
    Descriptors,
    Exec,
}

impl Failure {
    fn explain(&self, program: &Program) -> String {
        let file = program.file.display();
        let why = io_text(&self.error);
        match (self.stage, self.error.raw_os_error()) {
            (Stage::Fork, Some(libc::EAGAIN)) => {
                "cannot fork: this user (or machine) may not have more processes (`ulimit -u`)"
                    .into()
            }
            (Stage::Fork, Some(libc::EMFILE)) => {
                "cannot make a pipe: too many open files in Stead (`ulimit -n`)".into()
            }
            (Stage::Fork, _) => format!("cannot fork: {why}"),
            (Stage::Session, _) => format!("cannot give it a session: {why}"),
            (Stage::Directory, _) => format!("cannot enter `{}`: {why}", program.dir.display()),
            (Stage::Descriptors, _) => format!("cannot hand over its descriptors: {why}"),
            (Stage::Exec, Some(libc::ENOENT)) if program.file.exists() => {
                match interpreter(&program.file) {
                    Some(line) => {
                        format!("`{file}` names an interpreter that is not there: `{line}`")
                    }
                    None => format!("`{file}` needs a loader that is not there"),
                }
            }
            (Stage::Exec, Some(libc::ENOEXEC)) => {
                format!(
                    "`{file}` is neither a program for this machine nor a script with a `#!` line"
                )
            }
            (Stage::Exec, Some(libc::E2BIG)) => {
                format!("cannot execute `{file}`: its arguments and environment are too long")
            }
            (Stage::Exec, _) => format!("cannot execute `{file}`: {why}"),
        }
    }
}

/// The `#!` line of a script.
fn interpreter(file: &Path) -> Option<String> {
    use std::io::Read;
    let mut head = Vec::new();
    std::fs::File::open(file)
        .ok()?
        .take(256)
        .read_to_end(&mut head)
        .ok()?;
    let line = head.split(|b| *b == b'\n').next()?;
    let line = line.strip_prefix(b"#!")?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

/// Everything that the child needs between fork and exec, allocated before.
struct Prepared {
    file: CString,
    dir: CString,
    _strings: Vec<CString>,
    /// `LISTEN_PID=` and room for the digits, filled in by the child.
    listen_pid: Vec<u8>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    /// Become 0, 1, 2, 3, …; every one is above all of these numbers, so that none is overwritten
    /// before it was used.
    descriptors: Vec<OwnedFd>,
    /// The soft limit of open files.
    limit: Option<u64>,
}

impl Prepared {
    fn new(program: &Program, stdio: [BorrowedFd<'_>; 3]) -> io::Result<Self> {
        let nul = |_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a NUL byte in an argument or variable",
            )
        };
        let file = CString::new(program.file.as_os_str().as_bytes()).map_err(nul)?;
        let dir = CString::new(program.dir.as_os_str().as_bytes()).map_err(nul)?;
        let mut strings = Vec::new();
        let mut argv = Vec::new();
        let mut envp = Vec::new();
        for argument in &program.argv {
            let argument = CString::new(argument.as_bytes()).map_err(nul)?;
            argv.push(argument.as_ptr());
            strings.push(argument);
        }
        for (name, value) in &program.env {
            let mut line = name.as_bytes().to_vec();
            line.push(b'=');
            line.extend_from_slice(value.as_bytes());
            let line = CString::new(line).map_err(nul)?;
            envp.push(line.as_ptr());
            strings.push(line);
        }
        let mut listen_pid = b"LISTEN_PID=".to_vec();
        listen_pid.resize(listen_pid.len() + 12, 0);
        if program.listen_pid {
            envp.push(listen_pid.as_ptr().cast());
        }
        argv.push(std::ptr::null());
        envp.push(std::ptr::null());
        let above = i32::try_from(3 + program.descriptors.len()).unwrap_or(i32::MAX);
        let mut descriptors = Vec::new();
        for fd in stdio
            .into_iter()
            .chain(program.descriptors.iter().map(|d| d.as_fd()))
        {
            descriptors.push(rustix::io::fcntl_dupfd_cloexec(fd, above)?);
        }
        Ok(Self {
            file,
            dir,
            _strings: strings,
            listen_pid,
            argv,
            envp,
            descriptors,
            limit: None,
        })
    }

    /// Fork, and in the child become the program. Returns when it has.
    #[allow(unsafe_code)]
    fn fork_exec(&mut self) -> Result<Pid, Failure> {
        let at = |stage| {
            move |error: rustix::io::Errno| Failure {
                stage,
                error: error.into(),
            }
        };
        let (read, low) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(at(Stage::Fork))?;
        let above = i32::try_from(self.descriptors.len()).unwrap_or(i32::MAX);
        let write = rustix::io::fcntl_dupfd_cloexec(&low, above).map_err(at(Stage::Fork))?;
        drop(low);
        let parent = rustix::process::getpid();
        // SAFETY: the child of a process with threads may only do what is async-signal-safe until it
        // executes: `become_program` makes system calls and writes to memory allocated before.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            let error = io::Error::last_os_error();
            return Err(Failure {
                stage: Stage::Fork,
                error,
            });
        }
        if pid == 0 {
            // SAFETY: we are that child.
            let (stage, errno) = unsafe { self.become_program(parent) };
            let [a, b, c, d] = errno.to_le_bytes();
            let _ = rustix::io::write(&write, &[stage as u8, a, b, c, d]);
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(127) };
        }
        drop(write);
        let Some(child) = Pid::from_raw(pid) else {
            let error = io::Error::other("fork returned no process");
            return Err(Failure {
                stage: Stage::Fork,
                error,
            });
        };
        let mut report = [0; 5];
        let n = loop {
            match rustix::io::read(&read, &mut report) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.unwrap_or(0),
            }
        };
        if n < report.len() {
            return Ok(child);
        }
        let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
        let [stage, a, b, c, d] = report;
        let stage = [Stage::Session, Stage::Directory, Stage::Descriptors]
            .into_iter()
            .find(|s| *s as u8 == stage)
            .unwrap_or(Stage::Exec);
        let error = io::Error::from_raw_os_error(i32::from_le_bytes([a, b, c, d]));
        Err(Failure { stage, error })
    }

    /// In the child. Returns only when something failed.
    ///
    /// # Safety
    /// To be called in a fresh child only: it makes this process another program.
    #[allow(unsafe_code)]
    unsafe fn become_program(&mut self, parent: Pid) -> (Stage, i32) {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid, umask};
        if let Err(error) = setsid() {
            return (Stage::Session, error.raw_os_error());
        }
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        if getppid() != Some(parent) {
            // The parent died before we asked to be told.
            return (Stage::Session, libc::ESRCH);
        }
        // SAFETY: plain system calls with valid pointers. Signals that Stead ignores (SIGPIPE) or was
        // started with ignored would stay so in the program.
        unsafe {
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        }
        // Stead's own is raised, and a program that goes through all numbers below its limit would be long about it.
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        if let Some(limit) = self.limit {
            let limit = rustix::process::Rlimit {
                current: Some(limit),
                maximum: most,
            };
            let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
        }
        // At least 022: nothing that an app writes is for others to change.
        let mask = umask(rustix::fs::Mode::from_raw_mode(0o077));
        umask(mask | rustix::fs::Mode::from_raw_mode(0o022));
        if let Err(error) = rustix::process::chdir(self.dir.as_c_str()) {
            return (Stage::Directory, error.raw_os_error());
        }
        for (number, fd) in (0..).zip(&self.descriptors) {
            // SAFETY: as above; `dup2` clears close-on-exec, and no source has a target's number.
            if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
                let errno = io::Error::last_os_error().raw_os_error();
                return (Stage::Descriptors, errno.unwrap_or(libc::EIO));
            }
        }
        let first = self.descriptors.len();
        // SAFETY: as above. Descriptors that Stead itself inherited without close-on-exec are closed too;
        // a kernel before 5.11 does not know the call, and they are left to themselves.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                first,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
        }
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        write_digits(&mut self.listen_pid, "LISTEN_PID=".len(), pid);
        // SAFETY: both arrays end with a null pointer, and what they point to is alive.
        unsafe { libc::execve(self.file.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        let errno = io::Error::last_os_error().raw_os_error();
        (Stage::Exec, errno.unwrap_or(libc::EIO))
    }
}

/// Write a number in decimal at `start`, without allocating; the bytes after it are NUL already.
fn write_digits(buffer: &mut [u8], start: usize, number: i32) {
    let mut digits = [0u8; 10];
    let mut rest = number.unsigned_abs();
    let mut n = 0;
    for digit in &mut digits {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        n += 1;
        if rest == 0 {
            break;
        }
    }
    for (place, digit) in buffer
        .iter_mut()
        .skip(start)
        .zip(digits.iter().take(n).rev())
    {
        *place = *digit;
    }
}

#[cfg(test)]
mod tests;
