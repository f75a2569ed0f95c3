#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, &[u8])| stead_edge::fuzzing::http_date(input.0, input.1));
