//! The logs of an app on a host.

use stead_model::logs::{LogLine, LogSaid, LogWish};

use super::{Elevation, Session};
use crate::{Failure, GiveUp};

impl Session {
    /// Hear the lines that are wanted, as they come; `show` says whether to go on.
    ///
    /// # Errors
    /// The host has none to give, or the connection broke.
    pub fn logs(
        &self,
        wish: &LogWish,
        give_up: &GiveUp,
        show: &mut dyn FnMut(LogLine) -> bool,
    ) -> Result<(), Failure> {
        let act = || format!("cannot read logs on `{}`", self.target);
        let mut asked =
            serde_json::to_vec(wish).map_err(|error| Failure::new(act(), error.to_string()))?;
        asked.push(b'\n');
        let mut refused = None;
        let mut hear = |line: &[u8]| match serde_json::from_slice(line) {
            Ok(LogSaid::Line(line)) => show(line),
            Ok(LogSaid::Failed { causes }) => {
                refused = Some(causes);
                false
            }
            Err(_) => true,
        };
        let talked = match self.elevation {
            Elevation::SudoAsks if wish.follow => {
                let why = "sudo asks for a password there, so logs cannot be followed";
                return Err(Failure::new(act(), why));
            }
            Elevation::SudoAsks => self.as_root(&["api", "logs"], &asked).map(|said| {
                for line in said.split(|byte| *byte == b'\n') {
                    if !hear(line) {
                        break;
                    }
                }
            }),
            _ => self.converse(&["api", "logs"], &asked, give_up, &mut hear),
        };
        match (refused, talked) {
            (Some(causes), _) => Err(Failure {
                act: act(),
                causes,
                hint: None,
            }),
            (None, Err(why)) if !give_up.is_given_up() => Err(Failure::new(act(), why)),
            _ => Ok(()),
        }
    }
}
