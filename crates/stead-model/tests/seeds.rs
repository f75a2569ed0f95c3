//! What the fuzzers of this crate's parsers begin with (`fuzz/seeds`), and every truncation of it.

use std::path::Path;

use stead_model::manifest::Manifest;
use stead_model::procfile;

/// Each seed of `target`, cut at every character.
fn cuts(target: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut cuts = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the seeds are there") {
        let path = entry.expect("a seed").path();
        let text = std::fs::read_to_string(path).expect("UTF-8");
        cuts.extend(text.char_indices().map(|(end, _)| text[..end].to_owned()));
        cuts.push(text);
    }
    cuts
}

#[test]
fn an_error_in_a_manifest_is_at_a_place_of_its_text() {
    for text in cuts("manifest") {
        let Err(errors) = Manifest::parse(&text, "stead.toml") else {
            continue;
        };
        assert!(!errors.errors.is_empty());
        for error in &errors.errors {
            let line = text.split('\n').nth(error.line - 1);
            let line = line.unwrap_or_else(|| panic!("line {} of:\n{text}", error.line));
            assert!(error.column <= line.chars().count() + 1);
            assert!(!error.message.contains('\n'));
        }
    }
}

#[test]
fn a_procfile_that_is_accepted_reads_back_as_itself() {
    let read = |text: &str| {
        let entries = procfile::parse(text, "Procfile").ok()?;
        let pairs = entries.into_iter().map(|entry| (entry.name, entry.command));
        Some(pairs.collect::<Vec<_>>())
    };
    for text in cuts("procfile") {
        let Some(entries) = read(&text) else { continue };
        let written: String = entries
            .iter()
            .map(|(name, command)| format!("{name}: {command}\n"))
            .collect();
        assert_eq!(read(&written), Some(entries), "{text:?}");
    }
}
