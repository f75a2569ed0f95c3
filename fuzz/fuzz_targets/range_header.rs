#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| stead_edge::fuzzing::range_header(input.0, input.1));
