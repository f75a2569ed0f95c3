//! How many tests passed and failed, read from what test programs print.

use std::fmt;
use std::ops::AddAssign;

/// Passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// A single check.
    pub(crate) fn one(passed: bool) -> Self {
        Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
        }
    }

    /// From cargo's `test result: ok. 12 passed; 0 failed; 1 ignored; …`, one for each binary.
    pub(crate) fn from_cargo(output: &str) -> Self {
        let mut total = Self::default();
        for line in output.lines() {
            if let Some(result) = line.trim_start().strip_prefix("test result: ") {
                total += Self {
                    passed: number_before(result, "passed"),
                    failed: number_before(result, "failed"),
                };
            }
        }
        total
    }

    /// From unittest's `Ran 12 tests in 0.5s`, which counts the failed and the skipped too, and
    /// the `OK (skipped=1)` or `FAILED (failures=1, errors=2)` below it.
    pub(crate) fn from_unittest(output: &str) -> Self {
        let (mut ran, mut failed, mut skipped) = (0, 0, 0);
        for line in output.lines() {
            if let Some(rest) = line.strip_prefix("Ran ") {
                ran += leading_number(rest);
            } else if line.starts_with("FAILED (") || line.starts_with("OK (") {
                failed += ["failures=", "errors=", "unexpected successes="]
                    .iter()
                    .map(|key| number_after(line, key))
                    .sum::<u64>();
                skipped += number_after(line, "skipped=");
            }
        }
        Self {
            passed: u64::saturating_sub(ran, failed + skipped),
            failed,
        }
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ';']).collect();
    words
        .windows(2)
        .find(|pair| pair[1] == word)
        .map_or(0, |pair| leading_number(pair[0]))
}

fn number_after(text: &str, key: &str) -> u64 {
    text.split(['(', ')', ','])
        .find_map(|part| part.trim_start().strip_prefix(key))
        .map_or(0, leading_number)
}

fn leading_number(text: &str) -> u64 {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests;
