//! Responses are compressed on their way, when their route asks for it: which ones, and how.
//!
//! What is lost for a visitor who could use it plain is nothing: validators become weak, ranges are not offered, `Vary`
//! tells caches. Bodies that come in pieces leave in pieces: whenever the instance pauses, everything it has said
//! is sent.

pub(crate) mod coder;
mod decide;
pub(crate) mod files;

pub(crate) use coder::Coder;
pub(crate) use decide::{Choice, Plan, SMALLEST, is_type};
