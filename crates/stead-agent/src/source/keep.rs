//! What no release needs any more is removed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;

use super::{SourceError, receive, tree};

/// A tree that was just received waits for its deploy.
const WAITS: Duration = Duration::from_secs(10 * 60);

/// Remove the app's trees but those in `keep`, by their digests, and those that were received in the last ten minutes; and each
/// content that no tree names any more. While a laptop sends, nothing is removed.
///
/// # Errors
/// The first thing that could not be read or removed.
pub fn prune(app_dir: &Path, keep: &[&str]) -> Result<(), SourceError> {
    let Ok(_alone) = receive::lock(app_dir, FlockOperation::NonBlockingLockExclusive) else {
        return Ok(());
    };
    let trees = app_dir.join("trees");
    let mut needed = HashSet::new();
    for entry in entries(&trees)? {
        let path = entry.path();
        let digest = path.file_stem().and_then(|stem| stem.to_str());
        let digest = digest.unwrap_or_default().to_owned();
        if !keep.contains(&digest.as_str()) && !is_young(&entry) {
            fs::remove_file(&path).map_err(|error| SourceError::io(&path, &error))?;
            continue;
        }
        // One that cannot be read keeps nothing, and is found to be damaged when it is needed.
        if let Ok(tree) = tree(app_dir, &digest) {
            let contents = tree.contents();
            needed.extend(contents.iter().map(|(digest, _)| (*digest).to_owned()));
        }
    }
    for dir in entries(&app_dir.join("objects"))? {
        for object in entries(&dir.path())? {
            if !needed.contains(object.file_name().to_string_lossy().as_ref()) {
                let path = object.path();
                fs::remove_file(&path).map_err(|error| SourceError::io(&path, &error))?;
            }
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, SourceError> {
    let read = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|error| SourceError::io(dir, &error)),
    }
}

fn is_young(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|found| found.modified());
    let age = modified
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    // One of the future: the clock was set.
    age.is_none_or(|age| age < WAITS)
}
