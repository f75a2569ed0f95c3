//! The planner's tests: `tests/plan/*.txt` (a state, `----------`, the steps), and a simulation.

#![allow(clippy::unwrap_used)]

#[path = "plan/cases.rs"]
mod cases;
#[path = "plan/simulation.rs"]
mod simulation;
