//! Routes that do more than lead somewhere, as a stead.toml says it.

use crate::running::{Tree, get};

const APP: &str = "def application(environ, start_response):
    names = ('SCRIPT_NAME', 'PATH_INFO', 'HTTP_X_SITE')
    start_response('200 OK', [('Server', 'secret'), ('Content-Type', 'text/plain')])
    return [' '.join(environ.get(name, '-') for name in names).encode()]
";

#[test]
fn a_route_rewrites_redirects_and_sets_headers() {
    let tree = Tree::wsgi();
    tree.write("app.py", APP);
    tree.write(
        "stead.toml",
        "app = \"shop\"
[process.web]
wsgi = \"app:application\"
count = 1
[[route]]
redirects = { \"/old\" = \"/new\", \"/\" = \"/api\" }
redirect-status = 302
[[route]]
path = \"/api\"
rewrite = \"/\"
headers = { X-Frame-Options = \"DENY\" }
remove-headers = [\"Server\"]
request-headers = { X-Site = \"shop\" }
",
    );
    let mut running = tree.serve(&[]);
    let answer = running.get("/api/x");
    assert_eq!((answer.status, answer.body.as_str()), (200, "/api /x shop"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("server"), None);
    for (path, location) in [("/old/a?b", "/new/a?b"), ("/?a", "/api?a")] {
        let answer = running.get(path);
        let got = (answer.status, answer.header("location"));
        assert_eq!(got, (302, Some(location)), "{path}");
    }
    assert_eq!(running.get("/elsewhere").body, " /elsewhere -");
    assert!(running.stop().success());
}

#[test]
fn a_route_asks_for_a_name_and_is_closed_for_a_while() {
    let tree = Tree::wsgi();
    tree.write("app.py", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [environ.get('REMOTE_USER', '-').encode()]\n");
    tree.write("404.html", "<h1>Nothing</h1>");
    let hash = stead_hash("geheim");
    tree.write(
        "stead.toml",
        &format!(
            "app = \"shop\"
[process.web]
wsgi = \"app:application\"
count = 1
[[route]]
users = {{ anna = \"{hash}\" }}
maintenance = \"closed.html\"
static = {{ \"/files\" = \"files\" }}
errors = {{ \"404\" = \"404.html\" }}
"
        ),
    );
    tree.write("files/a.txt", "a");
    let mut running = tree.serve(&[]);
    assert_eq!(running.get("/").status, 401);
    assert_eq!(running.get("/files/a.txt").status, 401);
    let authorized = |path: &str| {
        let line = "localhost\r\nAuthorization: Basic YW5uYTpnZWhlaW0=";
        get(&running.address(), line, path).unwrap()
    };
    assert_eq!(authorized("/").body, "anna");
    assert_eq!(authorized("/files/a.txt").body, "a");
    assert_eq!(authorized("/files/b.txt").body, "<h1>Nothing</h1>");
    tree.write("closed.html", "");
    assert_eq!(authorized("/").status, 503);
    assert!(running.stop().success());
}

/// What `stead password` makes of a password on its standard input.
fn stead_hash(password: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_stead"))
        .arg("password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}
