//! A git remote that is pushed to, and the repository on the host that it names.

use std::path::Path;

use stead_model::host::{APPS, BINARY};
use stead_model::push::{self, Prepared, Repository};

use crate::snapshot::ask_git::{self, without_line_end};
use crate::{Failure, Session, Target, quote};

/// A git repository on this machine, with an app in it.
#[derive(Debug)]
pub struct Checkout {
    repository: ask_git::Repository,
}

/// What `git push NAME` needs to know (git-config(1), `remote.<name>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The remote's name.
    pub name: String,
    /// Where it pushes to.
    pub url: String,
    /// What is run on the host, a line for its shell.
    pub receive_pack: String,
    /// The branch that is pushed when none is named.
    pub branch: String,
}

impl Checkout {
    /// That the app's directory is in. `None`: it is in none.
    ///
    /// # Errors
    /// git does not say.
    pub fn of(dir: &Path) -> Result<Option<Self>, Failure> {
        let found = ask_git::Repository::of(dir);
        let found = found.map_err(|refused| Failure {
            act: format!("cannot look at the repository of `{}`", dir.display()),
            causes: refused.causes,
            hint: refused.hint,
        })?;
        Ok(found.map(|repository| Self { repository }))
    }

    /// The app's directory in it, parts between slashes; empty: its top.
    pub fn directory(&self) -> String {
        let prefix = String::from_utf8_lossy(&self.repository.prefix);
        prefix.trim_end_matches('/').to_owned()
    }

    /// The branch that is checked out, if one is.
    ///
    /// # Errors
    /// git does not say.
    pub fn branch(&self) -> Result<Option<String>, Failure> {
        self.ask(&["symbolic-ref", "--quiet", "--short", "HEAD"])
    }

    /// Where a remote of this name pushes to, if there is one.
    ///
    /// # Errors
    /// git does not say.
    pub fn url_of(&self, remote: &str) -> Result<Option<String>, Failure> {
        self.ask(&["config", "--get", &format!("remote.{remote}.url")])
    }

    /// Write it into the repository's configuration.
    ///
    /// # Errors
    /// git refuses.
    pub fn add(&self, remote: &Remote) -> Result<(), Failure> {
        let refspec = format!("refs/heads/{0}:refs/heads/{0}", remote.branch);
        for (key, value) in [
            ("url", remote.url.as_str()),
            ("receivepack", &remote.receive_pack),
            ("push", &refspec),
            // It has nothing to give that is not here.
            ("skipFetchAll", "true"),
        ] {
            let key = format!("remote.{}.{key}", remote.name);
            let set = self
                .repository
                .ask(&["config", "--replace-all", &key, value], b"");
            set.map_err(|refused| Failure {
                act: format!("cannot add the git remote `{}`", remote.name),
                causes: refused.causes,
                hint: refused.hint,
            })?;
        }
        Ok(())
    }

    fn ask(&self, words: &[&str]) -> Result<Option<String>, Failure> {
        let said = self.repository.ask_whether(words);
        let said = said.map_err(|refused| Failure {
            act: "cannot ask git".to_owned(),
            causes: refused.causes,
            hint: refused.hint,
        })?;
        Ok(said.map(|said| String::from_utf8_lossy(without_line_end(&said)).into_owned()))
    }
}

/// Where `app` is pushed to on a host.
pub fn url(target: &Target, app: &str) -> String {
    let (user, host) = match target.as_str().rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), target.as_str()),
    };
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    format!("ssh://{user}{host}{APPS}/{app}/{}", push::DIRECTORY)
}

impl Session {
    /// Make the repository on the host, or change what it takes.
    ///
    /// # Errors
    /// The host refuses, or cannot.
    pub fn prepare_push(&self, wanted: &Repository) -> Result<(), Failure> {
        let act = || {
            format!(
                "cannot let `{}` be pushed to `{}`",
                wanted.app,
                self.target()
            )
        };
        if self.asks() {
            return Err(Failure::new(
                act(),
                "sudo asks for a password there, and `git push` has no terminal for it",
            ));
        }
        let asked =
            serde_json::to_vec(wanted).map_err(|error| Failure::new(act(), error.to_string()))?;
        let said = self
            .as_root(&["api", "repository"], &asked)
            .map_err(|why| {
                Failure::new(act(), why).hinted(format!("stead host upgrade {}", self.target()))
            })?;
        let lines = said.split(|byte| *byte == b'\n');
        // A shell of the account may greet.
        let answer = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .next();
        match answer {
            Some(Prepared::Ready { .. }) => Ok(()),
            Some(Prepared::Refused { causes, lacks_git }) => Err(Failure {
                act: act(),
                causes,
                hint: lacks_git.then(|| {
                    let sudo = if self.before_root().is_empty() {
                        ""
                    } else {
                        "sudo "
                    };
                    format!("ssh -t {} {sudo}apt-get install git", self.target())
                }),
            }),
            None => Err(Failure::new(act(), "its answer is none")
                .hinted(format!("stead host upgrade {}", self.target()))),
        }
    }

    /// What `git push` is to run there in place of `git-receive-pack`: a line, behind which git writes the path.
    pub fn receive_pack(&self, who: &str) -> String {
        let words = [BINARY, "api", "receive", "--who", who];
        quote::line(self.before_root().iter().copied().chain(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_written_as_urls_have_it() {
        let url = |target: &str| url(&Target::parse(target).unwrap(), "shop");
        let path = "/var/lib/stead/apps/shop/source.git";
        assert_eq!(url("h1"), format!("ssh://h1{path}"));
        assert_eq!(url("deploy@1.2.3.4"), format!("ssh://deploy@1.2.3.4{path}"));
        assert_eq!(url("a.b@fe80::1"), format!("ssh://a.b@[fe80::1]{path}"));
    }
}
