#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &[u8]| stead_edge::fuzzing::request_path(target));
