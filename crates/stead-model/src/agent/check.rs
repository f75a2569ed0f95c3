//! Which wishes can be meant. Names of apps and processes become paths, units and users, so each is looked at before anything is done.

use crate::manifest;

use super::{Deploy, MOST_INSTANCES, Origin, Wish};

/// Longer than any name of a branch or line of a message that a person would read.
const LONGEST_WORDS: usize = 1000;

impl Wish {
    /// It is answered with progress, and a client that goes away has given up.
    pub fn takes_long(&self) -> bool {
        match self {
            Self::Status
            | Self::Apps
            | Self::Releases { .. }
            | Self::Certificates { .. }
            | Self::RenewCertificates { .. }
            | Self::ImportCertificate(_) => false,
            Self::Deploy(_)
            | Self::Rollback { .. }
            | Self::Restart { .. }
            | Self::Scale { .. }
            | Self::Remove { .. } => true,
        }
    }

    /// The app that it is about.
    pub fn app(&self) -> Option<&str> {
        match self {
            Self::Status | Self::Apps | Self::ImportCertificate(_) => None,
            Self::Certificates { app } => app.as_deref(),
            Self::Deploy(Deploy { app, .. })
            | Self::Rollback { app, .. }
            | Self::Releases { app }
            | Self::RenewCertificates { app, .. }
            | Self::Restart { app, .. }
            | Self::Scale { app, .. }
            | Self::Remove { app, .. } => Some(app),
        }
    }

    /// Whether every word of it can be what it is to be.
    ///
    /// # Errors
    /// Why not, a sentence.
    pub fn check(&self) -> Result<(), String> {
        if let Some(app) = self.app()
            && !is_app_name(app)
        {
            return Err("an app's name is lower-case letters, digits and `-`, begins with a letter and has at most 32 characters".to_owned());
        }
        match self {
            Self::Deploy(deploy) => {
                if !is_digest(&deploy.tree) {
                    return Err("a tree is named by 64 hexadecimal digits".to_owned());
                }
                deploy.origin.check()
            }
            Self::Rollback { to, who, .. } => {
                words("who wants it", who)?;
                match to {
                    Some(0) => Err("releases are numbered from 1".to_owned()),
                    _ => Ok(()),
                }
            }
            Self::Restart {
                process: Some(process),
                ..
            } => process_name(process),
            Self::Scale { process, count, .. } => {
                process_name(process)?;
                match count.is_none_or(|count| count <= MOST_INSTANCES) {
                    true => Ok(()),
                    false => Err(format!("a process has {MOST_INSTANCES} instances at most")),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Origin {
    fn check(&self) -> Result<(), String> {
        words("who wants it", &self.who)?;
        words("the branch", self.branch.as_deref().unwrap_or_default())?;
        words("the message", self.message.as_deref().unwrap_or_default())?;
        let commit = self.commit.as_deref();
        let is_commit = |id: &str| {
            (4..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        match commit.is_none_or(is_commit) {
            true => Ok(()),
            false => Err("a commit is named by hexadecimal digits".to_owned()),
        }
    }
}

/// Shown in terminals and logs as it is.
fn words(what: &str, text: &str) -> Result<(), String> {
    match text.len() <= LONGEST_WORDS && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!(
            "{what} is one line of {LONGEST_WORDS} bytes at most, without control characters"
        )),
    }
}

fn process_name(text: &str) -> Result<(), String> {
    match is_process_name(text) {
        true => Ok(()),
        false => Err("a process's name is letters, digits, `-` and `_`, begins with a letter and has at most 32 characters".to_owned()),
    }
}

/// Whether `stead.toml` could name an app so.
pub fn is_app_name(text: &str) -> bool {
    manifest::is_app_name(text)
}

/// Whether `stead.toml` could name a process so.
pub fn is_process_name(text: &str) -> bool {
    manifest::name(text).is_ok()
}

/// Whether it is a SHA-256, as lower-case hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
