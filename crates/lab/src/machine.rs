//! One machine: booted, looked into, broken, mended.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::command;
use crate::place::{self, Place};
use crate::process::Known;

/// How long a machine may take until it answers, and until it is off. It takes four seconds on an idle machine of two CPUs.
const PATIENCE: Duration = Duration::from_secs(90);

/// An error makes it read-only, as Debian's installer has it for `/`.
const DISK_OPTIONS: &str = "loop,errors=remount-ro";

/// A file system of its own in a machine, so small that it can be filled.
#[derive(Clone, Copy, Debug)]
pub struct SmallDisk {
    /// Where it is mounted.
    pub at: &'static str,
    /// Its size.
    pub megabytes: u64,
}

/// A machine. It is switched off and gone when this is dropped.
#[derive(Debug)]
pub struct Machine {
    place: Arc<Place>,
    name: String,
    address: String,
    /// What is written down of it, and its file system.
    dir: PathBuf,
    disks: Vec<SmallDisk>,
    /// systemd-nspawn, while the machine is on.
    running: Option<Child>,
}

impl Machine {
    pub(crate) fn boot(
        place: &Arc<Place>,
        base: &Path,
        name: &str,
        last: u8,
        disks: &[SmallDisk],
    ) -> Result<Self, String> {
        let mut machine = Self {
            address: place.address(last),
            dir: place.dir().join("machines").join(name),
            place: Arc::clone(place),
            name: name.to_owned(),
            disks: disks.to_vec(),
            running: None,
        };
        machine.make(base)?;
        machine.start()?;
        Ok(machine)
    }

    /// Its name, which ssh knows through [`crate::Lab::ssh_config`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is reached.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its file system as seen from this side. `/run` and `/tmp` of a machine that is on are not in it.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Run lines of shell in it, as root. Standard output, or why not.
    pub fn sh(&self, script: &str) -> Result<String, String> {
        let ended = self.ssh(script).output();
        let output = ended.map_err(|error| format!("cannot run ssh: {error}"))?;
        command::done(&format!("{}: {script}", self.name), &output)
    }

    /// ssh into it, as root, to be started by the caller.
    pub fn ssh(&self, script: &str) -> Command {
        let mut command = Command::new("ssh");
        command
            .arg("-F")
            .arg(self.place.dir().join("ssh_config"))
            .args([&self.name, script])
            .stdin(Stdio::null());
        command
    }

    /// Pull the plug of the network: packets are lost, both ways, and nobody is told.
    pub fn cut(&self) -> Result<(), String> {
        self.set_cable("down")
    }

    /// Plug the network in again.
    pub fn mend(&self) -> Result<(), String> {
        self.set_cable("up")
    }

    fn set_cable(&self, state: &str) -> Result<(), String> {
        let cable = self.place.cable(&self.name);
        command::run("ip", ["link", "set", &cable, state]).map(drop)
    }

    /// Every process of it ends at once, without notice.
    pub fn kill(&mut self) -> Result<(), String> {
        if let Some(process) = self.process() {
            place::end(process);
        }
        self.has_stopped()
    }

    /// Switch it off in order, as its power button would.
    pub fn power_off(&mut self) -> Result<(), String> {
        // It may be off before ssh has ended in order.
        let _ = self.sh("systemctl poweroff --no-block");
        self.has_stopped()
    }

    /// Let it restart in order, and wait until it answers again.
    pub fn reboot(&mut self) -> Result<(), String> {
        let _ = self.sh("systemctl reboot --no-block");
        self.has_stopped()?;
        self.start()
    }

    /// Fill a small disk until nothing more fits.
    pub fn fill(&self, disk: SmallDisk) -> Result<(), String> {
        let file = format!("{}/.filled-by-the-lab", disk.at);
        // It ends by running out of space, which is what was wanted.
        self.sh(&format!(
            "dd if=/dev/zero of={file} bs=64k status=none 2>/dev/null; dd if=/dev/zero of={file} bs=1 oflag=append conv=notrunc status=none 2>/dev/null; sync; test $(stat -f -c %a {at}) -eq 0",
            at = disk.at
        ))
        .map(drop)
    }

    /// Give the space of [`Machine::fill`] free.
    pub fn free(&self, disk: SmallDisk) -> Result<(), String> {
        self.sh(&format!("rm -f {}/.filled-by-the-lab", disk.at))
            .map(drop)
    }

    /// Let the kernel find an error in a small disk's file system: it is read-only from now on, whoever has files open.
    pub fn spoil(&self, disk: SmallDisk) -> Result<(), String> {
        let (_, at) = self.image(disk);
        let device = command::run("findmnt", ["--noheadings", "--output=SOURCE", &at])?;
        let device = device.trim().rsplit('/').next().unwrap_or_default();
        // ext4's own way to try it, Documentation/ABI/testing/sysfs-fs-ext4 of Linux.
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "1").map_err(|error| format!("cannot write `{trigger}`: {error}"))
    }

    /// Check and mend the file system of a small disk, while the machine is off.
    pub fn repair(&self, disk: SmallDisk) -> Result<(), String> {
        let (image, at) = self.image(disk);
        command::run("umount", [&at])?;
        // Machines of other labs that started meanwhile have the mount in theirs, so what was spoiled is still in the kernel: from
        // here on it is another file.
        let other = format!("{image}.mended");
        command::run("cp", ["--sparse=always", &image, &other])?;
        fs::rename(&other, &image).map_err(|error| error.to_string())?;
        // 1: errors were there, and are no more (e2fsck(8)).
        let checked = Command::new("e2fsck")
            .args(["-p", "-f", &image])
            .env("PATH", command::path())
            .output()
            .map_err(|error| format!("cannot run `e2fsck`: {error}"))?;
        if !matches!(checked.status.code(), Some(0 | 1)) {
            return Err(String::from_utf8_lossy(&checked.stdout).into_owned());
        }
        command::run("mount", ["-o", DISK_OPTIONS, &image, &at]).map(drop)
    }

    /// The file that a small disk is, and where it is mounted on this side.
    fn image(&self, disk: SmallDisk) -> (String, String) {
        let number = self.disks.iter().position(|is| is.at == disk.at);
        let image = self.dir.join(format!("disk{}", number.unwrap_or_default()));
        let at = self.root().join(disk.at.trim_start_matches('/'));
        (image.display().to_string(), at.display().to_string())
    }

    /// Switch it on, and wait until it answers over ssh.
    pub fn start(&mut self) -> Result<(), String> {
        let log = File::create(self.dir.join("console")).map_err(|error| error.to_string())?;
        let machine = self.place.machine(&self.name);
        let mut command = Command::new("setsid");
        command
            .args(["systemd-nspawn", "--quiet", "--boot"])
            .arg("--directory")
            .arg(self.root())
            .arg(format!("--machine={machine}"))
            // Nothing of this is told to a systemd of this side, which there may not be.
            .args(["--keep-unit", "--register=no", "--resolv-conf=off"])
            .arg(format!("--network-bridge={}", self.place.bridge()))
            // For a firewall of its own.
            .arg("--capability=CAP_NET_ADMIN")
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .env("PATH", command::path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log);
        let child = command.spawn();
        let child = child.map_err(|error| format!("cannot run systemd-nspawn: {error}"))?;
        let process = Known::of(child.id() as i32);
        self.running = Some(child);
        let process = process.ok_or_else(|| self.died())?;
        // From here on the next lab can end it.
        let recorded = process.write(&self.dir.join("process"));
        recorded.map_err(|error| error.to_string())?;
        self.answers()
    }

    /// Wait until it is reached over ssh.
    pub fn answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let why = match self.sh("true") {
                Ok(_) => return Ok(()),
                Err(why) => why,
            };
            let ended = self
                .running
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || self.running.is_none() {
                return Err(self.died());
            }
            if Instant::now() > deadline {
                let name = &self.name;
                return Err(format!("{name} does not answer: {why}\n{}", self.console()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn died(&self) -> String {
        format!("{} did not boot: {}", self.name, self.console())
    }

    /// What it printed while it booted, the last of it.
    pub fn console(&self) -> String {
        let text = fs::read(self.dir.join("console")).unwrap_or_default();
        let from = text.len().saturating_sub(4096);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }

    fn process(&self) -> Option<Known> {
        Known::of(self.running.as_ref()?.id() as i32)
    }

    /// Wait for the end of systemd-nspawn; what it left is removed.
    fn has_stopped(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(child) = &mut self.running {
            if child
                .try_wait()
                .map_err(|error| error.to_string())?
                .is_some()
            {
                self.running = None;
            } else if Instant::now() > deadline {
                return Err(format!("{} is not off: {}", self.name, self.console()));
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.place.unplug(&self.name);
        let _ = fs::remove_file(self.dir.join("process"));
        Ok(())
    }

    /// Its file system, its address, the key.
    fn make(&self, base: &Path) -> Result<(), String> {
        let because = |error: std::io::Error| format!("cannot make {}: {error}", self.name);
        let root = self.root();
        let (upper, work) = (self.dir.join("upper"), self.dir.join("work"));
        for dir in [&upper, &work, &root] {
            fs::create_dir_all(dir).map_err(because)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            base.display(),
            upper.display(),
            work.display()
        );
        let root_text = root.display().to_string();
        command::run(
            "mount",
            ["-t", "overlay", "stead-lab", "-o", &options, &root_text],
        )?;
        for disk in &self.disks {
            let (image, at) = self.image(*disk);
            File::create(&image)
                .and_then(|file| file.set_len(disk.megabytes << 20))
                .map_err(because)?;
            // No blocks kept back for root: full is full.
            command::run("mkfs.ext4", ["-q", "-m", "0", &image])?;
            fs::create_dir_all(&at).map_err(because)?;
            command::run("mount", ["-o", DISK_OPTIONS, &image, &at])?;
        }
        self.configure(&root).map_err(because)
    }

    fn configure(&self, root: &Path) -> std::io::Result<()> {
        fs::write(root.join("etc/hostname"), format!("{}\n", self.name))?;
        fs::write(
            root.join("etc/hosts"),
            format!("127.0.0.1 localhost\n{} {}\n", self.address, self.name),
        )?;
        let network = root.join("etc/systemd/network");
        fs::create_dir_all(&network)?;
        // The name sorts before systemd's own `80-container-host0.network`.
        fs::write(
            network.join("10-lab.network"),
            format!(
                "[Match]\nName=host0\n[Network]\nAddress={}/24\nGateway={}\nLinkLocalAddressing=no\n",
                self.address,
                self.place.address(1)
            ),
        )?;
        let ssh = root.join("root/.ssh");
        fs::create_dir_all(&ssh)?;
        fs::set_permissions(&ssh, Permissions::from_mode(0o700))?;
        let key = fs::read(self.place.dir().join("key.pub"))?;
        fs::write(ssh.join("authorized_keys"), key)?;
        let lab = self.place.dir();
        let mut config = fs::OpenOptions::new()
            .append(true)
            .open(lab.join("ssh_config"))?;
        write!(
            config,
            "Host {name}\n  HostName {address}\n  User root\n  IdentityFile {lab}/key\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {lab}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking accept-new\n  \
             LogLevel ERROR\n  ConnectTimeout 5\n  ServerAliveInterval 5\n",
            name = self.name,
            address = self.address,
            lab = lab.display(),
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.kill();
        self.place.unmount(&self.dir);
        let _ = fs::remove_dir_all(&self.dir);
    }
}
