#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_agent::fuzzing::replay;

fuzz_target!(|input: &[u8]| replay("dns_answer", input));
