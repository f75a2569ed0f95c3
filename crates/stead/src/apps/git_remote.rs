//! `stead deploy --git-remote`: from then on `git push` deploys.

use std::path::PathBuf;
use std::process::ExitCode;

use stead_model::push::{PROTOCOL, Repository, is_branch};
use stead_remote::Session;
use stead_remote::push::{Checkout, Remote, url};

use super::{Place, Where, who};
use crate::problem::Problem;
use crate::render::{Terminal, apps};
use crate::source;

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The app's source.
    pub(crate) dir: PathBuf,
    /// The remote's name.
    pub(crate) name: String,
    /// The branch that is deployed, in place of the one that is checked out.
    pub(crate) branch: Option<String>,
    /// Show what would be done.
    pub(crate) dry_run: bool,
    /// To where.
    pub(crate) to: Where,
}

/// Make the repository on the host, and the remote here. Nothing is deployed.
pub(crate) fn run(wanted: &Wanted, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let dir = source::directory(&wanted.dir, "deploy --git-remote")?;
    let (app, groups) = source::identity(&dir)?;
    let act = || format!("cannot add a git remote for `{app}`");
    let place = Place::of(app.clone(), &groups, wanted.to.clone())?;
    let [target] = place.targets.as_slice() else {
        let first = place.targets.first().map_or("HOST", |first| first.as_str());
        return Err(Problem::invocation(act())
            .cause(format!(
                "a push goes to one host, and there are {}",
                place.named()
            ))
            .hint(format!("stead deploy --git-remote --to {first}")));
    };
    let Some(checkout) = Checkout::of(&dir)? else {
        return Err(Problem::new(act())
            .cause(format!("`{}` is in no git repository", dir.display()))
            .hint("git init"));
    };
    let branch = match &wanted.branch {
        Some(branch) => branch.clone(),
        None => checkout.branch()?.ok_or_else(|| {
            Problem::new(act())
                .cause("no branch is checked out")
                .hint("stead deploy --git-remote --branch main")
        })?,
    };
    if !is_branch(&branch) {
        return Err(
            Problem::invocation(act()).cause(format!("git takes no branch of the name `{branch}`"))
        );
    }
    let url = url(target, &app);
    let name = wanted.name.clone();
    if let Some(other) = checkout.url_of(&name)?.filter(|other| *other != url) {
        return Err(Problem::new(act())
            .cause(format!("there is a git remote `{name}` already: {other}"))
            .hint(format!("git remote remove {name}")));
    }
    if wanted.dry_run {
        terminal.out(&apps::remote_plan(target, &url, &name, &branch));
        return Ok(ExitCode::SUCCESS);
    }
    let session = Session::visit(target, place.ssh_config.as_deref())?;
    session.prepare_push(&Repository {
        protocol: PROTOCOL,
        app: app.clone(),
        branch: branch.clone(),
        directory: checkout.directory(),
    })?;
    let remote = Remote {
        name,
        url,
        receive_pack: session.receive_pack(&who()),
        branch,
    };
    checkout.add(&remote)?;
    if place.ssh_config.is_some() {
        terminal.note("git reads your usual configuration of ssh; GIT_SSH_COMMAND names another");
    }
    terminal.out(&apps::remote_added(target, &remote));
    Ok(ExitCode::SUCCESS)
}
