//! Any text is a Procfile or a list of errors; what is accepted reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_model::procfile;

fuzz_target!(|text: &str| {
    if let Ok(entries) = procfile::parse(text, "Procfile") {
        let written: String = entries
            .iter()
            .map(|entry| format!("{}: {}\n", entry.name, entry.command))
            .collect();
        let again = procfile::parse(&written, "Procfile").expect("what was read can be written");
        let pairs = |entries: &[procfile::Entry]| {
            entries
                .iter()
                .map(|entry| (entry.name.clone(), entry.command.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(pairs(&entries), pairs(&again));
    }
});
