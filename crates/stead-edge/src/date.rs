//! HTTP dates (RFC 9110 §5.6.7): written in the one preferred form, read in all three.
//!
//! Seconds since 1970-01-01T00:00:00Z stand for instants; no time zone but GMT occurs here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of every date that [`format()`] writes: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) const LENGTH: usize = 29;

const DAY: i64 = 86_400;
/// 0000-01-01 and 9999-12-31T23:59:59: what four digits of a year can say.
const EARLIEST: i64 = -62_167_219_200;
const LATEST: i64 = 253_402_300_799;
const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const LONG_WEEKDAYS: [&[u8]; 7] = [
    b"Sunday",
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Seconds since 1970 of an instant, rounded down; also before 1970.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -whole - i64::from(before > Duration::from_secs(before.as_secs()))
        }
    }
}

/// IMF-fixdate. A time outside of the years 0 to 9999 is written as the nearest one inside.
pub(crate) fn format(seconds: i64) -> [u8; LENGTH] {
    let seconds = seconds.clamp(EARLIEST, LATEST);
    let days = seconds.div_euclid(DAY);
    let rest = seconds.rem_euclid(DAY);
    let (year, month, day) = civil(days);
    let mut text = *b"Xxx, 00 Xxx 0000 00:00:00 GMT";
    // 1970-01-01 was a Thursday.
    text[..3].copy_from_slice(WEEKDAYS[(days + 4).rem_euclid(7) as usize]);
    two_digits(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    two_digits(&mut text[12..14], year / 100);
    two_digits(&mut text[14..16], year % 100);
    two_digits(&mut text[17..19], rest / 3_600);
    two_digits(&mut text[20..22], rest / 60 % 60);
    two_digits(&mut text[23..25], rest % 60);
    text
}

fn two_digits(place: &mut [u8], number: i64) {
    place[0] = b'0' + (number / 10) as u8;
    place[1] = b'0' + (number % 10) as u8;
}

/// Read IMF-fixdate, the obsolete RFC 850 form or asctime's; `None` for anything else, so that the
/// header it came in is ignored (RFC 9110 §13.1.3). `now` settles the century of RFC 850's two digits:
/// a date more than 50 years ahead is in the past.
pub(crate) fn parse(text: &[u8], now: i64) -> Option<i64> {
    let text = text.trim_ascii();
    match text.iter().position(|&byte| byte == b',') {
        Some(3) => parse_fixdate(text),
        Some(comma) => parse_rfc850(text, comma, now),
        None => parse_asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn parse_fixdate(text: &[u8]) -> Option<i64> {
    if text.len() != LENGTH || !WEEKDAYS.iter().any(|name| text.starts_with(*name)) {
        return None;
    }
    if &text[3..5] != b", " || text[7] != b' ' || text[11] != b' ' || &text[25..] != b" GMT" {
        return None;
    }
    let year = number(&text[12..16])?;
    instant(
        year,
        month(&text[8..11])?,
        number(&text[5..7])?,
        &text[16..25],
    )
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn parse_rfc850(text: &[u8], comma: usize, now: i64) -> Option<i64> {
    let (weekday, rest) = text.split_at(comma);
    if !LONG_WEEKDAYS.contains(&weekday) || rest.len() != 24 {
        return None;
    }
    if &rest[..2] != b", " || rest[4] != b'-' || rest[8] != b'-' || &rest[20..] != b" GMT" {
        return None;
    }
    let (this_year, ..) = civil(now.clamp(EARLIEST, LATEST).div_euclid(DAY));
    let mut year = this_year - this_year % 100 + number(&rest[9..11])?;
    if year > this_year + 50 {
        year -= 100;
    }
    instant(
        year,
        month(&rest[5..8])?,
        number(&rest[2..4])?,
        &rest[11..20],
    )
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(text: &[u8]) -> Option<i64> {
    if text.len() != 24 || !WEEKDAYS.iter().any(|name| text.starts_with(*name)) {
        return None;
    }
    if text[3] != b' ' || text[7] != b' ' || text[19] != b' ' {
        return None;
    }
    let day = match text[8] {
        b' ' => number(&text[9..10])?,
        _ => number(&text[8..10])?,
    };
    instant(
        number(&text[20..24])?,
        month(&text[4..7])?,
        day,
        &text[10..19],
    )
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| match digit {
        b'0'..=b'9' => Some(sum * 10 + i64::from(digit - b'0')),
        _ => None,
    })
}

fn month(name: &[u8]) -> Option<i64> {
    let index = MONTHS.iter().position(|month| month.as_slice() == name)?;
    i64::try_from(index + 1).ok()
}

/// `clock` is ` 08:49:37`, with the space in front. A leap second counts as the second after it.
fn instant(year: i64, month: i64, day: i64, clock: &[u8]) -> Option<i64> {
    if clock.len() != 9 || clock[0] != b' ' || clock[3] != b':' || clock[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (
        number(&clock[1..3])?,
        number(&clock[4..6])?,
        number(&clock[7..9])?,
    );
    if hour > 23 || minute > 59 || second > 60 || day < 1 || day > days_of(year, month) {
        return None;
    }
    let at = days_since_1970(year, month, day) * DAY + hour * 3_600 + minute * 60 + second;
    (EARLIEST..=LATEST).contains(&at).then_some(at)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 → year, month, day of the Gregorian calendar. Eras of 400 years that begin
/// on 1 March, after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The `Date` header of this second, formatted once a second. One for each thread.
#[derive(Debug)]
pub(crate) struct CachedDate {
    second: i64,
    text: [u8; LENGTH],
}

impl CachedDate {
    /// Formats the epoch; the first use replaces it.
    pub(crate) fn new() -> CachedDate {
        CachedDate {
            second: 0,
            text: format(0),
        }
    }

    /// The date at `seconds`.
    pub(crate) fn at(&mut self, seconds: i64) -> &[u8; LENGTH] {
        if seconds != self.second {
            self.second = seconds;
            self.text = format(seconds);
        }
        &self.text
    }

    /// The date now, by the system's clock.
    pub(crate) fn now(&mut self) -> &[u8; LENGTH] {
        self.at(seconds(SystemTime::now()))
    }
}

/// Append the date now, by the system's clock.
pub(crate) fn append_now(out: &mut Vec<u8>) {
    thread_local! {
        static DATE: std::cell::RefCell<CachedDate> = std::cell::RefCell::new(CachedDate::new());
    }
    DATE.with_borrow_mut(|date| out.extend_from_slice(date.now()));
}

#[cfg(test)]
mod tests;
