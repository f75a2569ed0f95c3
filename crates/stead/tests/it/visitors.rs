//! Who visitors are and how often they may come, as a `stead.toml` says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::running::{PATIENCE, Tree, get};

const APP: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [])
    names = ["REMOTE_ADDR", "wsgi.url_scheme", "HTTP_X_FORWARDED_FOR"]
    return [" ".join(environ[name] for name in names).encode()]
"#;

/// Everything that comes for one request with these headers.
fn ask(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_trusted_proxy_names_the_visitor_and_a_route_has_its_rate() {
    let tree = Tree::new(&[("app.py", APP), ("public/a.txt", "a")]);
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n\
         [edge]\ntrusted = [\"127.0.0.1\"]\n\
         [[route]]\npath = \"/\"\n\
         [[route]]\npath = \"/api\"\nstatic = { \"/api/files\" = \"public\" }\nrate = \"2/h\"\nburst = 2\n",
    );
    let mut running = tree.serve(&[]);
    let address = running.address();
    let proxy = "X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\
                 X_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";
    let answer = ask(&address, "/", proxy);
    assert!(
        answer.ends_with("203.0.113.7 https 203.0.113.7"),
        "{answer}"
    );
    assert!(ask(&address, "/api", proxy).starts_with("HTTP/1.1 200 "));
    assert!(ask(&address, "/api/files/a.txt", proxy).starts_with("HTTP/1.1 200 "));
    for path in ["/api", "/api/files/a.txt"] {
        let answer = ask(&address, path, proxy);
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: "), "{answer}");
    }
    assert!(ask(&address, "/", proxy).starts_with("HTTP/1.1 200 "));
    assert_eq!(get(&address, "localhost", "/api").unwrap().status, 200);
    assert!(running.stop().success());
}

#[test]
fn without_trusted_nobody_is_believed() {
    let tree = Tree::new(&[("app.py", APP)]);
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n",
    );
    let mut running = tree.serve(&[]);
    let lies = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6;proto=https\r\n\
                X-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nConnection: X-Forwarded-For\r\n";
    let answer = ask(&running.address(), "/", lies);
    assert!(answer.ends_with("127.0.0.1 http 127.0.0.1"), "{answer}");
    assert!(running.stop().success());
}

#[test]
fn only_the_header_that_is_named_is_read_and_may_be_another() {
    let tree = Tree::new(&[("app.py", APP)]);
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n\
         [edge]\ntrusted = [\"127.0.0.0/8\"]\nvisitor-header = \"X-Real-IP\"\n",
    );
    let mut running = tree.serve(&[]);
    let address = running.address();
    // The proxy passes on as they came what it does not write.
    let answer = ask(
        &address,
        "/",
        "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 203.0.113.8\r\n",
    );
    assert!(answer.ends_with("203.0.113.8 http 203.0.113.8"), "{answer}");
    assert!(running.stop().success());
}

#[test]
fn a_proxy_protocol_header_says_who_the_visitor_is_and_must_be_there() {
    let tree = Tree::new(&[("app.py", APP)]);
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n\
         [edge]\ntrusted = [\"127.0.0.1\"]\nproxy-protocol = true\n",
    );
    let mut running = tree.serve(&[]);
    let address = running.address();
    let say = |first: &[u8]| {
        let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
        stream.write_all(first).unwrap();
        let lies = "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
        let request =
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lies}\r\n");
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let text = say(b"PROXY TCP4 203.0.113.9 192.0.2.1 50000 80\r\n");
    assert!(text.ends_with("203.0.113.9 http 203.0.113.9"), "{text}");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend_from_slice(&[203, 0, 113, 10, 192, 0, 2, 1, 0xc3, 0x50, 0, 80]);
    let binary = say(&header);
    assert!(
        binary.ends_with("203.0.113.10 http 203.0.113.10"),
        "{binary}"
    );
    for none in [&b""[..], b"PROXY TCP4 nobody 192.0.2.1 1 1\r\n"] {
        assert_eq!(say(none), "", "it is closed without a word");
    }
    assert!(running.stop().success());
}

#[test]
fn a_file_of_users_says_who_comes_in_and_check_says_who_does_not() {
    let tree = Tree::new(&[("app.py", APP)]);
    // Of `geheim`, as `htpasswd -nbB -C 4` makes it.
    let hash = bcrypt::hash("geheim", 4).unwrap();
    tree.write("htpasswd", &format!("anna:{hash}\nben:$apr1$salt$hash\n"));
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n\
         [route]\nusers-file = \"htpasswd\"\n",
    );
    let check = String::from_utf8(tree.run(&["check"]).stdout).unwrap();
    let line = "the user `ben` of `htpasswd` has an MD5 hash (`$apr1$`)";
    assert!(check.contains(line), "{check}");
    assert!(check.contains("htpasswd -B htpasswd ben"), "{check}");
    let mut running = tree.serve(&["--access-log", "access.log", "--log-format", "json"]);
    let address = running.address();
    let basic = "Authorization: Basic YW5uYTpnZWhlaW0=\r\n";
    assert!(ask(&address, "/", "").starts_with("HTTP/1.1 401 "));
    let answer = ask(&address, "/", basic);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let end = Instant::now() + PATIENCE;
    // Who is taken out of the file does not come in any more, without a reload.
    tree.write("htpasswd", "# nobody\n");
    while !ask(&address, "/", basic).starts_with("HTTP/1.1 401 ") {
        assert!(Instant::now() < end, "anna still comes in");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(running.stop().success());
    let log = tree.read("access.log");
    assert!(log.contains("\"user\":\"anna\""), "{log}");
}
