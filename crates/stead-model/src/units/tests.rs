use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::routing::InstanceId;

fn service() -> Service {
    Service {
        app: "my-shop".into(),
        process: "web".into(),
        release: 4,
        name: "web.1".into(),
        argv: vec![
            "/usr/bin/python3".into(),
            "-m".into(),
            "50% $HOME \"x\"\n;".into(),
        ],
        directory: "/var/lib/stead/apps/my-shop/releases/4".into(),
        readable: vec!["/var/lib/stead/apps/my-shop/releases/4".into()],
        writable: vec!["/var/lib/stead/apps/my-shop/volumes/data".into()],
        environment: "/var/lib/stead/apps/my-shop/variables/web.1".into(),
        hidden: "/var/lib/stead".into(),
        life: Life::Always {
            socket: Some("stead.my-shop.web.4-17.socket".into()),
            runtime: None,
            grace: Duration::from_secs(10),
            memory: Some(1 << 28),
            shell: false,
        },
    }
}

#[test]
fn a_service_says_what_is_run_and_nothing_of_it_is_read_by_systemd() {
    let text = service().text().unwrap();
    let command = text.lines().find(|line| line.starts_with("ExecStart="));
    assert_eq!(
        command,
        Some("ExecStart=:\"/usr/bin/python3\" \"-m\" \"50%% $HOME \\\"x\\\"\\n;\"")
    );
    assert!(text.contains("\nUser=stead-my-shop\n"), "{text}");
    assert!(text.contains("\nSlice=stead-my\\x2dshop.slice\n"), "{text}");
    assert!(
        text.contains("\nRequires=stead.my-shop.web.4-17.socket\n"),
        "{text}"
    );
    assert!(text.contains("\nMemoryMax=268435456\n"), "{text}");
}

#[test]
fn a_program_without_a_path_is_refused() {
    let mut service = service();
    service.argv = vec!["python3".into()];
    assert!(service.text().is_err());
    service.argv.clear();
    assert!(service.text().is_err());
}

#[test]
fn a_path_that_would_become_another_line_is_refused() {
    for path in ["/a\nExecStartPre=/bin/x", "/a\\", "a", "/a ", "/a\tb"] {
        assert!(line(Path::new(path)).is_err(), "{path:?}");
    }
    assert_eq!(line(Path::new("/a b%")), Ok("/a b%%".into()));
    assert!(bound(Path::new("/a b")).is_err());
    assert!(bound(Path::new("/a:b")).is_err());
}

#[test]
fn names_are_taken_apart_as_they_were_put_together() {
    let names = instance_unit("my-shop", "web", 4, InstanceId(17));
    assert_eq!(names.service, "stead.my-shop.web.4-17.service");
    assert_eq!(instance_of("my-shop", &names.service), Some(InstanceId(17)));
    assert_eq!(instance_of("my", &names.service), None);
    assert_eq!(instance_of("my-shop", &names.socket), None);
    for other in [
        release_unit("my-shop", 4),
        build_unit("my-shop", 4),
        job_unit("my-shop", "refresh", 3),
        target("my-shop"),
    ] {
        assert_eq!(instance_of("my-shop", &other), None, "{other}");
        assert!(is_unit_of("my-shop", &other), "{other}");
        assert!(!is_unit_of("my", &other), "{other}");
    }
}

#[test]
fn no_app_has_the_user_of_the_edge_or_of_another_app() {
    assert_eq!(user("shop"), "stead-shop");
    assert_ne!(user("edge"), "stead-edge");
    let long = "a".repeat(32);
    let longer = format!("{}b", "a".repeat(31));
    assert_ne!(user(&long), user(&longer));
    assert!(user(&long).len() <= 31);
}

#[test]
fn what_boots_is_a_list_of_units() {
    let text = boot_target("shop", &["a.socket".into(), "a.service".into()]);
    assert!(
        text.ends_with("Wants=a.socket\nWants=a.service\n"),
        "{text}"
    );
}

/// What systemd makes of the words of a command line: systemd.syntax(7), then specifiers.
fn read_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = line.chars().peekable();
    while characters.peek().is_some() {
        let mut word = String::new();
        assert_eq!(characters.next(), Some('"'));
        loop {
            match characters.next().unwrap() {
                '"' => break,
                '\\' => match characters.next().unwrap() {
                    'n' => word.push('\n'),
                    'x' => {
                        let digits: String =
                            [characters.next().unwrap(), characters.next().unwrap()]
                                .iter()
                                .collect();
                        word.push(char::from(u8::from_str_radix(&digits, 16).unwrap()));
                    }
                    other => word.push(other),
                },
                '%' => {
                    assert_eq!(characters.next(), Some('%'));
                    word.push('%');
                }
                other => word.push(other),
            }
        }
        words.push(word);
        if let Some(next) = characters.next() {
            assert_eq!(next, ' ');
        }
    }
    words
}

proptest! {
    #[test]
    fn every_argument_comes_out_as_it_went_in(arguments in proptest::collection::vec("[^\0]*", 0..4)) {
        let line: Vec<String> = arguments.iter().map(|a| word(a).unwrap()).collect();
        let line = line.join(" ");
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(read_words(&line), arguments);
    }

    #[test]
    fn a_unit_has_the_same_lines_whatever_its_arguments_are(argument in "[^\0]*") {
        let mut service = service();
        let lines = service.text().unwrap().lines().count();
        service.argv = vec!["/bin/x".into(), argument];
        prop_assert_eq!(service.text().unwrap().lines().count(), lines);
    }

    #[test]
    fn every_variable_is_quoted_to_its_end(value in "[^\0]*") {
        let variables = BTreeMap::from([("A".to_owned(), value.clone())]);
        let text = environment_file(&variables).unwrap();
        let inner = text.strip_prefix("A=\"").unwrap().strip_suffix("\"\n").unwrap();
        let mut read = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            prop_assert!(!matches!(character, '"' | '$' | '`'));
            read.push(if character == '\\' { characters.next().unwrap() } else { character });
        }
        prop_assert_eq!(read, value);
    }
}

#[test]
fn a_variable_without_a_name_is_refused() {
    for name in ["", "1A", "A B", "A=B", "A\nB", "É"] {
        let variables = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        assert!(environment_file(&variables).is_err(), "{name:?}");
    }
}
