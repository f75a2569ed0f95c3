//! Crates that must not be in what is built for Linux.

use std::process::{Command, Stdio};

use super::Complaint;
use super::tree::Tree;

/// The crate and what takes its place.
const BANNED: [(&str, &str); 5] = [
    ("ring", "aws-lc-rs is the one crypto provider"),
    ("openssl", "rustls"),
    ("openssl-sys", "rustls"),
    ("native-tls", "rustls"),
    ("chrono", "jiff"),
];

/// What Stead is built for.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// None of the banned is used. `Cargo.lock` would be the wrong witness: it also lists optional
/// dependencies that nobody turned on (docs/decisions/0009-ring-only-in-the-lock-file.md).
pub(crate) fn check(tree: &Tree) -> Vec<Complaint> {
    if !tree.root.join("Cargo.lock").is_file() {
        return vec![Complaint::new(
            "Cargo.lock",
            0,
            "is missing: the lock file is committed",
        )];
    }
    let mut complaints = Vec::new();
    for target in TARGETS {
        match used(tree, target) {
            Ok(names) => complaints.extend(banned(&names, target)),
            Err(why) => complaints.push(Complaint::new("Cargo.toml", 0, why)),
        }
    }
    complaints
}

fn banned(names: &str, target: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (banned, instead) in BANNED {
        if names
            .lines()
            .any(|line| line.split(' ').next() == Some(banned))
        {
            let text = format!("`{banned}` is used on {target}; instead: {instead}");
            complaints.push(Complaint::new("Cargo.toml", 0, text));
        }
    }
    complaints
}

/// One `name version` a line: everything but what only tests use.
fn used(tree: &Tree, target: &str) -> Result<String, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--workspace", "--prefix", "none", "--format", "{p}"])
        .args(["--edges", "normal,build", "--target", target])
        .current_dir(&tree.root)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run cargo tree: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo tree failed: {}", stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::banned;

    #[test]
    fn only_whole_names_are_banned() {
        let names = "openssl-probe v0.2.2\nstring v1.0.0\nring v0.17.14 (*)\n";
        let complaints = banned(names, "x86_64-unknown-linux-gnu");
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].text.contains("`ring`"));
    }
}
