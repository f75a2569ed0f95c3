//! `stead up` of real apps.

use crate::running::{Tree, WSGI, get, wait_until};

#[test]
fn a_wsgi_app_without_a_file_is_served() {
    let tree = Tree::new(&[("wsgi.py", WSGI)]);
    let mut running = tree.serve(&[]);
    assert!(
        running
            .seen()
            .contains("no stead.toml: running what was detected; `stead init` writes it down")
    );
    let answer = running.get("/");
    assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
    assert!(running.stop().success());
}

#[test]
fn state_lies_in_a_directory_that_git_does_not_see() {
    let tree = Tree::wsgi();
    let mut running = tree.serve(&[]);
    assert_eq!(tree.read(".stead/.gitignore"), "*\n");
    assert!(running.stop().success());
}

#[test]
fn metrics_are_at_a_socket_in_the_state_directory() {
    use std::io::{Read, Write};
    let tree = Tree::wsgi();
    let mut running = tree.serve(&[]);
    let before = running.get("/").status;
    assert_eq!(before, 200);
    let socket = tree.path().join(".stead/metrics.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let counted = |line: &str| {
        line.starts_with("stead_requests_total{app=")
            && line.contains("process=\"web\",release=\"1\",status=\"2xx\"} ")
    };
    assert!(text.lines().any(counted), "{text}");
    assert!(running.stop().success());
    assert!(!socket.exists());
}

#[test]
fn one_route_may_take_longer_than_the_others() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\ntimeout = \"1s\"\n\
         [[route]]\npath = \"/\"\n[[route]]\npath = \"/report\"\ntimeout = \"180s\"\n",
    );
    tree.write("app.py", "import time\ndef application(environ, start_response):\n    time.sleep(0.0 if environ['PATH_INFO'] == '/' else 2.2)\n    start_response('200 OK', [])\n    return [b'done']\n");
    let mut running = tree.serve(&[]);
    assert_eq!(running.get("/").body, "done");
    assert_eq!(running.get("/report").body, "done");
    assert_eq!(running.get("/other").status, 504);
    running.wait_for(
        "`GET /other` took longer than 1.0 s; the visitor got 504, the instance is replaced",
    );
    assert!(running.stop().success());
}

#[test]
fn an_instance_that_fails_its_checks_is_replaced_while_visitors_are_served() {
    let server = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ill = self.path == "/health" and os.path.exists("ill-" + str(os.getpid()))
        self.send_response(500 if ill else 200)
        body = str(os.getpid()).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;
    let tree = Tree::new(&[("server.py", server)]);
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\ncommand = \"exec python3 server.py\"\ncount = 1\nsticky = true\n\
         health = { path = \"/health\", every = \"1s\" }\n",
    );
    let mut running = tree.serve(&[]);
    let first = running.get("/");
    assert!(
        first.head.contains("Set-Cookie: stead-sticky="),
        "{}",
        first.head
    );
    tree.write(&format!("ill-{}", first.body), "");
    running.wait_for(
        "3 checks in a row failed: `GET /health` was answered 500; the instance is replaced",
    );
    wait_until("another instance answers", || {
        let answer = running.get("/");
        assert_eq!(answer.status, 200);
        answer.body != first.body
    });
    assert!(running.stop().success());
}

#[test]
fn a_static_site_is_served() {
    let tree = Tree::new(&[("index.html", "<h1>home</h1>"), ("css/a.css", "a{}")]);
    let mut running = tree.serve(&[]);
    assert_eq!(running.get("/").body, "<h1>home</h1>");
    assert_eq!(running.get("/css/a.css").body, "a{}");
    assert_eq!(running.get("/.stead/lock").status, 404);
    assert!(running.stop().success());
}

#[test]
fn every_host_works_on_localhost() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n[route]\nhosts = [\"shop.example.com\", \"www.shop.example.com\"]\nredirects = { \"www.shop.example.com\" = \"shop.example.com\" }\n",
    );
    let mut running = tree.serve(&[]);
    let address = running.address();
    let status = |host: &str| get(&address, host, "/").unwrap().status;
    assert_eq!(status("shop.example.com"), 200);
    assert_eq!(status("www.shop.example.com"), 308);
    assert_eq!(status("localhost"), 200);
    assert_eq!(status(&address), 200);
    assert_eq!(status("shop.example.com.localhost"), 200);
    assert_eq!(status("other.example.com"), 421);
    assert!(running.stop().success());
}

#[test]
fn lines_of_instances_are_shown_with_their_source_and_kept() {
    let tree = Tree::wsgi();
    tree.write("app.py", &format!("import sys\nprint('started', flush=True)\nprint('\\x1b[2Jfrom stderr', file=sys.stderr)\n{WSGI}"));
    let mut running = tree.serve(&[]);
    running.wait_for("web.1  | started");
    running.wait_for("web.1  | \\u{1b}[2Jfrom stderr");
    assert!(running.stop().success());
    assert!(tree.read(".stead/logs/web.1.log").contains("started"));
}

#[test]
fn access_lines_go_where_they_are_wanted() {
    let tree = Tree::wsgi();
    let mut running = tree.serve(&["--access-log", "here.log", "--log-format", "json"]);
    assert_eq!(running.get("/x?y=1").status, 200);
    assert!(running.stop().success());
    let log = tree.read("here.log");
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["status"], 200);

    let mut running = tree.serve(&["--access-log", "off"]);
    assert_eq!(running.get("/").status, 200);
    assert!(running.stop().success());
    assert!(!tree.path().join(".stead/logs/access.log").exists());
}

#[test]
fn release_numbers_count_up_over_runs() {
    let tree = Tree::wsgi();
    for number in 1..=2 {
        let mut running = tree.serve(&[]);
        running.wait_for(&format!("release {number} serves"));
        assert!(running.stop().success());
    }
}

#[test]
fn a_worker_process_and_a_release_command_run_too() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n[process.worker]\ncommand = \"echo at work; exec sleep 600\"\n[release]\ncommand = \"echo before all\"\n",
    );
    let mut running = tree.serve(&[]);
    running.wait_for("| at work");
    running.wait_for("| before all");
    assert!(running.stop().success());
}

#[test]
fn visitors_who_come_before_the_app_is_there_wait() {
    let tree = Tree::wsgi();
    tree.write("app.py", &format!("import time\ntime.sleep(2)\n{WSGI}"));
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let mut running = tree.up(&["--port", &port]);
    running.wait_for("shop in ");
    let answer = get(&format!("127.0.0.1:{port}"), "localhost", "/").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
    assert!(running.stop().success());
}
