//! Packages that were pinned while what they depend on was not, and rotted: a `Flask==1.1.2` whose
//! newest Jinja2 it cannot import.
//!
//! Only certain breaks are in the table: code of the first package that fails on import with the
//! second. Only packages that the app itself does not name are changed; its pins are its own.

use std::collections::BTreeMap;

use crate::requirements::{Dependencies, compare};

/// `package` before version `before` does not import with `with` from version `from` on.
struct Break {
    package: &'static str,
    before: &'static str,
    with: &'static str,
    from: &'static str,
}

const fn broken(
    package: &'static str,
    before: &'static str,
    with: &'static str,
    from: &'static str,
) -> Break {
    Break {
        package,
        before,
        with,
        from,
    }
}

const BREAKS: &[Break] = &[
    broken("flask", "2.0", "werkzeug", "2.1"),
    broken("flask", "2.3", "werkzeug", "3"),
    broken("flask", "2.0", "jinja2", "3.1"),
    broken("flask", "2.0", "itsdangerous", "2.1"),
    broken("jinja2", "3.0", "markupsafe", "2.1"),
    broken("flask-login", "0.5", "werkzeug", "2.1"),
    broken("flask-login", "0.6.3", "werkzeug", "3"),
    broken("flask-wtf", "1.0", "werkzeug", "2.1"),
    broken("flask-wtf", "1.2", "werkzeug", "3"),
    broken("flask-uploads", "0.2.2", "werkzeug", "1.0"),
    broken("flask-sqlalchemy", "3.0", "sqlalchemy", "2"),
    broken("flask-sqlalchemy", "3.0", "flask", "3"),
    broken("pandas", "2.2.2", "numpy", "2"),
    broken("matplotlib", "3.9", "numpy", "2"),
    broken("scipy", "1.13", "numpy", "2"),
    broken("shapely", "2.0.4", "numpy", "2"),
    broken("opencv-python", "4.10.0.84", "numpy", "2"),
    broken("opencv-python-headless", "4.10.0.84", "numpy", "2"),
];

/// Requirements that mend the environment, and why, one for each package that is too new.
pub(super) fn needed(
    installed: &BTreeMap<String, String>,
    dependencies: &Dependencies,
) -> Vec<(String, String)> {
    let mut bounds: BTreeMap<&str, (&Break, &String)> = BTreeMap::new();
    for found in BREAKS {
        let (Some(version), Some(with)) = (installed.get(found.package), installed.get(found.with))
        else {
            continue;
        };
        let is =
            |left: &str, operator: &str, right: &str| compare(left, operator, right) == Some(true);
        if !is(version, "<", found.before)
            || !is(with, ">=", found.from)
            || dependencies.mentions(found.with)
        {
            continue;
        }
        // The lowest of several bounds serves them all.
        let lower = bounds
            .get(found.with)
            .is_none_or(|(other, _)| is(found.from, "<", other.from));
        if lower {
            bounds.insert(found.with, (found, version));
        }
    }
    bounds
        .into_iter()
        .map(|(with, (found, version))| {
            (
                format!("{with}<{}", found.from),
                format!(
                    "{} {version} does not work with {with} {}",
                    found.package, found.from
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(installed: &[(&str, &str)], requirements: &str, expected: &[&str]) {
        let installed = installed
            .iter()
            .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
            .collect();
        let dependencies = Dependencies {
            keyed: vec![("requirements.txt".into(), requirements.into())],
            ..Dependencies::default()
        };
        let found: Vec<String> = needed(&installed, &dependencies)
            .into_iter()
            .map(|(bound, _)| bound)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_what_the_app_does_not_name_is_held_back() {
        let rotten = [
            ("flask", "1.1.2"),
            ("werkzeug", "3.1.3"),
            ("jinja2", "3.1.6"),
            ("itsdangerous", "2.0.1"),
        ];
        check(&rotten, "Flask==1.1.2\n", &["jinja2<3.1", "werkzeug<2.1"]);
        check(&rotten, "Flask==1.1.2\nJinja2==3.1.6\n", &["werkzeug<2.1"]);
        check(&[("flask", "3.0.0"), ("werkzeug", "3.1.3")], "flask\n", &[]);
        check(
            &[("flask", "2.2.5"), ("werkzeug", "3.1.3")],
            "flask==2.2.5\n",
            &["werkzeug<3"],
        );
    }
}
