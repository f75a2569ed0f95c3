#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_edge::fuzzing::replay;

fuzz_target!(|input: &[u8]| replay("control_lines", input));
