//! When a job runs next.
//!
//! A schedule is read on the wall clock of its time zone. Where that clock jumps, no run is lost
//! and none happens twice:
//! - A job at times of day (`30 2 * * *`, `0 2,14 * * *`) whose time is skipped by a jump forward
//!   runs right after the jump, once for all of its skipped times. Where a jump back repeats a time, it
//!   runs the first time only.
//! - A job at intervals, which is one with `*` as or in its minute or hour (`*/15 * * * *`, `@hourly`),
//!   goes on by elapsed time: it runs through the repeated hour as through any other, and has nothing to
//!   run in the skipped one.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::config_error::{Problem, nearest};

const NICKNAMES: [(&str, &str); 6] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
];

/// Field names with what they may hold, in order.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT"),
];

/// The first time after `instant` (never `instant` itself) that `schedule` names on the clock of
/// `timezone` (`None`: UTC). `None`: never again, or one of the two is not valid.
pub fn next_after(schedule: &str, timezone: Option<&str>, instant: Timestamp) -> Option<Timestamp> {
    let crons = parse(schedule).ok()?;
    let zone = match timezone {
        Some(name) => zone(name).ok()?,
        None => TimeZone::UTC,
    };
    let instant = instant.to_zoned(zone);
    crons
        .iter()
        .filter_map(|cron| cron.find_next_occurrence(&instant, false).ok())
        .filter(|next| *next > instant)
        .map(|next| next.timestamp())
        .min()
}

/// Whether `schedule` is five cron fields or a nickname, and names a time that will come.
/// The error is why not, in words that follow ``invalid `schedule` in …``.
pub fn validate(schedule: &str) -> Result<(), String> {
    check(schedule).map(|_| ()).map_err(|problem| problem.why)
}

pub(crate) fn check(schedule: &str) -> Result<String, Problem> {
    let crons = parse(schedule)?;
    // Any day serves: leap years come round within eight years of it.
    let start = jiff::civil::date(2024, 1, 1)
        .at(0, 0, 0, 0)
        .to_zoned(TimeZone::UTC);
    let comes = |start: &jiff::Zoned| {
        crons
            .iter()
            .any(|cron| cron.find_next_occurrence(start, true).is_ok())
    };
    match start.map(|start| comes(&start)) {
        Ok(true) => Ok(schedule.to_owned()),
        _ => Err(Problem::new(format!(
            "`{schedule}` names a day that never comes"
        ))),
    }
}

/// What a schedule is made of: a job at several times of day is as many jobs at one time, so that
/// each has its place on a day whose clock jumps.
fn parse(schedule: &str) -> Result<Vec<Cron>, Problem> {
    let schedule = schedule.trim();
    let shown = crate::manifest::shorten(schedule);
    if schedule.starts_with('@') {
        let known = NICKNAMES.iter().chain(&[("@annually", "0 0 1 1 *")]);
        let found = known
            .clone()
            .find(|(name, _)| schedule.eq_ignore_ascii_case(name));
        return match found {
            Some((_, fields)) => match cron(fields) {
                Some(cron) => Ok(vec![cron]),
                None => Err(Problem::new(format!("`{shown}` is not a schedule"))),
            },
            None => {
                let problem = Problem::new(format!("`{shown}` is not a known schedule"));
                let names = || NICKNAMES.iter().map(|(name, _)| *name);
                Err(match nearest(schedule, names()) {
                    Some(name) => problem.hint(format!("did you mean \"{name}\"?")),
                    None => problem.hint(format!(
                        "one of {}, or five cron fields",
                        names().collect::<Vec<_>>().join(", ")
                    )),
                })
            }
        };
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.is_empty() {
        return Err(Problem::new("it is empty").hint("leave it out to run the job by hand only"));
    }
    if fields.len() != FIELDS.len() {
        let count = match fields.len() {
            1 => "1 field".to_owned(),
            n => format!("{n} fields"),
        };
        return Err(Problem::new(format!("`{shown}` has {count}, a schedule has five"))
            .hint("minute, hour, day of the month, month, day of the week: \"30 4 * * *\" is daily at 4:30"));
    }
    for (index, field) in fields.iter().enumerate() {
        let (name, range) = FIELDS[index];
        let mut alone = ["*"; 5];
        alone[index] = field;
        if !plain(field, index) || cron(&alone.join(" ")).is_none() {
            return Err(Problem::new(format!(
                "`{}` is not right for the {name}",
                crate::manifest::shorten(field)
            ))
            .hint(format!(
                "{range}, lists such as 1,3, ranges such as 1-5, steps such as */2"
            )));
        }
    }
    times_of_day(&fields)
        .unwrap_or_else(|| vec![fields.join(" ")])
        .iter()
        .map(|single| {
            cron(single).ok_or_else(|| Problem::new(format!("`{shown}` is not a schedule")))
        })
        .collect()
}

/// The schedule of each time of day, if there are several and no more than [`MOST_TIMES`]. `None`:
/// the schedule is fit as it is.
fn times_of_day(fields: &[&str]) -> Option<Vec<String>> {
    let [minute, hour, days @ ..] = fields else {
        return None;
    };
    let (minutes, hours) = (numbers(minute)?, numbers(hour)?);
    if !(2..=MOST_TIMES).contains(&(minutes.len() * hours.len())) {
        return None;
    }
    let days = days.join(" ");
    let times = hours
        .iter()
        .flat_map(|hour| minutes.iter().map(move |minute| (hour, minute)));
    Some(
        times
            .map(|(hour, minute)| format!("{minute} {hour} {days}"))
            .collect(),
    )
}

/// More times than these in a day are taken for an interval.
const MOST_TIMES: usize = 48;

/// What a valid field without `*` stands for.
fn numbers(field: &str) -> Option<Vec<u8>> {
    let mut numbers = Vec::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (low, high): (u8, u8) = (low.parse().ok()?, high.parse().ok()?);
        numbers.extend((low..=high).step_by(step.parse().ok().filter(|step| *step > 0)?));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

/// Only the cron that every cron knows: no `L`, `W`, `#`, `?`, no names where numbers belong.
fn plain(field: &str, index: usize) -> bool {
    const MONTHS: &str = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
    const DAYS: &str = "SUNMONTUEWEDTHUFRISAT";
    let names = match index {
        3 => MONTHS,
        4 => DAYS,
        _ => "",
    };
    field.split([',', '-', '/']).all(|part| {
        part == "*"
            || (!part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit()))
            || (part.len() == 3
                && names
                    .as_bytes()
                    .chunks(3)
                    .any(|name| name.eq_ignore_ascii_case(part.as_bytes())))
    })
}

fn cron(fields: &str) -> Option<Cron> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(fields)
        .ok()
}

/// The name of a time zone as the database spells it. The database is the one in the binary, so
/// that the same file means the same everywhere.
pub(crate) fn check_timezone(name: &str) -> Result<String, Problem> {
    zone(name).map(|zone| zone.iana_name().unwrap_or("UTC").to_owned())
}

fn zone(name: &str) -> Result<TimeZone, Problem> {
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(name)
        && (zone.iana_name().is_some())
    {
        return Ok(zone);
    }
    let problem = Problem::new(format!(
        "`{}` is not a known time zone",
        crate::manifest::shorten(name)
    ));
    let names: Vec<String> = database
        .available()
        .map(|name| name.as_str().to_owned())
        .collect();
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or_default().to_owned();
    let by_city = names
        .iter()
        .find(|zone| city(zone).eq_ignore_ascii_case(name));
    Err(
        match by_city
            .map(String::as_str)
            .or_else(|| nearest(name, names.iter().map(String::as_str)))
        {
            Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
            None => problem
                .hint("a name of the IANA database: \"Asia/Shanghai\", \"Europe/Berlin\", \"UTC\""),
        },
    )
}

#[cfg(test)]
mod tests;
