//! HTTP/2 as visitors speak it, frame by frame.

mod cases;
mod client;
mod floods;
mod serving;
mod visitors;
