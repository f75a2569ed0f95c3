//! `stead cert`: the certificates of an app that is served to the world, from here or from hosts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use stead_agent::certificates::{self, Unasked};
use stead_model::agent::ImportedCertificate;

use crate::apps::{Place, Where, certificates as on_hosts};
use crate::problem::{Problem, because};
use crate::render::{self, Terminal};
use crate::source;

/// The certificates of an app: list, renew, import
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  stead cert ls                            what there is, until when, and what is missing why
  stead cert renew                         get all of them anew, whether or not they are due
  stead cert import chain.pem key.pem      use a certificate of your own
  stead cert ls --on deploy@203.0.113.5    those of the app on a host"
)]
pub(super) struct Arguments {
    /// The app's source
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Where certificates are kept [default: .stead in DIR]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "on")]
    state: Option<PathBuf>,

    /// Hosts that the app was deployed to, or names of `[hosts]` in stead.toml, instead of this machine
    #[arg(long, global = true, value_name = "HOST", value_delimiter = ',')]
    on: Vec<String>,

    /// The app on those hosts [default: that of DIR]
    #[arg(long, global = true, value_name = "NAME", requires = "on")]
    app: Option<String>,

    /// A configuration for ssh instead of yours (`ssh -F`)
    #[arg(long, global = true, value_name = "PATH", requires = "on")]
    ssh_config: Option<PathBuf>,

    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// List certificates, and hosts that wait for one
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Renew now; here, `stead up --public` must be running
    Renew {
        /// Only for these hosts
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Use a certificate of your own; it is not renewed
    Import {
        /// PEM: the certificate, then those that lead to its root
        chain: PathBuf,
        /// PEM: its private key, not encrypted
        key: PathBuf,
    },
}

pub(super) fn run(arguments: &Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    if !arguments.on.is_empty() {
        let wanted = Where {
            option: "stead cert ls --on",
            app: arguments.app.clone(),
            hosts: arguments.on.clone(),
            ssh_config: arguments.ssh_config.clone(),
        };
        let place = Place::find(&arguments.dir, wanted)?;
        return match &arguments.act {
            Act::Ls { json } => on_hosts::list(&place, *json, terminal),
            Act::Renew { hosts, json } => on_hosts::renew(&place, lower(hosts), *json, terminal),
            Act::Import { chain, key } => {
                on_hosts::import(&place, &read(chain, key)?, chain, terminal)
            }
        };
    }
    let state = match &arguments.state {
        Some(state) => state.clone(),
        None => source::directory(&arguments.dir, "cert ls")?.join(source::STATE),
    };
    match &arguments.act {
        Act::Ls { json } => list(&state, *json, terminal),
        Act::Renew { hosts, json } => renew(&state, hosts, *json, terminal),
        Act::Import { chain, key } => import(&state, chain, key, terminal),
    }
}

fn list(state: &Path, json: bool, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let now = Timestamp::now();
    let listing = certificates::list(state, now).map_err(|error| {
        Problem::new(format!("cannot read certificates in `{}`", state.display()))
            .cause(because(&error))
    })?;
    match json {
        true => terminal.raw(render::certificates_json(&listing).as_bytes()),
        false => terminal.out(&render::certificates_text(&listing, now)),
    }
    Ok(ExitCode::SUCCESS)
}

fn renew(
    state: &Path,
    hosts: &[String],
    json: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let hosts = lower(hosts);
    let act = "cannot renew certificates";
    let renewals = certificates::renew(state, &hosts).map_err(|unasked| match unasked {
        Unasked::NotRunning => Problem::new(act)
            .cause(format!(
                "no `stead up --public` runs with `{}`: nothing would answer the authority",
                state.display()
            ))
            .hint("stead up --public"),
        Unasked::Failed(error) => Problem::new(act).cause(because(&error)),
    })?;
    match json {
        true => terminal.raw(render::renewals_json(&renewals).as_bytes()),
        false => terminal.out(&render::renewals_text(&renewals)),
    }
    Ok(match renewals.iter().all(|renewal| renewal.done) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What is to be imported.
fn read(chain: &Path, key: &Path) -> Result<ImportedCertificate, Problem> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| {
            let cause = format!("cannot read `{}`: {}", path.display(), because(&error));
            Problem::new(format!("cannot import `{}`", chain.display())).cause(cause)
        })
    };
    Ok(ImportedCertificate {
        chain: text(chain)?,
        key: text(key)?,
    })
}

/// As names are kept.
fn lower(hosts: &[String]) -> Vec<String> {
    hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}

fn import(
    state: &Path,
    chain: &Path,
    key: &Path,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let imported = read(chain, key)?;
    let now = Timestamp::now();
    let listed = certificates::import(state, None, &imported, now)
        .map_err(|why| Problem::new(format!("cannot import `{}`", chain.display())).cause(why))?;
    terminal.out(&render::imported(&listed, now));
    Ok(ExitCode::SUCCESS)
}
