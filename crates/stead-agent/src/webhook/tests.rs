use std::io::{self, Cursor};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const SECRET: &str = "a secret of 32 characters, or so";
const NOW: i64 = 1_790_000_000;
const BODY: &str =
    r#"{"ref":"refs/heads/main","after":"5feceb66ffc86f38d952786c6d696c79c2dbc239"}"#;

/// What comes from the edge, and what goes back.
struct Stream {
    input: Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct App {
    _dir: tempfile::TempDir,
    in_force: InForce,
}

impl App {
    fn new(secret: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("secrets")).unwrap();
        if let Some(secret) = secret {
            fs::write(
                dir.path().join("secrets/WEBHOOK_SECRET"),
                format!("{secret}\n"),
            )
            .unwrap();
        }
        let webhook = Webhook {
            path: "/hook".to_owned(),
            repository: "https://example.com/shop.git".to_owned(),
            branch: "main".to_owned(),
            directory: String::new(),
            secret: "WEBHOOK_SECRET".to_owned(),
            key: None,
        };
        let in_force = InForce {
            dir: dir.path().to_owned(),
            webhook,
        };
        Self {
            _dir: dir,
            in_force,
        }
    }

    fn bytes(&self, bytes: &[u8]) -> (Heard, u16) {
        let mut stream = Stream {
            input: Cursor::new(bytes.to_vec()),
            output: Vec::new(),
        };
        let (heard, _) = hear(&mut stream, &self.in_force, NOW);
        let answer = String::from_utf8(stream.output).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (heard, status)
    }

    fn post(&self, headers: &[(&str, &str)], body: &str) -> (Heard, u16) {
        self.bytes(&request(headers, body))
    }
}

fn request(headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text =
        "POST /hook?x=1 HTTP/1.1\r\nHost: shop.example.com\r\nContent-Type: application/json\r\n"
            .to_owned();
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn github(secret: &str, body: &str) -> String {
    let hex: String = mac(secret.as_bytes(), body)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("sha256={hex}")
}

fn gitee(secret: &str, at: i64) -> String {
    STANDARD.encode(mac(secret.as_bytes(), &format!("{at}\n{secret}")))
}

const DEPLOY: (Heard, u16) = (Heard::Deploy, 202);
const DENIED: (Heard, u16) = (Heard::Nothing, 401);

#[test]
fn the_example_of_github_s_documentation_is_verified() {
    let (secret, body) = ("It's a Secret to Everybody", "Hello, World!");
    let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(github(secret, body), expected);
    let mut stream = Cursor::new(request(
        &[
            ("X-Hub-Signature-256", expected),
            ("X-GitHub-Event", "ping"),
        ],
        body,
    ));
    let request = Request::read(&mut stream).unwrap();
    assert_eq!(
        signature::verify(&request, secret, NOW).unwrap().event,
        "ping"
    );
}

#[test]
fn each_of_the_signatures_lets_a_push_in_once() {
    let signature = github(SECRET, BODY);
    let of_github: &[(&str, &str)] = &[
        ("X-Hub-Signature-256", &signature),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "1"),
    ];
    let of_gitlab: &[(&str, &str)] = &[("X-Gitlab-Token", SECRET), ("X-Gitlab-Event", "Push Hook")];
    let (at, token) = ((NOW * 1000).to_string(), gitee(SECRET, NOW * 1000));
    let of_gitee: &[(&str, &str)] = &[
        ("X-Gitee-Token", &token),
        ("X-Gitee-Timestamp", &at),
        ("X-Gitee-Event", "Push Hook"),
    ];
    let with_password: &[(&str, &str)] = &[
        ("X-Gitee-Token", SECRET),
        ("X-Gitee-Timestamp", &at),
        ("X-Gitee-Event", "Push Hook"),
    ];
    for headers in [of_github, of_gitlab, of_gitee, with_password] {
        let app = App::new(Some(SECRET));
        assert_eq!(app.post(headers, BODY), DEPLOY, "{headers:?}");
        assert_eq!(
            app.post(headers, BODY),
            (Heard::Nothing, 200),
            "{headers:?}"
        );
        // Without a secret, or with one that is none, nobody is let in.
        for secret in [
            None,
            Some(""),
            Some("short"),
            Some("another one of 32 characters ..."),
        ] {
            assert_eq!(
                App::new(secret).post(headers, BODY),
                DENIED,
                "{headers:?} {secret:?}"
            );
        }
    }
    // Another name for the delivery does not make it new.
    let app = App::new(Some(SECRET));
    assert_eq!(app.post(of_github, BODY), DEPLOY);
    let renamed = [of_github[0], of_github[1], ("X-GitHub-Delivery", "2")];
    assert_eq!(app.post(&renamed, BODY), (Heard::Nothing, 200));
}

#[test]
fn a_key_to_sign_with_is_used_as_standard_webhooks_says() {
    let key = [7; 32];
    let secret = format!("whsec_{}", STANDARD.encode(key));
    let sign = |id: &str, at: i64| {
        format!(
            "v1,{}",
            STANDARD.encode(mac(&key, &format!("{id}.{at}.{BODY}")))
        )
    };
    let post = |id: &str, at: i64, signature: &str| {
        let at = at.to_string();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &at),
            ("webhook-signature", signature),
            ("X-Gitlab-Event", "Push Hook"),
        ];
        App::new(Some(&secret)).post(&headers, BODY)
    };
    assert_eq!(post("a", NOW, &sign("a", NOW)), DEPLOY);
    assert_eq!(
        post("a", NOW, &format!("v1,AAAA {}", sign("a", NOW))),
        DEPLOY
    );
    assert_eq!(post("b", NOW, &sign("a", NOW)), DENIED);
    assert_eq!(post("a", NOW + 1, &sign("a", NOW)), DENIED);
    assert_eq!(post("a", NOW - 301, &sign("a", NOW - 301)), DENIED);
    assert_eq!(post("a", NOW + 301, &sign("a", NOW + 301)), DENIED);
    assert_eq!(post("a", NOW, "v1,"), DENIED);
    assert_eq!(
        post("a", NOW, &sign("a", NOW).replace("v1,", "v2,")),
        DENIED
    );
    // The same delivery again is not done again, even when it is signed at another time; another one is.
    let app = App::new(Some(&secret));
    let again = |id: &str, at: i64| {
        let (signature, at) = (sign(id, at), at.to_string());
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &at),
            ("webhook-signature", &signature),
            ("X-Gitlab-Event", "Push Hook"),
        ];
        app.post(&headers, BODY)
    };
    assert_eq!(again("a", NOW), DEPLOY);
    assert_eq!(again("a", NOW), (Heard::Nothing, 200));
    assert_eq!(again("a", NOW + 1), (Heard::Nothing, 200));
    assert_eq!(again("b", NOW), DEPLOY);
    // A key of nothing, or one that could be guessed, is none, though whoever sends knows it.
    for short in [&[][..], &[7; 15]] {
        let signature = STANDARD.encode(mac(short, &format!("a.{NOW}.{BODY}")));
        let headers = [
            ("webhook-id", "a"),
            ("webhook-timestamp", &NOW.to_string()),
            ("webhook-signature", &format!("v1,{signature}")),
            ("X-Gitlab-Event", "Push Hook"),
        ];
        let secret = format!("whsec_{}", STANDARD.encode(short));
        assert_eq!(App::new(Some(&secret)).post(&headers, BODY), DENIED);
    }
    // The plain token is not enough where a signature is due.
    let plain = [
        ("X-Gitlab-Token", secret.as_str()),
        ("X-Gitlab-Event", "Push Hook"),
    ];
    assert_eq!(App::new(Some(&secret)).post(&plain, BODY), DENIED);
}

#[test]
fn what_is_not_signed_as_it_should_be_is_denied() {
    let app = App::new(Some(SECRET));
    let good = github(SECRET, BODY);
    let stale = NOW * 1000 - 3_601_000;
    let (old, of_old) = (stale.to_string(), gitee(SECRET, stale));
    let at = (NOW * 1000).to_string();
    for headers in [
        &[][..],
        &[("X-Hub-Signature-256", "")],
        &[("X-Hub-Signature-256", "sha256=")],
        &[("X-Hub-Signature-256", &good[..70])],
        &[("X-Hub-Signature-256", &good.replace("sha256", "sha1"))],
        &[(
            "X-Hub-Signature-256",
            &github("another secret, as long as it", BODY),
        )],
        &[("X-Hub-Signature-256", &github("", BODY))],
        // Two of them: none.
        &[
            ("X-Hub-Signature-256", &good),
            ("X-Hub-Signature-256", &good),
        ],
        // A good one of one server does not stand in for a bad one of another.
        &[
            ("X-Hub-Signature-256", "sha256=00"),
            ("X-Gitlab-Token", SECRET),
        ],
        &[("X-Gitlab-Token", "")],
        &[("X-Gitlab-Token", "a secret of 32 characters, or s")],
        &[("X-Gitee-Token", &of_old), ("X-Gitee-Timestamp", &old)],
        &[("X-Gitee-Token", SECRET), ("X-Gitee-Timestamp", &old)],
        &[("X-Gitee-Token", SECRET)],
        &[("X-Gitee-Token", &of_old), ("X-Gitee-Timestamp", &at)],
        &[("X-Gitee-Token", SECRET), ("X-Gitee-Timestamp", "x")],
        &[
            ("X-Gitee-Token", SECRET),
            ("X-Gitee-Timestamp", "-9223372036854775808"),
        ],
    ] {
        let named: Vec<_> = [
            ("X-GitHub-Event", "push"),
            ("X-Gitlab-Event", "Push Hook"),
            ("X-Gitee-Event", "Push Hook"),
        ]
        .into_iter()
        .chain(headers.iter().copied())
        .collect();
        assert_eq!(app.post(&named, BODY), DENIED, "{headers:?}");
    }
    let changed = [
        ("X-Hub-Signature-256", good.as_str()),
        ("X-GitHub-Event", "push"),
    ];
    assert_eq!(app.post(&changed, &format!("{BODY} ")), DENIED);
}

#[test]
fn what_is_no_push_of_the_branch_is_answered_and_not_done() {
    let app = App::new(Some(SECRET));
    let post = |event: &str, body: &str| {
        app.post(
            &[
                ("X-Hub-Signature-256", &github(SECRET, body)),
                ("X-GitHub-Event", event),
            ],
            body,
        )
    };
    let nothing = (Heard::Nothing, 200);
    assert_eq!(post("ping", "{\"zen\":\"x\"}"), nothing);
    assert_eq!(post("push", &BODY.replace("main", "other")), nothing);
    assert_eq!(post("push", &BODY.replace("heads", "tags")), nothing);
    assert_eq!(post("push", "{}"), (Heard::Nothing, 400));
    assert_eq!(post("push", "no JSON"), (Heard::Nothing, 400));
}

#[test]
fn a_request_is_whole_of_a_bounded_size_and_at_its_place() {
    let app = App::new(Some(SECRET));
    let signature = github(SECRET, BODY);
    let headers = [
        ("X-Hub-Signature-256", signature.as_str()),
        ("X-GitHub-Event", "push"),
    ];
    let good = request(&headers, BODY);
    for end in 0..good.len() {
        assert_eq!(app.bytes(&good[..end]), (Heard::Nothing, 400), "{end}");
    }
    let with = |from: &str, to: &str| {
        String::from_utf8(good.clone())
            .unwrap()
            .replacen(from, to, 1)
            .into_bytes()
    };
    assert_eq!(app.bytes(&with("/hook", "/hook/x")), (Heard::Nothing, 404));
    assert_eq!(app.bytes(&with("POST", "GET")), (Heard::Nothing, 405));
    assert_eq!(
        app.bytes(&with(
            "application/json",
            "application/x-www-form-urlencoded"
        )),
        (Heard::Nothing, 415)
    );
    assert_eq!(
        app.bytes(&with("Content-Length: ", "Content-Length: 99999999")),
        (Heard::Nothing, 413)
    );
    assert_eq!(
        app.bytes(&with("Content-Length", "Transfer-Encoding: chunked\r\nX")),
        (Heard::Nothing, 411)
    );
    assert_eq!(app.bytes(&vec![b'x'; 200_000]), (Heard::Nothing, 413));
    assert_eq!(app.bytes(&good), DEPLOY);
}

#[test]
fn so_many_deliveries_are_remembered_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    for count in 0..REMEMBERED + 10 {
        assert!(remember(dir.path(), &count.to_string()).unwrap());
    }
    assert!(!remember(dir.path(), "10").unwrap());
    assert!(remember(dir.path(), "0").unwrap());
    let kept = fs::read_to_string(dir.path().join("webhook.seen")).unwrap();
    assert_eq!(kept.lines().count(), REMEMBERED);
}
