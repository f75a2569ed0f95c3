//! The edge as visitors meet it: real sockets, and the real worker behind it.

#![allow(clippy::unwrap_used)]

mod drains;
mod faults;
mod forwarding;
mod framing;
mod http_upstreams;
mod refused;
mod running;
mod tables;
