//! `stead init`: write down what was detected.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::problem::{Problem, because};
use crate::render::Terminal;
use crate::source;

/// Write a stead.toml that says what was detected, and from where
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead init --dry-run        show what would be written
  stead init shop             write shop/stead.toml
  stead init --force          write it again, over the one that is there

Nothing of the app is run to find out. Each line of the file says where its value came from.

Exit codes: 0 written (or printed), 1 there is one already, or nothing was detected, \
2 bad invocation.")]
pub(super) struct Arguments {
    /// The app's source
    #[arg(default_value = ".", hide_default_value = true)]
    dir: PathBuf,

    /// Overwrite a stead.toml that is there
    #[arg(long)]
    force: bool,

    /// Print the file instead of writing it
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let dir = source::directory(&arguments.dir, "init")?;
    let file = dir.join(source::FILE);
    let shown = arguments.dir.join(source::FILE);
    let shown = shown.strip_prefix(".").unwrap_or(&shown).display();
    if !arguments.dry_run && !arguments.force && file.symlink_metadata().is_ok() {
        return Err(Problem::new(format!("cannot write `{shown}`"))
            .cause("there is one already")
            .hint(with_dir("stead init --force", &arguments.dir)));
    }
    let detection = stead_build::detect(&dir)?;
    let text = stead_build::init_text(&detection);
    if arguments.dry_run {
        terminal.raw(text.as_bytes());
    } else {
        write(&file, &text).map_err(|error| {
            Problem::new(format!("cannot write `{shown}`")).cause(because(&error))
        })?;
        terminal.out(&format!("wrote {shown}\n"));
    }
    for remark in detection.remarks(|name| std::env::var_os(name).is_some()) {
        terminal.note(&remark);
    }
    if !arguments.dry_run {
        terminal.out(&format!("next: {}\n", with_dir("stead up", &arguments.dir)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file is there whole or not at all.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    // A link is followed: the file behind it is the one that is meant.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let draft = file.with_extension(format!("toml.{}", std::process::id()));
    let written = std::fs::File::create_new(&draft)
        .and_then(|mut draft| {
            draft
                .write_all(text.as_bytes())
                .and_then(|()| draft.sync_all())
        })
        .and_then(|()| std::fs::rename(&draft, &file));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

/// A command line for this directory.
pub(super) fn with_dir(command: &str, dir: &Path) -> String {
    if dir == Path::new(".") {
        return command.to_owned();
    }
    let dir = dir.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    match dir.chars().all(plain) {
        true => format!("{command} {dir}"),
        false => format!("{command} '{}'", dir.replace('\'', r"'\''")),
    }
}
