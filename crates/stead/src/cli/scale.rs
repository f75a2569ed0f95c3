//! `stead scale`: how many instances run.

use std::process::ExitCode;

use stead_model::agent::{MOST_INSTANCES, is_process_name};

use super::on::On;
use crate::apps::ask::{self, Change};
use crate::problem::Problem;
use crate::render::Terminal;

/// Say how many instances of a process run on each host
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead scale web=3
  stead scale web=3 worker=2
  stead scale web=auto        as stead.toml says again

It holds for later releases, too.")]
pub(super) struct Arguments {
    /// A process and how many of it: `web=3`, `web=auto`
    #[arg(required = true, value_name = "PROCESS=COUNT", value_parser = count)]
    counts: Vec<(String, Option<u32>)>,

    #[command(flatten)]
    on: On,
}

/// `web=3`, `web=auto`.
fn count(text: &str) -> Result<(String, Option<u32>), String> {
    let wanted = format!(
        "it is a process and a number up to {MOST_INSTANCES}, such as `web=3`, or `web=auto`"
    );
    let (process, count) = text.split_once('=').ok_or(&wanted)?;
    if !is_process_name(process) {
        return Err(wanted);
    }
    let count = match count {
        "auto" => None,
        number => {
            let number = number.parse().ok().filter(|count| *count <= MOST_INSTANCES);
            Some(number.ok_or(wanted)?)
        }
    };
    Ok((process.to_owned(), count))
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let json = arguments.on.json;
    let place = arguments.on.place("stead scale PROCESS=COUNT --on");
    let counts = arguments.counts;
    ask::change(&Change::Scale { counts }, place, json, terminal)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn a_count_is_a_process_and_a_number() {
        assert_eq!(count("web=3"), Ok(("web".to_owned(), Some(3))));
        assert_eq!(count("web=auto"), Ok(("web".to_owned(), None)));
        for wrong in [
            "", "web", "web=", "=3", "web=-1", "web=1001", "web=3;id", "$(id)=3", "../x=1",
        ] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
