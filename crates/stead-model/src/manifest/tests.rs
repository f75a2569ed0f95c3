use proptest::prelude::*;

use super::keys::TABLES;
use super::*;
use crate::{ConfigErrors, procfile};

/// Everything that `stead.toml` can say but what is not supported yet.
const FULL: &str = include_str!("../../tests/cases/full.txt");

fn full() -> &'static str {
    FULL.split("----------").next().unwrap_or_default()
}

/// Places must be in the file, and what a person sees must be printable.
fn check_errors(text: &str, errors: &ConfigErrors) {
    assert!(!errors.errors.is_empty());
    assert!(errors.errors.len() <= ConfigErrors::LIMIT);
    let lines: Vec<&str> = text.split('\n').collect();
    for error in &errors.errors {
        let line = lines.get(error.line - 1).expect("a line of the file");
        assert!(
            error.column >= 1 && error.column <= line.chars().count() + 1,
            "{error:?}"
        );
        for part in [Some(&error.message), error.hint.as_ref()]
            .into_iter()
            .flatten()
        {
            assert!(!part.contains(|c: char| c.is_control()), "{error:?}");
        }
    }
}

fn parse_anything(text: &str) {
    if let Err(errors) = Manifest::parse(text, "stead.toml") {
        check_errors(text, &errors);
    }
    if let Err(errors) = procfile::parse(text, "Procfile") {
        check_errors(text.trim_start_matches('\u{feff}'), &errors);
    }
}

#[test]
fn every_truncation_of_a_file_is_read_or_refused() {
    let text = full();
    for (end, _) in text.char_indices() {
        parse_anything(&text[..end]);
    }
}

#[test]
fn every_truncation_at_a_line_end_is_a_smaller_file() {
    let text = full();
    for (end, _) in text.match_indices("\n\n") {
        Manifest::parse(&text[..end], "stead.toml").expect("whole tables are left");
    }
}

#[test]
fn the_example_of_every_key_is_accepted_and_another_type_is_refused() {
    for table in TABLES.iter().filter(|table| table.not_yet.is_none()) {
        let path = table.example;
        let header = match path {
            "" => String::new(),
            path => format!("[{path}]\n"),
        };
        for key in table.keys {
            let program = matches!(key.name, "wsgi" | "asgi" | "command" | "static" | "uwsgi");
            let mut around = String::new();
            if path == "process.web" && !program {
                // Not every key is for Stead's own worker.
                around.push_str(match key.name {
                    "sticky" => "asgi = \"shop:app\"\n",
                    _ => "wsgi = \"shop:app\"\n",
                });
            }
            around.push_str(match (path, key.name) {
                ("route", "burst") => "rate = \"10/s\"\n",
                ("edge", "proxy-protocol" | "visitor-header") => "trusted = [\"private\"]\n",
                _ => "",
            });
            if path == "job.refresh" {
                for (name, value) in [("command", "\"x\""), ("schedule", "\"@daily\"")] {
                    if key.name != name {
                        around.push_str(&format!("{name} = {value}\n"));
                    }
                }
            }
            if path == "route" {
                around.push_str(match key.name {
                    "redirect-status" => "redirects = { \"/old\" = \"/new\" }\n",
                    "fallback" => "static = { \"/\" = \"dist\" }\n",
                    "maintenance-allow" => "maintenance = true\n",
                    "pass-authorization" => "users-file = \"htpasswd\"\n",
                    _ => "",
                });
            }
            if path == "webhook" && key.name != "repository" {
                around.push_str("repository = \"https://example.com/shop.git\"\n");
            }
            if path == "acme.on-demand" && key.name != "ask" {
                around.push_str("ask = \"/allowed?domain=\"\n");
            }
            if path == "tls" {
                around.push_str(match key.name {
                    "certificate" => "key = \"shop.key\"\n",
                    "key" => "certificate = \"shop.pem\"\n",
                    "hsts-subdomains" => "hsts = \"180d\"\n",
                    _ => "",
                });
            }
            let before = if path == "process.web.health" {
                "[process.web]\nwsgi = \"shop:app\"\n"
            } else {
                ""
            };
            let with = |value: &str| format!("{before}{header}{around}{} = {value}\n", key.name);
            let right = with(key.example);
            if let Err(errors) = Manifest::parse(&right, "stead.toml") {
                panic!("{right}\n{errors}");
            }
            let wrong = with("1979-05-27T07:32:00Z");
            let errors = Manifest::parse(&wrong, "stead.toml").expect_err(&wrong);
            let full_key = if path.is_empty() {
                key.name.to_owned()
            } else {
                format!("{path}.{}", key.name)
            };
            assert!(
                errors.errors.iter().any(|error| error.key == full_key),
                "{wrong}\n{errors}"
            );
        }
    }
}

#[test]
fn no_error_says_more_than_its_file_can_hold() {
    let text = "x = 1979-05-27T07:32:00Z\n"
        .replace('x', &"ä".repeat(10))
        .repeat(3);
    let quoted: String = (0..200).map(|n| format!("\"key {n}\" = 1\n")).collect();
    let errors = Manifest::parse(&quoted, "stead.toml").expect_err("unknown keys");
    assert_eq!((errors.errors.len(), errors.omitted), (50, 150));
    assert!(errors.to_string().ends_with("and 150 more"));
    parse_anything(&text);
}

#[test]
fn long_files_of_mistakes_come_to_an_end() {
    parse_anything(&"a = b\n".repeat(5_000));
    parse_anything(&"web: x\n".repeat(5_000));
    let processes: Vec<String> = (0..4_000)
        .map(|n| format!("[process.p{n}]\ncommand = \"x\"\n"))
        .collect();
    parse_anything(&processes.concat());
}

#[test]
fn directory_names_are_made_to_fit() {
    for (given, fitted) in [
        ("shop", "shop"),
        ("My Shop (2)", "my-shop-2"),
        ("2048-game", "game"),
        ("---", "app"),
        ("", "app"),
        ("магазин", "app"),
        ("a_b.c", "a-b-c"),
        (
            "abcdefghijklmnopqrstuvwxyzabcde-f",
            "abcdefghijklmnopqrstuvwxyzabcde",
        ),
    ] {
        assert_eq!(fit_app_name(given), fitted);
        assert!(values::app_name(&fit_app_name(given)).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn arbitrary_text_is_read_or_refused(text in ".{0,200}") {
        parse_anything(&text);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_anything(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn pieces_of_toml_are_read_or_refused(pieces in prop::collection::vec(
        prop::sample::select(vec![
            "[", "]", "[[", "]]", "{", "}", "\"", "'", "\"\"\"", "=", ".", ",", "\n", "\r", " ", "#", "\\", "\u{0}",
            "app", "build", "process", "web", "health", "route", "env", "secret", "volume", "job", "service",
            "wsgi", "\"a:b\"", "command", "static", "redirects", "hosts", "path", "timeout", "\"30s\"", "3.10",
            "true", "1979-05-27", "ä", "\u{feff}", "-1", "0x", "inf",
        ]), 0..40)) {
        parse_anything(&pieces.concat());
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(at in 0..2000usize, byte in any::<u8>()) {
        let mut bytes = full().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        parse_anything(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn values_never_panic(text in "\\PC{0,40}") {
        let _ = values::duration(&text);
        let _ = values::size(&text);
        let _ = values::status_range(&text);
        let _ = values::host(&text, true);
        let _ = values::entry_point(&text);
        let _ = values::relative_path(&text);
        let _ = values::python_version(&text);
        let _ = crate::schedule::validate(&text);
        prop_assert!(values::app_name(&fit_app_name(&text)).is_ok());
    }
}
