//! What a unit's program printed last.

use crate::host::program::run;

/// So many lines of a log say enough about a failure.
const LINES: usize = 20;

/// The last lines of a unit's program, as many as say enough.
pub(crate) async fn tail(unit: &str) -> Vec<String> {
    lines(unit, LINES).await
}

/// The last lines of a unit's program, without systemd's own.
pub(crate) async fn lines(unit: &str, most: usize) -> Vec<String> {
    let most = format!("--lines={most}");
    let matching = format!("_SYSTEMD_UNIT={unit}");
    let read = tokio::task::spawn_blocking(move || {
        // What was printed may be on its way yet.
        let _ = run("journalctl", ["--sync"]);
        run(
            "journalctl",
            ["--quiet", "--no-pager", "--output=cat", &most, &matching],
        )
    });
    match read.await {
        Ok(Ok(text)) => text.lines().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
