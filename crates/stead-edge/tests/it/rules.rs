//! What routes ask beyond their target.

use std::io::{Read, Write};
use std::net::TcpListener;

use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;
use stead_model::routing::{
    Address, Folder, Instance, InstanceId, Maintenance, Moved, Route, RoutingTable, Rules, Target,
};

use crate::running::{Running, Worker, table, upstream};

/// Answers with what it was told, one line each, and two headers of its own.
const ECHO: &str = r#"
def app(environ, start_response):
    names = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "REMOTE_USER",
             "HTTP_X_FORWARDED_PREFIX", "HTTP_X_FORWARDED_USER", "HTTP_X_SITE", "HTTP_AUTHORIZATION", "HTTP_COOKIE")
    lines = ["%s=%s" % (name, environ[name]) for name in names if name in environ]
    body = "\n".join(lines).encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Server", "app"), ("X-Frame-Options", "ALLOW")])
    return [body]
"#;

/// An edge before [`ECHO`], whose one route has these rules and this path.
fn ruled(path: &str, rules: Rules) -> (Running, Worker) {
    let worker = Worker::start(ECHO, 2);
    (Running::start(ruled_table(&worker, path, rules)), worker)
}

fn ruled_table(worker: &Worker, path: &str, rules: Rules) -> RoutingTable {
    let spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let mut table = table(spec);
    table.routes[0].path = path.into();
    table.routes[0].rules = Some(Box::new(rules));
    table
}

/// A server that answers each request with its head.
fn mirror() -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    head.extend_from_slice(&buffer[..length]);
                    if head.ends_with(b"\r\n\r\n") {
                        let length = head.len();
                        let line = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                        let _ = stream.write_all(&[line.as_bytes(), &head].concat());
                        head.clear();
                    }
                }
            });
        }
    });
    Instance {
        id: InstanceId(900),
        address,
        capacity: 100,
    }
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, String> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn headers_of_responses_are_set_and_removed() {
    let (running, _worker) = ruled(
        "/",
        Rules {
            headers: strings([("x-frame-options", "DENY"), ("X-New", "1")]),
            remove_headers: vec!["SERVER".into()],
            ..Rules::default()
        },
    );
    let answer = running.get("/");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(
        answer
            .head
            .to_lowercase()
            .matches("x-frame-options")
            .count(),
        1
    );
    assert_eq!(answer.header("x-new"), Some("1"));
    assert_eq!(answer.header("server"), None);
    // An error of the edge's own has them as well.
    let error = running.ask("GET /../ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (error.status, error.header("x-new")),
        (400, None),
        "no route, no rules"
    );
    let large = running.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n");
    assert_eq!((large.status, large.header("x-new")), (413, Some("1")));
}

#[test]
fn headers_of_requests_are_set_and_removed_under_all_their_names() {
    let (running, _worker) = ruled(
        "/",
        Rules {
            request_headers: strings([("X-Site", "shop")]),
            remove_request_headers: vec!["cookie".into()],
            ..Rules::default()
        },
    );
    let answer = running.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nx-site: evil\r\nX_Site: evil\r\nX.Site: evil\r\nX-SITE: evil\r\nCookie: a=b\r\n\r\n",
    );
    assert!(
        answer.text().contains("HTTP_X_SITE=shop"),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("evil"), "{}", answer.text());
    assert!(!answer.text().contains("HTTP_COOKIE"), "{}", answer.text());
}

#[test]
fn a_prefix_is_taken_off_and_becomes_the_script_name() {
    let rules = |rewrite: &str| Rules {
        rewrite: Some(rewrite.into()),
        ..Rules::default()
    };
    let (running, _worker) = ruled("/api", rules("/"));
    for (path, expected) in [
        (
            "/api/x%20y?a=1",
            "SCRIPT_NAME=/api\nPATH_INFO=/x y\nQUERY_STRING=a=1\nREQUEST_URI=/api/x%20y?a=1\nHTTP_X_FORWARDED_PREFIX=/api",
        ),
        (
            "/api",
            "SCRIPT_NAME=/api\nPATH_INFO=/\nQUERY_STRING=\nREQUEST_URI=/api\nHTTP_X_FORWARDED_PREFIX=/api",
        ),
        (
            "/%61pi//x",
            "SCRIPT_NAME=/api\nPATH_INFO=/x\nQUERY_STRING=\nREQUEST_URI=/%61pi//x\nHTTP_X_FORWARDED_PREFIX=/api",
        ),
        (
            "/api%2Fx",
            "SCRIPT_NAME=/api\nPATH_INFO=/x\nQUERY_STRING=\nREQUEST_URI=/api%2Fx\nHTTP_X_FORWARDED_PREFIX=/api",
        ),
    ] {
        assert_eq!(running.get(path).text(), expected, "{path}");
    }
    let forged = running.ask("GET /api/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /evil\r\n\r\n");
    assert!(!forged.text().contains("evil"));
    let (running, _worker) = ruled("/api", rules("/v2"));
    let expected = "SCRIPT_NAME=\nPATH_INFO=/v2/x\nQUERY_STRING=\nREQUEST_URI=/api/x";
    assert_eq!(running.get("/api/x").text(), expected);
    let (running, _worker) = ruled("/", rules("/v2"));
    let expected = "SCRIPT_NAME=\nPATH_INFO=/v2/x\nQUERY_STRING=\nREQUEST_URI=/x";
    assert_eq!(running.get("/x").text(), expected);
}

#[test]
fn a_server_of_its_own_gets_the_rewritten_request_line() {
    let mut table = table(upstream(Protocol::Http, vec![mirror()]));
    table.routes[0].path = "/api".into();
    table.routes[0].rules = Some(Box::new(Rules {
        rewrite: Some("/".into()),
        request_headers: strings([("X-Site", "shop")]),
        ..Rules::default()
    }));
    let running = Running::start(table);
    let seen = running.get("/api/x%2Fy?a=%20").text().to_owned();
    assert!(seen.starts_with("GET /x%2Fy?a=%20 HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("\r\nX-Forwarded-Prefix: /api\r\nX-Site: shop\r\n"),
        "{seen}"
    );
    let absolute = running.ask("GET http://a/api?b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        absolute.text().starts_with("GET /?b HTTP/1.1\r\n"),
        "{}",
        absolute.text()
    );
}

fn moved(to: &str, status: u16) -> Moved {
    let to = to.to_owned();
    Moved { to, status }
}

#[test]
fn paths_are_sent_elsewhere_with_what_follows_and_the_query() {
    let route = |path: &str, target| Route {
        hosts: vec![],
        path: path.into(),
        target,
        body_limit: 0,
        timeouts: Default::default(),
        rules: None,
        limit: None,
        tls: None,
    };
    let mut shop = route("/shop", Target::Moved(moved("/", 301)));
    shop.rules = Some(Box::new(Rules {
        moved: [("/shop/front".to_owned(), moved("/shop/front/page", 303))].into(),
        headers: strings([("X-New", "1")]),
        ..Rules::default()
    }));
    let running = Running::start(RoutingTable {
        generation: 0,
        routes: vec![
            route("/old", Target::Moved(moved("/new", 308))),
            route(
                "/docs",
                Target::Moved(moved("https://docs.example.com/v1", 302)),
            ),
            shop,
        ],
        ..RoutingTable::default()
    });
    for (path, status, location) in [
        ("/old", 308, "/new"),
        ("/old/x?a=1&b", 308, "/new/x?a=1&b"),
        ("/old/", 308, "/new/"),
        ("/old//evil.example", 308, "/new/evil.example"),
        ("/docs/a%20b", 302, "https://docs.example.com/v1/a%20b"),
        ("/shop", 301, "/"),
        ("/shop//evil.example", 301, "/evil.example"),
        ("/shop/%2Fevil.example", 301, "/evil.example"),
        ("/shop/\\evil.example", 301, "/%5Cevil.example"),
        ("/shop/front?a", 303, "/shop/front/page?a"),
        ("/shop/front/page", 301, "/front/page"),
    ] {
        let answer = running.get(path);
        let got = (answer.status, answer.header("location"));
        assert_eq!(got, (status, Some(location)), "{path}");
        let has = answer.header("x-new").is_some();
        assert_eq!(has, path.starts_with("/shop"), "{path}");
    }
}

fn basic(pair: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(pair)
}

#[test]
fn only_who_has_a_password_comes_in_and_the_app_learns_the_name_alone() {
    let (running, _worker) = ruled(
        "/",
        Rules {
            users: strings([("anna", &bcrypt::hash("geheim", 4).unwrap())]),
            headers: strings([("X-New", "1")]),
            ..Rules::default()
        },
    );
    let ask = |more: &str| {
        running.ask(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: root\r\nRemote-User: root\r\nREMOTE_USER: root\r\n{more}\r\n"
        ))
    };
    let wrong = basic("anna:falsch");
    for refused in [
        String::new(),
        format!("Authorization: Basic {wrong}\r\n"),
        format!("Authorization: Bearer {}\r\n", basic("anna:geheim")),
        format!("Authorization: Basic {}\r\n", basic("root:geheim")),
        format!(
            "Authorization: Basic {wrong}\r\nAuthorization: Basic {}\r\n",
            basic("anna:geheim")
        ),
    ] {
        let answer = ask(&refused);
        assert_eq!(answer.status, 401, "{refused}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(
            challenge,
            Some("Basic realm=\"Restricted\", charset=\"UTF-8\"")
        );
        assert_eq!(answer.header("x-new"), Some("1"));
    }
    for _ in 0..2 {
        let answer = ask(&format!(
            "Authorization: basic {}\r\n",
            basic("anna:geheim")
        ));
        assert_eq!(answer.status, 200);
        assert!(
            answer.text().contains("REMOTE_USER=anna"),
            "{}",
            answer.text()
        );
        assert!(
            answer.text().contains("HTTP_X_FORWARDED_USER=anna"),
            "{}",
            answer.text()
        );
        assert!(!answer.text().contains("root"), "{}", answer.text());
        assert!(
            !answer.text().contains("AUTHORIZATION"),
            "{}",
            answer.text()
        );
    }
    // The body of who is not let in is not read, and what follows it is no request.
    let mut visitor = running.visit();
    visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    let answer = visitor.answer(false);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (401, Some("close"))
    );
}

#[test]
fn the_password_is_passed_on_where_the_route_says_so() {
    let (running, _worker) = ruled(
        "/",
        Rules {
            users: strings([("anna", &bcrypt::hash("geheim", 4).unwrap())]),
            pass_authorization: true,
            ..Rules::default()
        },
    );
    let line = format!("Authorization: Basic {}", basic("anna:geheim"));
    let answer = running.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
    let passed = format!("HTTP_AUTHORIZATION=Basic {}", basic("anna:geheim"));
    assert!(answer.text().contains(&passed), "{}", answer.text());
    assert!(answer.text().contains("REMOTE_USER=anna"));
    assert_eq!(running.get("/").status, 401);
}

#[test]
fn a_file_of_users_that_breaks_is_told_once_and_locks_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("htpasswd");
    let hash = bcrypt::hash("geheim", 4).unwrap();
    std::fs::write(&file, format!("anna:{hash}\n")).unwrap();
    let rules = || Rules {
        users_file: Some(file.clone()),
        ..Rules::default()
    };
    let (mut running, worker) = ruled("/", rules());
    let line = format!("Authorization: Basic {}", basic("anna:geheim"));
    let asked = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    assert_eq!(running.ask(&asked).status, 200);
    assert_eq!(running.edge.problems(), [""; 0]);
    // Until it is looked at again, which is a second later.
    let until = |running: &Running, is: &dyn Fn(&[String]) -> bool| {
        let end = std::time::Instant::now() + crate::running::PATIENCE;
        while !is(&running.edge.problems()) {
            assert_eq!(running.ask(&asked).status, 200, "the old users stay");
            assert!(std::time::Instant::now() < end);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    std::fs::write(&file, b"\xff\xfe").unwrap();
    until(&running, &|problems| !problems.is_empty());
    let problem = format!(
        "the file of users `{}` is no text; whom it let in before still comes in",
        file.display()
    );
    assert_eq!(running.edge.problems(), std::slice::from_ref(&problem));
    let told = |event: &EdgeEvent| {
        matches!(
            event,
            EdgeEvent::UsersFile {
                problem: Some(_),
                ..
            }
        )
    };
    running.wait_for(told);
    assert_eq!(running.ask(&asked).status, 200);
    // A new table, as any deploy brings it, is no reason to lock them out.
    let same = ruled_table(&worker, "/", rules());
    running.publish(same);
    assert_eq!(running.ask(&asked).status, 200);
    assert_eq!(running.edge.problems(), [problem]);
    assert_eq!(running.count_now(told), 0, "it was told before");
    std::fs::write(&file, format!("anna:{hash}\nben:$1$salt$hash\n")).unwrap();
    until(&running, &|problems| problems[0].contains("(`ben`)"));
    std::fs::write(&file, format!("anna:{hash}\n")).unwrap();
    until(&running, &|problems| problems.is_empty());
    running.wait_for(|event| matches!(event, EdgeEvent::UsersFile { problem: None, .. }));
    // One that was never whole lets nobody in, which is told with the table.
    let mut other = rules();
    other.users_file = Some(folder.path().join("none"));
    let table = ruled_table(&worker, "/", other);
    running.publish(table);
    assert_eq!(running.ask(&asked).status, 401);
    let problems = running.edge.problems();
    assert!(
        problems[0].ends_with("cannot be read: it is not there; nobody of it comes in"),
        "{problems:?}"
    );
    // What no route names any more is no problem.
    let table = ruled_table(&worker, "/", Rules::default());
    running.publish(table);
    assert_eq!(running.edge.problems(), [""; 0]);
}

#[test]
fn a_route_without_users_knows_no_name() {
    let (running, _worker) = ruled(
        "/",
        Rules {
            remove_headers: vec!["X".into()],
            ..Rules::default()
        },
    );
    let answer = running.ask(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\nRemote-User: root\r\nX-Forwarded-User: root\r\nAuthorization: Basic {}\r\n\r\n",
        basic("anna:geheim")
    ));
    assert!(!answer.text().contains("root"), "{}", answer.text());
    assert!(
        answer.text().contains("HTTP_AUTHORIZATION=Basic"),
        "the app has users of its own"
    );
}

#[test]
fn maintenance_lasts_as_long_as_its_file_and_not_for_those_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("closed.html");
    let rules = |allow: &str| Rules {
        maintenance: Some(Maintenance {
            file: Some(file.clone()),
            allow: vec![allow.parse().unwrap()],
        }),
        users: strings([(
            "anna",
            "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        )]),
        ..Rules::default()
    };
    let (running, _worker) = ruled("/", rules("192.0.2.0/24"));
    assert_eq!(running.get("/").status, 401);
    std::fs::write(&file, "").unwrap();
    let answer = running.get("/");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("300"))
    );
    assert!(answer.text().contains("We are working on this site"));
    std::fs::write(&file, "<h1>Back soon</h1>").unwrap();
    let answer = running.get("/");
    assert_eq!((answer.status, answer.text()), (503, "<h1>Back soon</h1>"));
    assert_eq!(answer.header("content-security-policy"), None);
    let head = running.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.header("content-length")),
        (503, Some("18"))
    );
    let json = running.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    assert_eq!(json.header("content-type"), Some("application/json"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(running.get("/").status, 401);
    std::fs::create_dir(&file).unwrap();
    assert_eq!(
        running.get("/").status,
        503,
        "what cannot be read is there nevertheless"
    );
    let (running, _worker) = ruled("/", rules("127.0.0.0/8"));
    assert_eq!(
        running.get("/").status,
        401,
        "let through, and asked for a name"
    );
}

#[test]
fn errors_have_the_pages_that_the_route_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, name).unwrap();
        file
    };
    let errors = [
        ("404".to_owned(), page("none")),
        ("4xx".to_owned(), page("client")),
        ("5xx".to_owned(), page("server")),
        ("413".to_owned(), folder.path().join("missing")),
    ];
    let rules = Some(Box::new(Rules {
        errors: errors.into(),
        ..Rules::default()
    }));
    let site = tempfile::tempdir().unwrap();
    let route = |path: &str, target| Route {
        hosts: vec![],
        path: path.into(),
        target,
        body_limit: 1,
        timeouts: Default::default(),
        rules: rules.clone(),
        limit: None,
        tls: None,
    };
    let files = Target::Folder(Folder {
        root: site.path().to_owned(),
        fallback: None,
        ..Default::default()
    });
    // Nobody listens there.
    let nobody = Instance {
        id: InstanceId(902),
        address: Address::Unix(folder.path().join("none.sock")),
        capacity: 1,
    };
    let mut table = table(upstream(Protocol::Http, vec![nobody]));
    table.routes[0].rules = rules.clone();
    table.routes[0].body_limit = 1;
    table.routes.push(route("/files", files));
    let running = Running::start(table);
    let answer = running.get("/files/x");
    assert_eq!((answer.status, answer.text()), (404, "none"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let put = running.ask("PUT /files/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((put.status, put.text()), (404, "none"));
    let answer = running.get("/x");
    assert_eq!((answer.status, answer.text()), (502, "server"));
    let large = running.ask("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    assert_eq!((large.status, large.text()), (413, "client"));
    let json = running.ask("GET /x HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    assert!(json.text().contains("\"status\":502"), "{}", json.text());
}

#[test]
fn a_folder_has_a_page_for_paths_of_its_app_and_says_more_to_caches() {
    let site = tempfile::tempdir().unwrap();
    std::fs::create_dir(site.path().join("assets")).unwrap();
    for name in [
        "index.html",
        "plain.txt",
        "assets/a.woff2",
        "app.3f2a1b9c.js",
    ] {
        std::fs::write(site.path().join(name), name).unwrap();
    }
    let table = |root: &std::path::Path| RoutingTable {
        generation: 0,
        routes: vec![Route {
            hosts: vec![],
            path: "/".into(),
            target: Target::Folder(Folder {
                root: root.to_owned(),
                fallback: None,
                page: Some("index.html".into()),
                cache: vec![
                    ("*.woff2".into(), "public, max-age=60".into()),
                    ("/assets/*".into(), "no-store".into()),
                ],
                compress: false,
            }),
            body_limit: 0,
            timeouts: Default::default(),
            rules: None,
            limit: None,
            tls: None,
        }],
        ..RoutingTable::default()
    };
    let running = Running::start(table(site.path()));
    for (path, status, body, control) in [
        ("/", 200, "index.html", Some("no-cache")),
        ("/orders/17", 200, "index.html", Some("no-cache")),
        ("/orders/", 200, "index.html", Some("no-cache")),
        ("/missing.js", 404, "", None),
        ("/.git/config", 404, "", None),
        ("/a%2Fb", 404, "", None),
        ("/plain.txt", 200, "plain.txt", Some("no-cache")),
        (
            "/app.3f2a1b9c.js",
            200,
            "app.3f2a1b9c.js",
            Some("public, max-age=31536000, immutable"),
        ),
        (
            "/assets/a.woff2",
            200,
            "assets/a.woff2",
            Some("public, max-age=60"),
        ),
    ] {
        let answer = running.get(path);
        assert_eq!(answer.status, status, "{path}");
        if status == 200 {
            assert_eq!(
                (answer.text(), answer.header("cache-control")),
                (body, control),
                "{path}"
            );
        }
    }
    let page = running.get("/orders/17");
    let tag = page.header("etag").unwrap();
    let again = running.ask(&format!(
        "GET /orders/18 HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n"
    ));
    assert_eq!(again.status, 304);
    let head = running.ask("HEAD /orders/17 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    let json =
        running.ask("GET /orders/17 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    assert_eq!(json.status, 404);
    let post = running.ask("POST /orders/17 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.status, 404);
}
