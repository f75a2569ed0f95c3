//! How often visitors may come.

use std::time::Duration;

use crate::config_error::Problem;
use crate::manifest::{Rate, shorten};

/// `"10/s"`, `"300/m"`, `"1000/h"`.
pub(crate) fn rate(text: &str) -> Result<Rate, Problem> {
    const UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];
    const MOST: u32 = 1_000_000;
    let bad = || {
        let problem = Problem::new(format!("`{}` is not a rate", shorten(text)));
        problem.hint(
            "so many requests in a second, a minute or an hour: \"10/s\", \"300/m\", \"1000/h\"",
        )
    };
    let (count, unit) = text.split_once('/').ok_or_else(bad)?;
    let (count, unit) = (count.trim(), unit.trim());
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let (_, seconds) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(bad)?;
    match count.parse() {
        Ok(count @ 1..=MOST) => Ok(Rate {
            count,
            per: Duration::from_secs(*seconds),
        }),
        _ => Err(Problem::new(format!(
            "`{}` is not between 1 and {MOST}",
            shorten(count)
        ))),
    }
}
