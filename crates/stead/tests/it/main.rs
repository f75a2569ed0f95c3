//! Runs the real program and looks at what a person sees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod certificates;
mod command_line;
mod deploying;
mod errors;
mod examples;
mod facts;

mod failing_apps;
mod hostile_words;
mod https;
mod killed;
mod reloading;
mod rules;
mod running;
mod serving;
mod starved;
mod stopping;
mod upgrading;
mod visitors;
mod websockets;
