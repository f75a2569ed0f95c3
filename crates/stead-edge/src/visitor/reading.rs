//! How fast a visitor must read: a large answer that is taken byte by byte would be held for as long as its reader likes.

use std::time::Duration;

use tokio::time::Instant;

/// So much of what is held for a visitor must be taken within the stall time, bytes: with the default, 270 a second. The slowest
/// mobile networks carry ten times that.
pub(crate) const STEP: usize = 16 * 1024;

/// What a visitor has taken while something was held for it.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    since: Option<Instant>,
    taken: usize,
}

impl Reading {
    /// So many bytes were taken.
    pub(crate) fn take(&mut self, length: usize) {
        self.taken = self.taken.saturating_add(length);
    }

    /// Nothing is held any more.
    pub(crate) fn rest(&mut self) {
        self.since = None;
    }

    /// Something is held: until when enough of it must have been taken.
    pub(crate) fn until(&mut self, now: Instant, stall: Duration) -> Instant {
        match self.since {
            Some(since) if self.taken < STEP => since + stall,
            _ => {
                (self.since, self.taken) = (Some(now), 0);
                now + stall
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_begins_anew_when_enough_was_taken_or_nothing_was_held() {
        let (mut reading, stall) = (Reading::default(), Duration::from_secs(60));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(reading.until(at(0), stall), at(60));
        for second in 1..=50 {
            reading.take(1);
            assert_eq!(reading.until(at(second), stall), at(60), "byte by byte");
        }
        reading.take(STEP - 51);
        assert_eq!(reading.until(at(55), stall), at(60), "one byte short");
        reading.take(1);
        assert_eq!(reading.until(at(56), stall), at(116));
        assert_eq!(reading.until(at(57), stall), at(116));
        reading.rest();
        assert_eq!(reading.until(at(90), stall), at(150));
    }
}
