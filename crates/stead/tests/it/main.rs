//! Runs the real program and looks at what a person sees.

mod command_line;
mod errors;
mod facts;
mod failing_apps;
mod reloading;
mod running;
mod serving;
mod stopping;
