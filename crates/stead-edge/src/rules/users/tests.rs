use super::*;

fn users() -> Users {
    let hash = bcrypt::hash("geheim", 4).unwrap();
    let other = bcrypt::hash("other", 4).unwrap();
    Users::new(
        &[("anna".to_owned(), hash), ("ben".to_owned(), other)].into(),
        None,
    )
    .unwrap()
}

fn header(pair: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(pair)).into_bytes()
}

/// Nobody hears them.
fn complaints() -> Complaints {
    Complaints::new(tokio::sync::mpsc::unbounded_channel().0)
}

#[tokio::test]
async fn who_has_a_name_and_its_password_comes_in_again_and_again() {
    let (users, attempts) = (users(), Attempts::default());
    for _ in 0..3 {
        for (pair, name) in [
            ("anna:geheim", Some("anna")),
            ("ben:other", Some("ben")),
            ("anna:other", None),
            ("anna:", None),
            (":geheim", None),
            ("annageheim", None),
            ("nobody:geheim", None),
            ("Anna:geheim", None),
            ("anna:geheim:", None),
        ] {
            let expected = match name {
                Some(name) => Admission::Known(name.into()),
                None => Admission::Unknown,
            };
            let got = users
                .admit(Some(&header(pair)), &attempts, &complaints())
                .await;
            assert_eq!(got, expected, "{pair}");
        }
    }
    assert_eq!(
        users.admit(None, &attempts, &complaints()).await,
        Admission::Unknown
    );
    assert_eq!(
        users.lock().known.len(),
        2,
        "only what was proved is remembered"
    );
}

#[test]
fn nothing_but_whole_credentials_is_read() {
    let pair = |name: &str, password: &str| {
        Some(Credentials {
            name: name.into(),
            password: password.into(),
        })
    };
    for (value, expected) in [
        ("Basic YTpi", pair("a", "b")),
        ("bAsIc   YTpi", pair("a", "b")),
        ("Basic YTpiOmM=", pair("a", "b:c")),
        ("Basic Og==", pair("", "")),
        ("Basic", None),
        ("Basic ", None),
        ("BasicYTpi", None),
        ("Bearer YTpi", None),
        ("Basic YTpi YTpi", None),
        ("Basic YTpi=", None),
        ("Basic YWI=", None),
        ("Basic YTpiCg==", None),
        ("Basic YTpiAA==", None),
        ("Basic \u{e9}", None),
    ] {
        assert_eq!(Credentials::parse(value.as_bytes()), expected, "{value:?}");
    }
    let long = header(&format!("a:{}", "x".repeat(LONGEST)));
    assert_eq!(Credentials::parse(&long), None);
}

#[tokio::test]
async fn so_many_may_wait_for_their_password_and_no_more() {
    let (users, attempts) = (users(), Attempts::default());
    let _held = attempts.running.acquire().await.unwrap();
    let value = header("anna:geheim");
    let telling = complaints();
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut one = Box::pin(users.admit(Some(&value), &attempts, &telling));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(one.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        waiting.push(one);
    }
    let more = users.admit(Some(&value), &attempts, &complaints()).await;
    assert_eq!(more, Admission::Busy);
    waiting.pop();
    assert_eq!(attempts.waiting.load(Ordering::Relaxed), WAITING - 1);
}

#[test]
fn a_route_that_nobody_could_enter_is_refused() {
    assert!(Users::new(&BTreeMap::new(), None).is_err());
    for hash in ["", "geheim", "$2y$10$short", "$1$abc$def"] {
        let users = [("anna".to_owned(), hash.to_owned())].into();
        let error = Users::new(&users, None).unwrap_err();
        assert!(!error.contains("geheim"), "it may be the password: {error}");
    }
}

#[tokio::test]
async fn a_file_of_users_is_read_again_when_it_changes_and_what_it_said_holds_while_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let hash = |password| bcrypt::hash(password, 4).unwrap();
    let (own, first, second) = (hash("own"), hash("first"), hash("second"));
    let own = BTreeMap::from([("anna".to_owned(), own)]);
    let attempts = Attempts::default();
    let users = Users::new(&own, Some(path.clone())).unwrap();
    let expect = async |what: &str, pair: &str, comes_in: bool| {
        // As if somebody had looked long ago.
        users.lock().looked = Instant::now() - 2 * LOOK_EVERY;
        let got = users
            .admit(Some(&header(pair)), &attempts, &complaints())
            .await;
        let known = matches!(got, Admission::Known(_));
        assert_eq!(known, comes_in, "{what}: {pair}");
    };
    expect("no file", "anna:own", true).await;
    expect("no file", "carl:first", false).await;
    std::fs::write(&path, format!("carl:{first}\nanna:{first}\n")).unwrap();
    expect("first", "carl:first", true).await;
    expect("first", "carl:second", false).await;
    expect("the table goes before the file", "anna:own", true).await;
    expect("the table goes before the file", "anna:first", false).await;
    std::fs::write(&path, format!("carl:{second}\n")).unwrap();
    expect("changed", "carl:first", false).await;
    expect("changed", "carl:second", true).await;
    let kinds = "carl:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\ndora:";
    std::fs::write(&path, format!("{kinds}{second}\n")).unwrap();
    expect("another kind of hash", "carl:second", false).await;
    expect("another kind of hash", "dora:second", true).await;
    let complains = |of: &str| {
        let complaint = users.lock().complaint.clone();
        let complaint = complaint.unwrap_or_default();
        assert!(complaint.contains(of), "{of}: {complaint}");
    };
    complains("line 1 (`carl`)");
    std::fs::remove_file(&path).unwrap();
    expect("gone", "dora:second", true).await;
    expect("gone", "anna:own", true).await;
    complains("cannot be read: it is not there; whom it let in before");
    std::fs::create_dir(&path).unwrap();
    expect("not a file", "dora:second", true).await;
    complains("is no file");
    std::fs::remove_dir(&path).unwrap();
    for broken in [&b"\xff"[..], b"dora:", b"<html>", &[b'#'; 1024 * 1024 + 1]] {
        std::fs::write(&path, broken).unwrap();
        expect("broken", "dora:second", true).await;
        expect("broken", "dora:first", false).await;
        complains("; whom it let in before still comes in");
    }
    std::fs::write(&path, format!("dora:{first}\n")).unwrap();
    expect("back", "dora:first", true).await;
    assert_eq!(users.lock().complaint, None);
    std::fs::write(&path, "# nobody any more\n").unwrap();
    expect("emptied", "dora:first", false).await;
    expect("emptied", "anna:own", true).await;
    assert_eq!(users.lock().complaint, None);
}

#[tokio::test]
async fn a_file_without_users_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let users = Users::new(&BTreeMap::new(), Some(path)).unwrap();
    let attempts = Attempts::default();
    let got = users
        .admit(Some(&header("a:b")), &attempts, &complaints())
        .await;
    assert_eq!(got, Admission::Unknown);
}
