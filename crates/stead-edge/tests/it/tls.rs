//! TLS with the clients that visitors have: openssl, curl, Python's ssl.

pub(crate) mod authority;
mod certificates;
mod handshakes;
mod log;
mod policy;
mod scanned;
mod serving;
