//! Routes that do more than lead somewhere, as a stead.toml says it.

use crate::running::Tree;

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
