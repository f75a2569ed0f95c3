//! `--open`.

use std::process::{Command, Stdio};

/// Open `address` with the desktop's program for that; `Err` says why not.
pub(super) fn open(address: &str) -> Result<(), String> {
    let missing = || "no browser is opened: there is no `xdg-open` on this machine".to_owned();
    let spawned = Command::new("xdg-open")
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = spawned.map_err(|_| missing())?;
    // Nobody waits for a browser, but somebody must take its exit status.
    let waited = std::thread::Builder::new()
        .name("browser".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || child.wait());
    waited.map(drop).map_err(|error| error.to_string())
}
