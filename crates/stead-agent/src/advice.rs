//! What the log of an instance says about what to do.

#[cfg(test)]
mod tests;

/// What databases say of a table that nobody has made: SQLite, PostgreSQL (SQLSTATE 42P01, also by number 1146 MySQL and
/// MariaDB).
fn tells_of_a_missing_table(line: &str) -> bool {
    line.contains("no such table: ")
        || (line.contains("relation \"") && line.contains("\" does not exist"))
        || (line.contains("1146") && line.contains("doesn't exist"))
}

/// A hint better than one about health, if the log names the reason.
///
/// `log`: the last lines, oldest first. `prepared`: the release has a release command, which ran.
pub(crate) fn of_log(log: &[String], prepared: bool) -> Option<String> {
    if prepared || !log.iter().any(|line| tells_of_a_missing_table(line)) {
        return None;
    }
    let command = if mentions(log, "django") {
        "python manage.py migrate --noinput"
    } else if mentions(log, "flask_sqlalchemy") {
        "flask db upgrade"
    } else {
        "…"
    };
    Some(format!(
        "the log names a table that is not there: command = \"{command}\" in [release] makes tables before a release serves"
    ))
}

fn mentions(log: &[String], module: &str) -> bool {
    log.iter().any(|line| line.contains(module))
}
