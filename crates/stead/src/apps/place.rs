//! Which app is meant, and where it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stead_model::agent::is_app_name;
use stead_remote::{Target, known};

use super::Where;
use crate::problem::Problem;
use crate::source;

/// An app and its hosts.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) app: String,
    /// At least one, in their order.
    pub(crate) targets: Vec<Target>,
    /// For `ssh -F`.
    pub(crate) ssh_config: Option<PathBuf>,
}

impl Place {
    /// Of the app in `dir`, unless another is named.
    pub(crate) fn find(dir: &Path, wanted: Where) -> Result<Self, Problem> {
        let (own, groups) = source::identity(dir)?;
        let app = match &wanted.app {
            Some(app) if !is_app_name(app) => {
                return Err(Problem::invocation(format!("`{app}` is no name of an app"))
                    .cause("a name is lower-case letters, digits and `-`, begins with a letter and has at most 32 characters"));
            }
            // The hosts of this directory's app are not those of another.
            Some(app) if *app != own => return Self::of(app.clone(), &BTreeMap::new(), wanted),
            _ => own,
        };
        Self::of(app, &groups, wanted)
    }

    /// Of this app, whose `[hosts]` are these.
    pub(crate) fn of(
        app: String,
        groups: &BTreeMap<String, Vec<String>>,
        wanted: Where,
    ) -> Result<Self, Problem> {
        let mut targets = Vec::new();
        for name in names(&app, groups, &wanted)? {
            let target = Target::parse(&name).map_err(|why| {
                Problem::invocation(format!("cannot use `{name}` as a host")).cause(why)
            })?;
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(Self {
            app,
            targets,
            ssh_config: wanted.ssh_config,
        })
    }

    /// `h1`, or `h1, h2`.
    pub(crate) fn named(&self) -> String {
        let names: Vec<String> = self
            .targets
            .iter()
            .map(|target| format!("`{target}`"))
            .collect();
        names.join(", ")
    }
}

/// The hosts that are meant: those that were named, else those of the only group, else the only one that is known.
fn names(
    app: &str,
    groups: &BTreeMap<String, Vec<String>>,
    wanted: &Where,
) -> Result<Vec<String>, Problem> {
    if !wanted.hosts.is_empty() {
        let hosts = wanted.hosts.iter().flat_map(|name| match groups.get(name) {
            Some(group) => group.clone(),
            None => vec![name.clone()],
        });
        return Ok(hosts.collect());
    }
    let unclear = || Problem::invocation(format!("it is not clear which host of `{app}` is meant"));
    match groups.len() {
        0 => {}
        1 => return Ok(groups.values().flatten().cloned().collect()),
        _ => {
            let names: Vec<String> = groups.keys().map(|name| format!("`{name}`")).collect();
            let first = groups.keys().next().map_or("", String::as_str);
            return Err(unclear()
                .cause(format!("`[hosts]` of stead.toml has {}", names.join(", ")))
                .hint(format!("{} {first}", wanted.option)));
        }
    }
    let hosts = known::path().map_or(Ok(Vec::new()), |path| known::read(&path))?;
    match hosts.as_slice() {
        [only] => Ok(vec![only.target.clone()]),
        [] => Err(Problem::invocation(format!("there is no host for `{app}`"))
            .cause("none was added, and stead.toml has no `[hosts]`")
            .hint("stead host add USER@HOST")),
        [first, ..] => {
            let names: Vec<String> = hosts
                .iter()
                .map(|host| format!("`{}`", host.target))
                .collect();
            Err(unclear()
                .cause(format!("these were added: {}", names.join(", ")))
                .hint(format!("{} {}", wanted.option, first.target)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(groups: &[(&str, &[&str])], hosts: &[&str]) -> Result<Place, Problem> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let groups = groups
            .iter()
            .map(|(name, hosts)| ((*name).to_owned(), owned(hosts)));
        let wanted = Where {
            option: "stead deploy --to",
            hosts: owned(hosts),
            ..Where::default()
        };
        Place::of("shop".to_owned(), &groups.collect(), wanted)
    }

    #[test]
    fn hosts_are_those_that_are_named_else_those_of_the_only_group() {
        let one: &[(&str, &[&str])] = &[("production", &["deploy@h1", "h2"])];
        assert_eq!(place(one, &[]).unwrap().named(), "`deploy@h1`, `h2`");
        assert_eq!(place(one, &["h3"]).unwrap().named(), "`h3`");
        let two: &[(&str, &[&str])] = &[("production", &["h1", "h2"]), ("staging", &["h3"])];
        assert_eq!(
            place(two, &["staging", "h1", "h1"]).unwrap().named(),
            "`h3`, `h1`"
        );
        let unclear = place(two, &[]).unwrap_err();
        assert_eq!(
            unclear.causes,
            ["`[hosts]` of stead.toml has `production`, `staging`"]
        );
        assert_eq!(
            unclear.hint.as_deref(),
            Some("stead deploy --to production")
        );
    }

    #[test]
    fn what_a_shell_would_understand_is_no_host() {
        for hostile in ["-oProxyCommand=x", "a;b", "$(id)", "a b", "a\nb", "'"] {
            let problem = place(&[], &[hostile]).unwrap_err();
            assert_eq!(problem.exit_code(), 2, "{hostile}");
        }
    }
}
