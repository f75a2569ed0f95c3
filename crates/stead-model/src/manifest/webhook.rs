//! `[webhook]`: a branch that a host deploys when it is told of a push.

use super::section::Section;
use super::{Webhook, keys, parse, values};
use crate::config_error::Problem;
use crate::push::is_branch;

/// Where deliveries come to when nothing else is said.
const PATH: &str = "/.stead/webhook";
/// The longest URL, bytes.
const LONGEST: usize = 1000;

pub(super) fn read(section: &Section<'_>) -> Webhook {
    if !section.has_or_means("repository") {
        section.wrong(
            "`webhook` has no `repository`".into(),
            Some(parse::missing_hint(&keys::WEBHOOK, "repository")),
        );
    }
    let or = |text: &str| text.to_owned();
    let secret = section.string("secret", file);
    Webhook {
        path: section.string("path", path).unwrap_or_else(|| or(PATH)),
        repository: section.string("repository", repository).unwrap_or_default(),
        branch: section
            .string("branch", branch)
            .unwrap_or_else(|| or("main")),
        directory: section
            .string("directory", values::relative_path)
            .filter(|directory| directory != ".")
            .unwrap_or_default(),
        secret: secret.unwrap_or_else(|| or("WEBHOOK_SECRET")),
        key: section.string("key", file),
    }
}

fn path(text: &str) -> Result<String, Problem> {
    match values::url_prefix(text)?.as_str() {
        "/" => {
            Err(Problem::new("`/` is where the app is")
                .hint(format!("for example: path = \"{PATH}\"")))
        }
        path => Ok(path.to_owned()),
    }
}

/// As a secret is named: it is a file beside theirs.
fn file(text: &str) -> Result<String, Problem> {
    values::variable_name(text).map(|()| text.to_owned())
}

fn branch(text: &str) -> Result<String, Problem> {
    match is_branch(text) {
        true => Ok(text.to_owned()),
        false => Err(Problem::new("git takes no branch of that name")),
    }
}

/// git is given it as one word, and may speak https and ssh alone.
fn repository(text: &str) -> Result<String, Problem> {
    let bad = |why: &str| {
        Err(Problem::new(why).hint("for example: repository = \"https://github.com/ana/shop.git\""))
    };
    if text.len() > LONGEST
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
        || text.contains(['\'', '"', '\\'])
    {
        return bad("it has characters that no URL has");
    }
    let host = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    if let Some(rest) = text.strip_prefix("https://") {
        return match rest
            .split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
        {
            true => bad("a password in it would be in the source: a private repository has `key`"),
            false if host(rest) => Ok(text.to_owned()),
            false => bad("it names no host"),
        };
    }
    if let Some(rest) = text.strip_prefix("ssh://") {
        return if host(rest) {
            Ok(text.to_owned())
        } else {
            bad("it names no host")
        };
    }
    let short = text
        .split_once(':')
        .and_then(|(at, path)| Some((at.split_once('@')?, path)));
    match short {
        Some(((user, name), path))
            if host(user)
                && host(name)
                && !name.contains('/')
                && !path.is_empty()
                && !path.starts_with("//") =>
        {
            Ok(text.to_owned())
        }
        _ => bad("it is an `https://` or `ssh://` URL, or `git@HOST:PATH`"),
    }
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn a_repository_is_one_that_git_reaches_by_https_or_ssh() {
        for good in [
            "https://github.com/ana/shop.git",
            "ssh://git@example.com:2222/shop.git",
            "ssh://example.com/shop.git",
            "git@gitee.com:ana/shop.git",
        ] {
            assert!(repository(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/srv/shop.git",
            "file:///srv/shop.git",
            "http://example.com/x",
            "git://example.com/x",
            "ext::sh -c id",
            "--upload-pack=x",
            "https://",
            "https:///x",
            "https://-x/y",
            "https://ana:secret@example.com/x",
            "ssh://-oProxyCommand=x",
            "git@-x:y",
            "-a@b:c",
            "git@a/b:c",
            "git@a:",
            "a b@c:d",
            "https://a/'b",
        ] {
            assert!(repository(bad).is_err(), "{bad}");
        }
    }
}
