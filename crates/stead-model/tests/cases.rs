//! Data-driven: each `tests/cases/*.txt` is an input, `----------`, and what comes of it.
//! `UPDATE=1 cargo test -p stead-model --test cases` writes what comes of it now.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stead_model::manifest::Manifest;
use stead_model::procfile;

const SEPARATOR: &str = "----------\n";

/// What comes of a case's input: a value's `Debug`, or the errors as a person sees them with
/// column and line of the source below.
fn outcome(kind: &str, input: &str) -> String {
    let (value, errors) = match kind {
        "procfile" => match procfile::parse(input, "Procfile") {
            Ok(entries) => (format!("{entries:#?}"), None),
            Err(errors) => (String::new(), Some(errors)),
        },
        _ => match Manifest::parse(input, "stead.toml") {
            Ok(manifest) => (format!("{manifest:#?}"), None),
            Err(errors) => (String::new(), Some(errors)),
        },
    };
    let Some(errors) = errors else {
        return value + "\n";
    };
    let mut text = String::new();
    for error in errors.errors {
        writeln!(text, "error: {error}").expect("writing to a string");
        let source = format!("{}: {}", error.column, error.source_line);
        writeln!(text, "    {}", source.trim_end()).expect("writing to a string");
    }
    text
}

fn check(path: &Path) -> Result<(), String> {
    let case =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (input, expected) = case.split_once(SEPARATOR).unwrap_or((&case, ""));
    let kind = if path.to_string_lossy().contains("procfile") {
        "procfile"
    } else {
        "manifest"
    };
    let got = outcome(kind, input);
    if got == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, format!("{input}{SEPARATOR}{got}"))
            .map_err(|error| error.to_string());
    }
    Err(format!(
        "{}\n--- expected\n{expected}--- got\n{got}",
        path.display()
    ))
}

#[test]
fn every_case_gives_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("tests/cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    cases.sort();
    let failures: Vec<String> = cases.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases.len() >= 40, "only {} cases were found", cases.len());
}
