#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_model::fuzzing::replay;

fuzz_target!(|text: &str| replay("webhook", text));
