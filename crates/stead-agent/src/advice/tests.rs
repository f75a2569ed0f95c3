use super::*;

fn hint(log: &[&str]) -> Option<String> {
    let log: Vec<String> = log.iter().map(|line| (*line).to_owned()).collect();
    of_log(&log, false)
}

#[test]
fn a_missing_table_is_known_by_the_words_of_each_database() {
    let django = [
        "  File \"site-packages/django/db/backends/sqlite3/base.py\", line 359, in execute",
        "django.db.utils.OperationalError: no such table: wagtailcore_site",
    ];
    assert!(hint(&django).is_some_and(|hint| hint.contains("python manage.py migrate --noinput")));
    let flask = [
        "  File \"site-packages/flask_sqlalchemy/session.py\", line 12, in execute",
        "psycopg2.errors.UndefinedTable: relation \"posts\" does not exist",
    ];
    assert!(hint(&flask).is_some_and(|hint| hint.contains("flask db upgrade")));
    let other = ["pymysql.err.ProgrammingError: (1146, \"Table 'shop.posts' doesn't exist\")"];
    assert!(hint(&other).is_some_and(|hint| hint.contains("[release]")));
}

#[test]
fn nothing_is_said_of_other_trouble_or_when_a_release_command_ran() {
    assert_eq!(hint(&["KeyError: 'DATABASE_URL'"]), None);
    let log = ["sqlite3.OperationalError: no such table: posts".to_owned()];
    assert_eq!(of_log(&log, true), None);
}
