//! What a run reaches, for whoever reads it: `cargo xtask lab --long` makes bench/HOSTS.md of it.

use std::fs;
use std::io::Write;
use std::path::Path;

/// As often and as long as the claims in the documents are meant.
pub(crate) fn long() -> bool {
    std::env::var_os("STEAD_LAB_LONG").is_some()
}

/// Say what was reached of a goal; one row, in the order of `place`.
pub(crate) fn reached(place: u32, what: &str, goal: &str, figure: &str) {
    // Past the capture of test output: these lines are what the run is for.
    let _ = writeln!(std::io::stderr(), "{what}: {figure} (goal: {goal})");
    if let Some(dir) = std::env::var_os("STEAD_LAB_FIGURES") {
        let row = format!("| {what} | {goal} | {figure} |\n");
        fs::write(Path::new(&dir).join(format!("{place:03}")), row).unwrap();
    }
}
