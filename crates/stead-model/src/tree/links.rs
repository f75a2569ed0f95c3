//! Where links lead. What a path means can depend on every link on its way, so each is followed through the tree as the kernel would
//! (path_resolution(7)), without a file system.

use std::collections::HashMap;

use super::{Entry, Kind, TreeError, path};

/// The kernel follows so many links of one path; then there is no such file, and nothing is left.
const MOST_HOPS: usize = 40;
/// Bytes that are looked at for all links of a tree together.
const WORK: usize = 64 << 20;

/// No link leads out of the tree.
pub(super) fn check(entries: &[Entry]) -> Result<(), TreeError> {
    let links: HashMap<&[u8], &[u8]> = entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::Link { target } => Some((entry.path.as_slice(), target.as_slice())),
            Kind::File { .. } => None,
        })
        .collect();
    let mut work = WORK;
    for entry in entries {
        let Kind::Link { target } = &entry.kind else {
            continue;
        };
        path::check_target(target).map_err(|why| TreeError::at(&entry.path, why))?;
        match stays(&entry.path, &links, &mut work) {
            Some(true) => {}
            Some(false) => {
                let why = format!("it is a link out of the tree, to `{}`", path::shown(target));
                return Err(TreeError::at(&entry.path, why));
            }
            None => return Err(TreeError::whole("its links are too many to follow")),
        }
    }
    Ok(())
}

/// Whether the link at `link` stays inside. `None`: it took too much work to say.
fn stays(link: &[u8], links: &HashMap<&[u8], &[u8]>, work: &mut usize) -> Option<bool> {
    // Where the walk is; and the parts that are yet to be walked, the next one last.
    let mut place: Vec<u8> = Vec::new();
    let mut ahead: Vec<&[u8]> = link.split(|byte| *byte == b'/').rev().collect();
    let mut hops = 0;
    while let Some(part) = ahead.pop() {
        *work = work.checked_sub(place.len() + part.len() + 1)?;
        let length = place.len();
        match part {
            b"" | b"." => continue,
            b".." if place.is_empty() => return Some(false),
            b".." => {
                let end = place.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                place.truncate(end);
                continue;
            }
            name => {
                if length > 0 {
                    place.push(b'/');
                }
                place.extend_from_slice(name);
            }
        }
        let Some(target) = links.get(place.as_slice()) else {
            continue;
        };
        hops += 1;
        if hops > MOST_HOPS {
            return Some(true);
        }
        if target.first() == Some(&b'/') {
            return Some(false);
        }
        *work = work.checked_sub(target.len())?;
        place.truncate(length);
        ahead.extend(target.split(|byte| *byte == b'/').rev());
    }
    Some(true)
}
