//! Where an app is, as most verbs are told.

use std::path::PathBuf;

use crate::apps::Where;

#[derive(Debug, clap::Args)]
pub(super) struct On {
    /// The app [default: that of this directory]
    #[arg(long, value_name = "NAME")]
    app: Option<String>,

    /// Its hosts, or names of `[hosts]` in stead.toml [default: the only ones that there are]
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    on: Vec<String>,

    /// A configuration for ssh instead of yours (`ssh -F`)
    #[arg(long, value_name = "PATH")]
    ssh_config: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl On {
    /// `option`: the verb and its option for hosts, for hints.
    pub(super) fn place(self, option: &'static str) -> Where {
        Where {
            option,
            app: self.app,
            hosts: self.on,
            ssh_config: self.ssh_config,
        }
    }
}
