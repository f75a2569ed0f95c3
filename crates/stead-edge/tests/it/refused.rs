//! docs/refused.md is true.

use crate::running::Running;

const APP: &str = r#"
def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"reached the app"]
"#;

#[test]
fn every_request_of_the_table_is_refused_as_it_says() {
    let (running, _worker) = Running::app(APP, 2);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/refused.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut count = 0;
    for line in document.lines() {
        let Some((request, rest)) = line
            .strip_prefix("| `")
            .and_then(|line| line.split_once("` | "))
        else {
            continue;
        };
        let status = rest.get(..3).unwrap();
        let request = request
            .replace("\\r", "\r")
            .replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace("\\0", "\0");
        let mut visitor = running.visit();
        visitor.send(request.as_bytes());
        let answer = visitor.answer(false);
        assert_eq!(answer.status.to_string(), status, "{request:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{request:?}");
        visitor.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(visitor.is_closed(), "{request:?}");
        count += 1;
    }
    assert!(count > 30, "the table was found");
}
