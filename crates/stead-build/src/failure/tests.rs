//! Whole outputs of uv 0.13.8 that were provoked on purpose, in `tests/`, and what becomes of them.

use std::path::Path;

use super::*;

fn explained(name: &str, python: Version) -> Error {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/failure/tests/{name}.txt"));
    let lines: Vec<String> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let available = [
        Version(3, 7, 16),
        Version(3, 8, 18),
        Version(3, 9, 18),
        Version(3, 10, 13),
        Version(3, 11, 7),
        Version(3, 12, 1),
    ];
    explain(
        &lines,
        &Context {
            act: "cannot install the packages of `requirements.txt`",
            python,
            available: &available,
            packages: &["poppler-utils".to_owned()],
            index: "https://pypi.org/simple/",
        },
    )
}

/// `expected`: a part of the act, of the causes, of the hint.
fn check(name: &str, minor: u32, expected: [&str; 3]) {
    let error = explained(name, Version(3, minor, 7));
    let causes = error.causes.join("; ");
    let hint = error.hint.clone().unwrap_or_default();
    for (found, part) in [&error.act, &causes, &hint].into_iter().zip(expected) {
        assert!(
            found.contains(part),
            "{name}: `{part}` is not in {error:#?}"
        );
    }
    assert!(!error.output.is_empty() && error.output.len() <= 20);
}

#[test]
fn a_missing_library_names_the_package_of_the_system_and_the_line_to_add() {
    check(
        "mysqlclient",
        11,
        [
            "cannot install `mysqlclient==2.1.1`",
            "client library of MySQL",
            "apt-get install default-libmysqlclient-dev pkg-config build-essential, and add `packages = [\"poppler-utils\", \"default-libmysqlclient-dev\"",
        ],
    );
    check("pkgres", 11, ["`mysqlclient", "MySQL", "PyMySQL"]);
    check(
        "pgconfig",
        11,
        ["psycopg2==2.9.9", "PostgreSQL", "psycopg2-binary"],
    );
    check(
        "ldap",
        11,
        [
            "python-ldap==3.4.0",
            "OpenLDAP",
            "libldap2-dev libsasl2-dev",
        ],
    );
    check("pycurl", 11, ["pycurl", "libcurl", "libcurl4-openssl-dev"]);
    check(
        "nogcc",
        11,
        ["netifaces==0.11.0", "a C compiler", "build-essential"],
    );
    check(
        "git",
        11,
        ["requirements.txt", "git", "apt-get install git"],
    );
}

#[test]
fn a_package_that_is_older_than_the_python_names_a_python_that_is_here() {
    let old = "set `python = \"3.10\"`";
    check("lxml", 11, ["lxml==4.6.3", "older than Python 3.11", old]);
    check(
        "gevent",
        12,
        ["gevent==1.4.0", "older than Python 3.11", old],
    );
    check(
        "greenlet",
        12,
        ["greenlet==0.4.17", "older than Python 3.11", old],
    );
    check(
        "numpy",
        12,
        [
            "numpy==1.21.0",
            "older than Python 3.12",
            "set `python = \"3.11\"`",
        ],
    );
    check(
        "psycopg2",
        11,
        [
            "psycopg2==2.7.1",
            "older than Python 3.10",
            "set `python = \"3.9\"`",
        ],
    );
    check(
        "cffi",
        11,
        [
            "cffi==1.14.0",
            "older than Python 3.10",
            "set `python = \"3.9\"`",
        ],
    );
    check(
        "build2",
        11,
        [
            "numpy==1.19.0",
            "older than Python 3.10",
            "set `python = \"3.9\"`",
        ],
    );
    check(
        "cython",
        12,
        [
            "pandas==1.1.0",
            "`numpy==1.17.3` is older than Python 3.12",
            "3.11",
        ],
    );
    check(
        "wheelonly",
        12,
        ["requirements.txt", "`psycopg2-binary==2.9.5`", "3.11"],
    );
}

#[test]
fn a_version_that_needs_another_python_names_one_that_fits() {
    check(
        "pyreq",
        8,
        [
            "requirements.txt",
            "`numpy==2.1.0` needs Python >=3.10, and this is Python 3.8.7",
            "set `python = \"3.12\"`",
        ],
    );
}

#[test]
fn what_cannot_be_resolved_is_told_without_a_solver_in_it() {
    check(
        "nover",
        11,
        [
            "requirements.txt",
            "has no version `flask==99.1`",
            "a version that exists",
        ],
    );
    check(
        "nopkg",
        11,
        [
            "requirements.txt",
            "has no package `flask-no-such-thing-xyz`",
            "spelling",
        ],
    );
    check(
        "conflict",
        11,
        [
            "requirements.txt",
            "flask==3.0.0 depends on werkzeug>=3.0.0",
            "",
        ],
    );
}

#[test]
fn a_network_that_fails_is_told_apart_from_a_package_that_fails() {
    check(
        "net",
        11,
        [
            "requirements.txt",
            "refuses the connection",
            "`index` under [build]",
        ],
    );
    check(
        "dns",
        11,
        [
            "requirements.txt",
            "name cannot be resolved",
            "`index` under [build]",
        ],
    );
    check(
        "cert",
        11,
        [
            "requirements.txt",
            "certificate is not trusted",
            "SSL_CERT_FILE",
        ],
    );
}

#[test]
fn builds_for_other_pythons_are_named_and_one_that_is_here_is_proposed() {
    check(
        "tensorflow",
        11,
        [
            "requirements.txt",
            "there are some for Python 3.5, 3.6, 3.7, 3.8",
            "set `python = \"3.8\"` under [build]",
        ],
    );
}

#[test]
fn a_build_that_fails_for_an_unknown_reason_says_what_it_ended_with() {
    check(
        "distutils",
        11,
        [
            "cannot install `numpy==1.17.0`",
            "there is no ready-made build of `numpy==1.17.0` for Python 3.11.7, and building it from source failed; the build ended with: NameError: name 'CCompiler' is not defined",
            "or set an older `python` under [build], such as \"3.10\"",
        ],
    );
}

#[test]
fn a_line_that_is_none_and_a_repository_that_is_not_reached_are_named() {
    check(
        "badline",
        11,
        [
            "requirements.txt",
            "`requirements.txt` has a line that is no requirement: `this is not a requirement`",
            "one package a line",
        ],
    );
    check(
        "repository",
        11,
        [
            "requirements.txt",
            "the repository https://github.com/nobody-there-x/nothing.git cannot be fetched; unable to access",
            "git ls-remote",
        ],
    );
}

#[test]
fn hashes_that_do_not_agree_stop_the_build() {
    check(
        "hash",
        11,
        ["six==1.16.0", "not the one that the hash was made of", ""],
    );
    check(
        "nohash",
        11,
        ["requirements.txt", "found: requests", "--generate-hashes"],
    );
}

#[test]
fn a_remedy_is_tried_once() {
    let lines = vec!["error in anyjson setup command: use_2to3 is invalid.".to_owned()];
    let first = remedy(&lines, &[]).unwrap();
    assert_eq!(first.constraint, "setuptools<58");
    assert!(remedy(&lines, &[first]).is_none());
}

#[test]
fn hostile_output_is_no_disaster() {
    for text in [
        "",
        "error: ",
        "Because ",
        "does not satisfy Python",
        "Failed to build `",
        "fatal error: ",
    ] {
        let error = explain(
            &[text.to_owned()],
            &Context {
                act: "cannot install",
                python: Version(3, 11, 0),
                available: &[],
                packages: &[],
                index: "",
            },
        );
        assert!(!error.act.is_empty());
    }
}
