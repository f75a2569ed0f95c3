//! Stead on real machines: what `stead host` does to them, and what they withstand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod certificates;
mod deploying;
mod figures;
mod hosts;
mod laptop;
mod pushing;
mod sudo;
mod trouble;
mod verbs;
mod webhook;
