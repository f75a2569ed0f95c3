//! What the edge says of a visitor, a visitor cannot say: under no spelling, over no protocol.

use stead_model::release::Protocol;

use crate::counting::Counting;

/// The names that upstreams believe.
const OWN: [&str; 15] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded",
    "Forwarded",
    "Forwarded-For",
    "X-Real-IP",
    "X-Request-ID",
    "Stead-Request",
    "Client-IP",
    "X-Client-IP",
    "True-Client-IP",
    "Remote-User",
];

/// A name in every spelling that some server takes for the same.
fn spellings(name: &str) -> Vec<String> {
    let mut spellings = vec![
        name.to_owned(),
        name.to_ascii_lowercase(),
        name.to_ascii_uppercase(),
    ];
    for other in "_.!#$%&'*+^`|~".chars() {
        spellings.push(name.replace('-', &other.to_string()));
        spellings.push(name.replacen('-', &other.to_string(), 1));
        spellings.push(name.to_ascii_uppercase().replace('-', &other.to_string()));
        spellings.push(format!("HTTP{other}{name}"));
        spellings.push(format!("{name}{other}"));
        spellings.push(format!("{other}{name}"));
    }
    spellings
}

#[test]
fn a_visitor_cannot_say_what_the_edge_says() {
    for protocol in [Protocol::Http, Protocol::Frames, Protocol::Uwsgi] {
        let counting = Counting::start(protocol);
        let mut asked = 0;
        for name in OWN {
            // Several to a request, each with the lie as its value; and named by `Connection`, which
            // takes headers away from whoever comes next (CVE-2022-31813).
            for some in spellings(name).chunks(40) {
                let lies: String = some.iter().map(|name| format!("{name}: lie\r\n")).collect();
                let answer = counting.running.ask(&format!(
                    "GET / HTTP/1.1\r\nHost: a\r\n{lies}Connection: {name}\r\n\r\n"
                ));
                assert_eq!(answer.status, 200);
                asked += 1;
            }
        }
        let seen = counting.seen();
        assert_eq!(seen.faults, Vec::<String>::new(), "{protocol:?}");
        assert_eq!(seen.requests.len(), asked);
        for request in &seen.requests {
            for (name, value) in &request.fields {
                assert_ne!(value, "lie", "`{name}` over {protocol:?}");
            }
            for name in ["x-forwarded-for", "x-real-ip"] {
                assert_eq!(request.values(name), ["127.0.0.1"], "over {protocol:?}");
            }
            assert_eq!(request.values("x-forwarded-proto"), ["http"]);
            assert_eq!(request.values("x-forwarded-host"), ["a"]);
            assert_eq!(request.values("forwarded"), ["for=127.0.0.1;proto=http"]);
            assert_eq!(request.values("x-request-id"), request.stamps);
        }
    }
}

#[test]
fn a_header_with_a_hyphen_arrives_and_its_double_does_not() {
    for protocol in [Protocol::Http, Protocol::Frames, Protocol::Uwsgi] {
        let counting = Counting::start(protocol);
        let answer = counting.running.ask(
            "GET / HTTP/1.1\r\nHost: a\r\nX_Token: 1\r\nX-Token: 2\r\nX.Token: 3\r\nX~Token: 4\r\nx-token: 5\r\n\r\n",
        );
        assert_eq!(answer.status, 200);
        let seen = counting.seen();
        let values = seen.requests[0].values("x-token").join(", ");
        assert_eq!(values, "2, 5", "over {protocol:?}");
        let tokens = |name: &str| name.contains("token");
        let fields = seen.requests[0].fields.iter();
        assert!(
            fields
                .filter(|(name, _)| tokens(name))
                .all(|(name, _)| name == "x-token")
        );
    }
}

#[test]
fn of_a_host_that_nobody_named_nothing_is_said() {
    for protocol in [Protocol::Http, Protocol::Frames, Protocol::Uwsgi] {
        let counting = Counting::start(protocol);
        let answer = counting
            .running
            .ask("GET / HTTP/1.0\r\nX-Forwarded-Host: lie\r\n\r\n");
        assert_eq!(answer.status, 200);
        let seen = counting.seen();
        let said = seen.requests[0].values("x-forwarded-host");
        assert_eq!(said, Vec::<String>::new(), "over {protocol:?}");
        let address = seen.requests[0].values("x-forwarded-for");
        assert_eq!(address, ["127.0.0.1"], "over {protocol:?}");
    }
}
