#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stead_edge::fuzzing::{FuzzRouter, router_host};

static ROUTER: LazyLock<FuzzRouter> = LazyLock::new(FuzzRouter::new);

fuzz_target!(|input: (&[u8], &[u8])| router_host(&ROUTER, input.0, input.1));
