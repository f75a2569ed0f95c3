//! A file of names and hashes of passwords, as `htpasswd` writes it: a line for each, `name:hash`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::manifest::values;

/// Most users of one file; further ones are not let in.
const MOST: usize = 10_000;

/// What is in such a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Htpasswd {
    /// Name → bcrypt hash. Of a name that is there twice, the first line counts.
    pub users: BTreeMap<String, String>,
    /// Lines that let nobody in.
    pub unusable: Vec<Unusable>,
}

/// A line that lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Which, from 1.
    pub line: usize,
    /// Whose, when that can be read.
    pub name: Option<String>,
    /// The end of a sentence, for a person. Nothing of the hash is in it.
    pub why: &'static str,
}

/// A sentence about a file of users, for a person. `problem` is its end; `None`: there is none any more.
#[must_use]
pub fn report(file: &Path, problem: Option<&str>) -> String {
    let problem = problem.unwrap_or("is as it should be again");
    format!("the file of users `{}` {problem}", file.display())
}

/// Read it. Empty lines and those that begin with `#` are passed over, as is whatever follows a second colon.
pub fn parse(text: &str) -> Htpasswd {
    let mut found = Htpasswd::default();
    for (index, line) in text.lines().enumerate() {
        let text = line.trim_end();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Err((name, why)) = take(&mut found.users, text) {
            let line = index + 1;
            found.unusable.push(Unusable { line, name, why });
        }
    }
    found
}

fn take(
    users: &mut BTreeMap<String, String>,
    line: &str,
) -> Result<(), (Option<String>, &'static str)> {
    let (name, rest) = line.split_once(':').ok_or((None, "is not `name:hash`"))?;
    if values::user_name(name).is_err() {
        let why = "has a name that is not up to 64 visible ASCII characters without `\"` and `\\`";
        return Err((None, why));
    }
    let hash = rest.split(':').next().unwrap_or_default();
    let named = |why| Err((Some(name.to_owned()), why));
    if let Some(why) = other_kind(hash) {
        return named(why);
    }
    if values::password_hash(hash).is_err() {
        return named("has no whole bcrypt hash of a cost between 04 and 14");
    }
    if users.contains_key(name) {
        return named("is there a second time");
    }
    if users.len() >= MOST {
        return named("is one too many");
    }
    users.insert(name.to_owned(), hash.to_owned());
    Ok(())
}

/// What else `htpasswd` and its like write, by name.
fn other_kind(hash: &str) -> Option<&'static str> {
    let kinds = [
        (
            "$apr1$",
            "has an MD5 hash (`$apr1$`), which is guessed too fast",
        ),
        ("$1$", "has an MD5 hash (`$1$`), which is guessed too fast"),
        (
            "{SHA}",
            "has a SHA-1 hash without salt (`{SHA}`), which is guessed at once",
        ),
        (
            "{SSHA}",
            "has a SHA-1 hash (`{SSHA}`), which is guessed too fast",
        ),
        (
            "$5$",
            "has a hash of crypt(3) (`$5$`), and only bcrypt is known",
        ),
        (
            "$6$",
            "has a hash of crypt(3) (`$6$`), and only bcrypt is known",
        ),
        (
            "$y$",
            "has a hash of crypt(3) (`$y$`), and only bcrypt is known",
        ),
    ];
    let known = kinds.iter().find(|(start, _)| hash.starts_with(start));
    match known {
        Some((_, why)) => Some(why),
        None if hash.starts_with('$') => None,
        // DES, or the password itself.
        None => Some("has a password in the clear or by DES, and only bcrypt is known"),
    }
}

#[cfg(test)]
mod tests;
