//! A line of an app's log.

use serde_json::json;
use stead_model::logs::LogLine;

use super::super::text::{ERROR, FAINT, shown, styled};

/// For a person; `host` where there are several.
pub(crate) fn log_line(host: Option<&str>, line: &LogLine) -> String {
    let mut source = match line.instance.is_empty() {
        true => line.process.clone(),
        false => line.instance.clone(),
    };
    if let Some(host) = host {
        source = format!("{host} {source}");
    }
    let is_error = line.priority.is_some_and(|priority| priority <= 3);
    let bar = styled(if is_error { ERROR } else { FAINT }, "|");
    let when = styled(FAINT, &time(line.at, "%Y-%m-%d %H:%M:%S%.3f"));
    format!("{when} {} {bar} {}\n", shown(&source), shown(&line.text))
}

/// For a program.
pub(crate) fn log_json(host: Option<&str>, line: &LogLine) -> String {
    let at = i64::try_from(line.at).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    let facts = json!({
        "at": at.map(|at| at.to_string()),
        "host": host,
        "process": line.process,
        "instance": line.instance,
        "release": line.release,
        "priority": line.priority,
        "text": line.text,
    });
    format!("{facts}\n")
}

/// On this machine's clock.
fn time(microseconds: u64, form: &str) -> String {
    let at = i64::try_from(microseconds).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    at.map_or_else(String::new, |at| {
        let here = at.to_zoned(jiff::tz::TimeZone::system());
        here.strftime(form).to_string()
    })
}
