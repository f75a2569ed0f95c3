#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_edge::fuzzing::replay;

fuzz_target!(|input: &[u8]| replay("http2_session", input));
