//! Paths of a tree: bytes between slashes, and how they are written in a listing.

use std::fmt::Write;

/// So that a release's directory and the path fit into what Linux takes (PATH_MAX, 4096).
const LONGEST: usize = 3000;
/// NAME_MAX of Linux.
const LONGEST_PART: usize = 255;

/// Whether it is relative, and each of its parts a name.
pub(super) fn check(path: &[u8]) -> Result<(), String> {
    if path.len() > LONGEST {
        return Err(format!("a path has {LONGEST} bytes at most"));
    }
    if path.contains(&0) {
        return Err("it has a NUL".to_owned());
    }
    if path.first() == Some(&b'/') {
        return Err("it is absolute".to_owned());
    }
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" => return Err("it has an empty part".to_owned()),
            b"." | b".." => return Err("it has a part `.` or `..`".to_owned()),
            long if long.len() > LONGEST_PART => {
                return Err(format!("a name has {LONGEST_PART} bytes at most"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The target of a link: anything but nothing.
pub(super) fn check_target(target: &[u8]) -> Result<(), String> {
    match target {
        b"" => Err("it is a link to nothing".to_owned()),
        long if long.len() > LONGEST => Err(format!("a link has {LONGEST} bytes at most")),
        target if target.contains(&0) => Err("it has a NUL".to_owned()),
        _ => Ok(()),
    }
}

/// The directories that it is in, but for the top.
pub(super) fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..at])
}

/// As text that [`read`] makes the same bytes of: `%` and two hexadecimal digits for `%`, control characters, and what is not UTF-8.
pub(super) fn written(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '%' | '\0'..='\x1f' | '\x7f' => push(&mut text, c as u8),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            push(&mut text, *byte);
        }
    }
    text
}

fn push(text: &mut String, byte: u8) {
    let _ = write!(text, "%{byte:02X}");
}

/// The bytes of a text of [`written`]. Any text makes some.
pub(super) fn read(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digits = (*first == b'%').then(|| after.first_chunk::<2>()).flatten();
        let value = digits.and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 16).ok()
        });
        match value {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => bytes.push(*first),
        }
    }
    bytes
}

/// For a person: what is not UTF-8 and control characters are replaced.
pub fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}
