//! Any text is a manifest or a list of errors, each at a place of the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_model::manifest::Manifest;

fuzz_target!(|text: &str| {
    if let Err(errors) = Manifest::parse(text, "stead.toml") {
        assert!(!errors.errors.is_empty());
        for error in &errors.errors {
            let line = text
                .split('\n')
                .nth(error.line - 1)
                .expect("a line of the text");
            assert!(error.column <= line.chars().count() + 1);
            assert!(!error.message.contains('\n'));
        }
    }
});
