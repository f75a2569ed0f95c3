//! The unit files of an app on a host, as text: what systemd is told of an instance, a job, a release command.
//!
//! A value of a user's (a command, a path, a variable) gets into a unit through `escape` alone, or is refused: systemd reads
//! `%`, `$`, quotes, backslashes and line ends as its own. No shell sees any of it.
//!
//! Sources: systemd.unit(5), systemd.service(5), systemd.socket(5), systemd.exec(5), systemd.syntax(7).

mod escape;
mod names;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{APPS, BINARY};

pub use escape::{Unfit, environment_file, line, word};
pub use names::{
    Names, build_unit, instance_of, instance_unit, is_unit_of, job_unit, release_unit, slice,
    socket_path, target, user,
};

/// Where unit files are: an administrator finds them there, and they outlive a reboot.
pub const DIRECTORY: &str = "/etc/systemd/system";
/// The most of the machine's memory that one program of an app may take when `stead.toml` sets no limit.
const MOST_MEMORY: &str = "80%";
/// Processes and threads of one unit: a fork bomb ends here.
const MOST_TASKS: u32 = 1024;
/// Open files of one program.
const MOST_FILES: u32 = 65536;

/// A program of an app, in its sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The app's name.
    pub app: String,
    /// `web`, `job.refresh`, `release`.
    pub process: String,
    /// The release's number.
    pub release: u64,
    /// `web.1`, or as [`Service::process`].
    pub name: String,
    /// The program, an absolute path, and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// What it sees of the app's directory, and cannot change.
    pub readable: Vec<PathBuf>,
    /// What it may change: the app's volumes.
    pub writable: Vec<PathBuf>,
    /// Its variables.
    pub environment: PathBuf,
    /// Everything of Stead; nothing in it is seen but what is named above.
    pub hidden: PathBuf,
    /// How it lives.
    pub life: Life,
}

/// How a program lives.
#[derive(Clone, Debug, PartialEq)]
pub enum Life {
    /// It runs until it is stopped; when it ends by itself, systemd starts it again.
    Always {
        /// The unit of the socket that it is handed.
        socket: Option<String>,
        /// A directory of its own below `/run`, relative to that.
        runtime: Option<String>,
        /// After SIGTERM, until SIGKILL.
        grace: Duration,
        /// Bytes. Above this the kernel ends it.
        memory: Option<u64>,
        /// Its command is a shell line: what it started is told to end, too.
        shell: bool,
    },
    /// It runs once.
    Once {
        /// Until it is stopped.
        timeout: Duration,
    },
}

impl Service {
    /// The unit file.
    ///
    /// # Errors
    /// A value cannot be written into a unit.
    pub fn text(&self) -> Result<String, Unfit> {
        let mut argv = self.argv.iter();
        let program = argv
            .next()
            .filter(|program| program.starts_with('/'))
            .ok_or_else(|| Unfit::new("a program is named by its absolute path"))?;
        // The colon: no variable is put in for a `$`.
        let mut command = format!(":{}", word(program)?);
        for argument in argv {
            command.push(' ');
            command.push_str(&word(argument)?);
        }
        let user = user(&self.app);
        let mut text = format!(
            "# Made by Stead, and removed by it: `stead releases` and `stead scale` decide about it.\n\
             [Unit]\nDescription={}: {} of release {}\nAfter=network.target\nStartLimitIntervalSec=0\n",
            self.app, self.name, self.release
        );
        if let Life::Always {
            socket: Some(socket),
            ..
        } = &self.life
        {
            let _ = writeln!(text, "Requires={socket}\nAfter={socket}");
        }
        let _ = write!(
            text,
            "\n[Service]\nSlice={}\nExecStart={command}\nWorkingDirectory={}\nEnvironmentFile={}\nUser={user}\nGroup={user}\n",
            slice(&self.app),
            line(&self.directory)?,
            line(&self.environment)?,
        );
        self.life.write(&mut text);
        let _ = write!(
            text,
            "TasksMax={MOST_TASKS}\nLimitNOFILE={MOST_FILES}\nUMask=0022\n\
             SyslogIdentifier={app}.{name}\nLogExtraFields=STEAD_APP={app}\nLogExtraFields=STEAD_PROCESS={process}\n\
             LogExtraFields=STEAD_RELEASE={release}\nLogExtraFields=STEAD_INSTANCE={name}\n\n",
            app = self.app,
            name = self.name,
            process = self.process,
            release = self.release,
        );
        text.push_str(SANDBOX);
        let _ = writeln!(
            text,
            "TemporaryFileSystem={}:ro,mode=0755",
            line(&self.hidden)?
        );
        for path in &self.readable {
            let _ = writeln!(text, "BindReadOnlyPaths=-{}", bound(path)?);
        }
        for path in &self.writable {
            let _ = writeln!(text, "BindPaths={}", bound(path)?);
        }
        Ok(text)
    }
}

impl Life {
    fn write(&self, text: &mut String) {
        match self {
            Self::Always {
                runtime,
                grace,
                memory,
                shell,
                ..
            } => {
                // Those who belong together are told together when a shell, which passes nothing on, is in charge.
                let kill = if *shell { "control-group" } else { "mixed" };
                let memory = memory.map_or(MOST_MEMORY.to_owned(), |bytes| bytes.to_string());
                let _ = write!(
                    text,
                    "Type=exec\nRestart=always\nRestartSec=1\nKillMode={kill}\nTimeoutStopSec={}\nMemoryMax={memory}\nCPUWeight=100\n",
                    grace.as_secs().max(1)
                );
                if let Some(runtime) = runtime {
                    let _ = writeln!(
                        text,
                        "RuntimeDirectory={runtime}\nRuntimeDirectoryMode=0711"
                    );
                }
            }
            Self::Once { timeout } => {
                let _ = write!(
                    text,
                    "Type=oneshot\nTimeoutStartSec={}\nTimeoutStopSec=30\nKillMode=control-group\nMemoryMax={MOST_MEMORY}\nCPUWeight=50\n",
                    timeout.as_secs().max(1)
                );
            }
        }
    }
}

/// The same for every program of an app. Without `MemoryDenyWriteExecute=`: Node compiles while it runs.
const SANDBOX: &str = "\
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
";

/// The socket that an instance is handed as descriptor 3. Who connects while it is started again waits in it.
///
/// # Errors
/// The path cannot be written into a unit.
pub fn socket(app: &str, name: &str, path: &Path, owner: &str) -> Result<String, Unfit> {
    Ok(format!(
        "# Made by Stead, and removed by it.\n\
         [Unit]\nDescription={app}: where {name} is reached\n\n\
         [Socket]\nListenStream={}\nSocketUser={owner}\nSocketGroup={owner}\nSocketMode=0600\nDirectoryMode=0755\n\
         Backlog=4096\nRemoveOnStop=yes\n# The service is started again by its own rule.\nTriggerLimitIntervalSec=0\n",
        line(path)?
    ))
}

/// The units of an app's webhook: what they are called has no other app's name in front. Socket, and service for each delivery.
pub fn webhook_units(app: &str) -> [String; 2] {
    [
        format!("stead.webhook:{app}.socket"),
        format!("stead.webhook:{app}@.service"),
    ]
}

/// Where the edge hands deliveries of an app's webhook over: a program is started for each connection, sixteen at the same time.
///
/// # Errors
/// The path cannot be written into a unit.
pub fn webhook_socket(app: &str, path: &Path, owner: &str) -> Result<String, Unfit> {
    Ok(format!(
        "# Made by Stead, and removed by it.\n\
         [Unit]\nDescription={app}: where deliveries of its webhook come to\n\n\
         [Socket]\nListenStream={}\nSocketUser={owner}\nSocketGroup={owner}\nSocketMode=0600\nDirectoryMode=0755\n\
         Accept=yes\nMaxConnections=16\nRemoveOnStop=yes\nTriggerLimitIntervalSec=0\n",
        line(path)?
    ))
}

/// What answers a delivery, and pulls and deploys when it is a good one. It is root, as whoever deploys is, and writes to
/// the app's directory alone.
pub fn webhook_service(app: &str) -> String {
    format!(
        "# Made by Stead, and removed by it.\n\
         [Unit]\nDescription={app}: a delivery of its webhook\nCollectMode=inactive-or-failed\n\n\
         [Service]\nExecStart={BINARY} api webhook {app}\nStandardInput=socket\nStandardOutput=journal\nStandardError=journal\n\
         LogExtraFields=STEAD_APP={app}\nLogExtraFields=STEAD_PROCESS=webhook\nLogExtraFields=STEAD_INSTANCE=webhook\n\
         RuntimeMaxSec=2h\nNice=5\nTasksMax=256\nUMask=0077\nNoNewPrivileges=yes\nCapabilityBoundingSet=CAP_DAC_OVERRIDE\n\
         ProtectSystem=strict\nReadWritePaths={APPS}/{app}\nProtectHome=yes\nPrivateTmp=yes\nPrivateDevices=yes\nProtectClock=yes\n\
         ProtectHostname=yes\nProtectKernelLogs=yes\nProtectKernelModules=yes\nProtectKernelTunables=yes\nProtectControlGroups=yes\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\nRestrictNamespaces=yes\nRestrictRealtime=yes\nRestrictSUIDSGID=yes\n\
         LockPersonality=yes\nMemoryDenyWriteExecute=yes\nSystemCallArchitectures=native\nSystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM\n"
    )
}

/// What the machine starts for an app when it boots: replaced as a whole, by a rename, when another release serves.
pub fn boot_target(app: &str, units: &[String]) -> String {
    let mut text = format!(
        "# Made by Stead: what serves, so that it does again when the machine was restarted.\n\
         [Unit]\nDescription={app}: the release that serves\nAfter=network.target\n"
    );
    for unit in units {
        let _ = writeln!(text, "Wants={unit}");
    }
    text
}

/// `BindPaths=` takes words apart at blanks and colons.
fn bound(path: &Path) -> Result<String, Unfit> {
    let text = line(path)?;
    match text.contains([' ', ':', '"', '\'']) {
        true => Err(Unfit::new(format!(
            "the path `{}` has a character that a unit cannot hold",
            path.display()
        ))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests;
