//! The edge as visitors meet it: real sockets, and the real worker behind it.

#![allow(clippy::unwrap_used)]

mod aliases;
mod challenges;
mod choosing;
mod compressing;
mod conditional;
mod counting;
mod drains;
mod entrance;
mod exhausted;
mod faults;
mod forwarding;
mod framing;
mod haproxy;
mod hints;
mod http2;
mod http_upstreams;
mod invalid;
mod large;
mod memory;
mod metrics;
mod nonsense;
mod rates;
mod refused;
mod rules;
mod running;
mod smuggling;
mod spooling;
mod tables;
mod tls;
