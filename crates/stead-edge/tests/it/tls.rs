//! TLS with the clients that visitors have: openssl, curl, Python's ssl.

mod authority;
mod certificates;
mod log;
mod policy;
mod serving;
