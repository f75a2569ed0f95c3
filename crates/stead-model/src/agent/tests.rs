use super::*;

#[test]
fn questions_and_answers_of_this_version_are_read_for_ever() {
    let question: Question = serde_json::from_str(r#"{"protocol":1,"wish":"status"}"#).unwrap();
    assert_eq!(question.wish, Wish::Status);
    let answer: Answer = serde_json::from_str(
        r#"{"status":{"protocol":1,"version":"0.1.0","pid":7,"running_seconds":3,"later":true,
        "edge":{"Err":["no edge has its control socket there"]}}}"#,
    )
    .unwrap();
    let Answer::Status(status) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(
        status.edge,
        Err(vec!["no edge has its control socket there".to_owned()])
    );
}

#[test]
fn a_wish_with_a_hostile_name_is_refused_before_anything_is_done() {
    let tree = "a".repeat(64);
    let hostile = [
        "", ".", "..", "../x", "a/b", "a b", "a;id", "$(id)", "`id`", "a\nb", "a%n", "a\0", "A",
        "1a", "-a", "é", "a'b", "a\"b", "a|b", "a&b", "a>b", "a*", "a@b", "a.b", "a\\b", "{a}",
        "a:b", "~",
    ];
    let deploy = |app: &str, tree: &str, origin: Origin| {
        Wish::Deploy(Deploy {
            app: app.to_owned(),
            tree: tree.to_owned(),
            origin,
            release_command: true,
        })
    };
    for name in hostile {
        let app = || name.to_owned();
        let good = || "shop".to_owned();
        for wish in [
            deploy(name, &tree, Origin::default()),
            deploy("shop", name, Origin::default()),
            Wish::Rollback {
                app: app(),
                to: None,
                who: String::new(),
            },
            Wish::Releases { app: app() },
            Wish::Restart {
                app: app(),
                process: None,
            },
            Wish::Scale {
                app: app(),
                process: good(),
                count: Some(1),
            },
            Wish::Remove {
                app: app(),
                data: false,
            },
        ] {
            assert!(wish.check().is_err(), "{wish:?}");
        }
        // Names of processes may begin with a capital.
        if name != "A" {
            let wish = Wish::Restart {
                app: good(),
                process: Some(app()),
            };
            assert!(wish.check().is_err(), "{wish:?}");
        }
        let origin = Origin {
            commit: Some(app()),
            ..Origin::default()
        };
        assert!(deploy("shop", &tree, origin).check().is_err(), "{name:?}");
    }
    for message in ["a\nb", "\u{1b}[2J", &"x".repeat(2000)] {
        let origin = Origin {
            message: Some(message.to_owned()),
            ..Origin::default()
        };
        assert!(deploy("shop", &tree, origin).check().is_err());
    }
    let origin = Origin {
        who: "ana@laptop".to_owned(),
        commit: Some("4b825dc".to_owned()),
        branch: Some("a;id $(x)".to_owned()),
        message: Some("Say `hello`, and \"more\"".to_owned()),
        dirty: true,
    };
    assert_eq!(deploy("shop-2", &tree, origin).check(), Ok(()));
    let scale = |count| Wish::Scale {
        app: "shop".to_owned(),
        process: "web".to_owned(),
        count,
    };
    assert_eq!(scale(Some(1000)).check(), Ok(()));
    assert!(scale(Some(1001)).check().is_err());
}

#[test]
fn a_line_of_progress_is_not_the_last_one() {
    let note = Progress::Note {
        text: "x".to_owned(),
    };
    assert!(!Answer::Progress(note).is_last());
    assert!(Answer::Done(Box::default()).is_last());
    assert!(Answer::Refused { causes: Vec::new() }.is_last());
}
