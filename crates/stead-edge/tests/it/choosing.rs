//! Which instance of a server that an app brings along gets a request, for how long, and what becomes of those
//! that do not do well.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;
use stead_model::routing::{Address, Check, Instance, InstanceId, Route, Upstream};

use crate::running::{PATIENCE, Running, Worker, table, upstream};

/// A server that answers each request with what `answer` makes of its path, and counts them.
struct Server {
    instance: Instance,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(id: u64, answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (counter, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (counter, answer) = (Arc::clone(&counter), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream.unwrap(), &counter, &*answer));
            }
        });
        Self {
            instance: Instance {
                id: InstanceId(id),
                address: Address::Tcp(address),
                capacity: 100,
            },
            requests,
        }
    }

    /// One that answers its number, with this status.
    fn numbered(id: u64, status: &'static str) -> Self {
        Self::start(id, move |_, stream| {
            let _ = stream.write_all(&answer(status, &id.to_string()));
        })
    }

    fn seen(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn serve(
    mut stream: TcpStream,
    counter: &AtomicUsize,
    answer: &(dyn Fn(&str, &mut TcpStream) + Send + Sync),
) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        read.extend_from_slice(&buffer[..length]);
        if read.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(std::mem::take(&mut read)).unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            answer(head.split(' ').nth(1).unwrap(), &mut stream);
        }
    }
}

/// An instance that nobody listens for.
fn nobody(id: u64) -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Instance {
        id: InstanceId(id),
        address: Address::Tcp(listener.local_addr().unwrap()),
        capacity: 100,
    }
}

fn http(servers: &[&Server]) -> Upstream {
    let instances = servers.iter().map(|server| server.instance.clone());
    upstream(Protocol::Http, instances.collect())
}

#[test]
fn a_request_goes_to_the_instance_with_the_fewest() {
    let slow = |id| {
        Server::start(id, move |path, stream| {
            if path == "/slow" {
                std::thread::sleep(Duration::from_millis(700));
            }
            let _ = stream.write_all(&answer("200 OK", &id.to_string()));
        })
    };
    let servers = [slow(1), slow(2), slow(3)];
    let running = Running::start(table(http(&servers.each_ref())));
    let visitors: Vec<_> = (0..6)
        .map(|_| {
            let mut visitor = running.visit();
            visitor.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
            visitor
        })
        .collect();
    for mut visitor in visitors {
        assert_eq!(visitor.answer(false).status, 200);
    }
    assert_eq!(servers.each_ref().map(Server::seen), [2, 2, 2]);
}

#[test]
fn an_instance_that_cannot_be_reached_costs_one_retry_and_is_left_out() {
    let well = Server::numbered(2, "200 OK");
    let mut spec = http(&[&well]);
    spec.instances.insert(0, nobody(1));
    let mut running = Running::start(table(spec));
    for _ in 0..20 {
        assert_eq!(running.get("/").text(), "2");
    }
    let refused = |event: &EdgeEvent| matches!(event, EdgeEvent::InstanceFailed { instance: InstanceId(1), why } if why.contains("cannot connect"));
    running.wait_for(refused);
    running.wait_for(|event| matches!(event, EdgeEvent::InstanceFailed { instance: InstanceId(1), why } if why.contains("no requests for a while")));
    // Five connections were tried, and then none any more.
    assert_eq!(running.count_now(refused), 4);
}

#[test]
fn a_request_that_must_not_be_repeated_is_not() {
    let well = Server::numbered(2, "200 OK");
    let mut spec = http(&[&well]);
    spec.instances.insert(0, nobody(1));
    let running = Running::start(table(spec));
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(running.ask(post).status, 502);
    assert_eq!(well.seen(), 0);
}

#[test]
fn nobody_is_asked_a_third_time() {
    let mut spec = upstream(Protocol::Http, vec![nobody(1), nobody(2), nobody(3)]);
    spec.queue_timeout = Duration::from_secs(5);
    let mut running = Running::start(table(spec));
    assert_eq!(running.get("/").status, 502);
    let refused = running.count_now(|event| matches!(event, EdgeEvent::InstanceFailed { .. }));
    assert_eq!(refused, 2);
}

#[test]
fn an_instance_that_answers_5xx_while_others_do_not_is_left_out() {
    let (bad, well) = (Server::numbered(1, "500 No"), Server::numbered(2, "200 OK"));
    let mut running = Running::start(table(http(&[&bad, &well])));
    let mut failed = 0;
    // Both get requests only when there are several at a time.
    for _ in 0..60 {
        let mut pair = [running.visit(), running.visit()];
        for visitor in &mut pair {
            visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        }
        for visitor in &mut pair {
            failed += usize::from(visitor.answer(false).status == 500);
        }
    }
    running.wait_for(|event| matches!(event, EdgeEvent::InstanceFailed { instance: InstanceId(1), why } if why.contains("requests failed")));
    assert_eq!(failed, bad.seen());
    assert!(bad.seen() < 25, "{} requests", bad.seen());
}

#[test]
fn instances_are_never_all_left_out() {
    let servers = [Server::numbered(1, "500 No"), Server::numbered(2, "503 No")];
    let mut running = Running::start(table(http(&servers.each_ref())));
    for _ in 0..100 {
        // The app's own answer, and not one of the edge.
        assert!(["1", "2"].contains(&running.get("/").text()));
    }
    // One is left out for as long as nobody knows that the other is no better; neither is replaced.
    assert!(running.count_now(|event| matches!(event, EdgeEvent::InstanceFailed { .. })) <= 1);
    assert_eq!(
        running.count_now(|event| matches!(event, EdgeEvent::InstanceUnhealthy { .. })),
        0
    );
}

#[test]
fn a_new_instance_beside_others_gets_few_requests_at_first() {
    let slow = |id| {
        Server::start(id, move |_, stream| {
            std::thread::sleep(Duration::from_millis(150));
            let _ = stream.write_all(&answer("200 OK", &id.to_string()));
        })
    };
    let (old, new) = (slow(1), slow(2));
    let mut running = Running::start(table(http(&[&old])));
    assert_eq!(running.get("/").status, 200);
    running.publish(table(http(&[&old, &new])));
    let mut visitors: Vec<_> = (0..8).map(|_| running.visit()).collect();
    for visitor in &mut visitors {
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for visitor in &mut visitors {
        assert_eq!(visitor.answer(false).status, 200);
    }
    // Half of them would be its share later.
    assert!(new.seen() <= 2, "{} requests", new.seen());
}

fn checked(mut spec: Upstream) -> Upstream {
    spec.check = Some(Check {
        path: "/health".into(),
        host: "localhost".into(),
        status: (200, 299),
        every: Duration::from_millis(100),
    });
    spec
}

#[test]
fn an_instance_that_fails_its_checks_gets_no_requests_and_comes_back_when_it_is_well() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let bad = Server::start(1, move |path, stream| {
        let status = match path {
            "/health" if is_broken.load(Ordering::SeqCst) => "500 No",
            _ => "200 OK",
        };
        let _ = stream.write_all(&answer(status, "1"));
    });
    let well = Server::numbered(2, "200 OK");
    let mut running = Running::start(table(checked(http(&[&bad, &well]))));
    let event = running.wait_for(|event| matches!(event, EdgeEvent::InstanceUnhealthy { .. }));
    let EdgeEvent::InstanceUnhealthy { instance, why } = event else {
        panic!("{event:?}");
    };
    assert_eq!(instance, InstanceId(1));
    assert_eq!(
        why,
        "3 checks in a row failed: `GET /health` was answered 500"
    );
    for _ in 0..10 {
        assert_eq!(running.get("/").text(), "2");
    }
    broken.store(false, Ordering::SeqCst);
    let end = Instant::now() + PATIENCE;
    while running.get("/").text() != "1" {
        assert!(Instant::now() < end, "it does not come back");
    }
}

#[test]
fn a_worker_is_checked_over_its_own_threads_while_it_serves() {
    let app = r#"
checks = 0
def app(environ, start_response):
    global checks
    if environ["PATH_INFO"] == "/health":
        checks += 1
        start_response("200 OK" if checks < 3 else "500 No", [])
        return [b""]
    start_response("200 OK", [])
    return [str(checks).encode()]
"#;
    let worker = Worker::start(app, 2);
    let spec = checked(upstream(Protocol::Frames, vec![worker.instance.clone()]));
    let mut running = Running::start(table(spec));
    // Each thread has a connection open; a check needs none of its own.
    let mut visitors = [running.visit(), running.visit()];
    let end = Instant::now() + PATIENCE;
    let unhealthy = |event: &EdgeEvent| matches!(event, EdgeEvent::InstanceUnhealthy { .. });
    while running.count_now(unhealthy) == 0 {
        assert!(Instant::now() < end, "no check failed");
        for visitor in &mut visitors {
            visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for visitor in &mut visitors {
            assert_eq!(visitor.answer(false).status, 200);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // The only instance serves on, until the agent has another one.
    assert_eq!(running.get("/").status, 200);
}

#[test]
fn a_sticky_visitor_comes_back_to_the_same_instance_for_as_long_as_it_is_there() {
    let servers = [1, 2, 3, 4].map(|id| Server::numbered(id, "200 OK"));
    let sticky = |servers: &[&Server]| {
        let mut spec = http(servers);
        spec.sticky = true;
        table(spec)
    };
    let mut running = Running::start(sticky(&servers.each_ref()));
    let cookies: Vec<(String, String)> = (0..40)
        .map(|_| {
            let first = running.get("/");
            let cookie = first.header("set-cookie").unwrap().to_owned();
            let (value, rest) = cookie.split_once(';').unwrap();
            assert_eq!(rest, " Path=/; HttpOnly; SameSite=Lax");
            (value.to_owned(), first.text().to_owned())
        })
        .collect();
    let again = |running: &Running, cookie: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; {cookie}; c\r\n\r\n");
        let answer = running.ask(&request);
        assert_eq!(answer.header("set-cookie"), None, "it has one");
        answer.text().to_owned()
    };
    for (cookie, instance) in &cookies {
        assert_eq!(again(&running, cookie), *instance);
    }
    for server in &servers {
        assert!(server.seen() > 0, "visitors are spread over all instances");
    }
    // Only those whose instance has gone are sent elsewhere, and from then on always to the same.
    running.publish(sticky(&[&servers[0], &servers[1], &servers[2]]));
    for (cookie, instance) in &cookies {
        let now = again(&running, cookie);
        assert_eq!(now, again(&running, cookie));
        assert!(
            now == *instance || instance == "4",
            "{instance} became {now}"
        );
    }
    // What a visitor makes up is a new visitor.
    let forged = "GET / HTTP/1.1\r\nHost: a\r\nCookie: stead-sticky=2\r\n\r\n";
    assert!(running.ask(forged).header("set-cookie").is_some());
}

/// Begins to answer after 300 ms, then pauses as long before the last byte.
fn leisurely(id: u64) -> Server {
    Server::start(id, |path, stream| {
        let pause = Duration::from_millis(300);
        if path.starts_with("/late") {
            std::thread::sleep(pause);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        for byte in b"world" {
            std::thread::sleep(if path.starts_with("/pause") {
                pause
            } else {
                pause / 10
            });
            let _ = stream.write_all(&[*byte]);
        }
    })
}

#[test]
fn a_route_can_allow_more_time_than_its_process() {
    let server = leisurely(1);
    let mut spec = http(&[&server]);
    spec.timeout = Duration::from_millis(100);
    let mut routes = table(spec);
    let long = Route {
        path: "/late/report".into(),
        timeouts: stead_model::routing::RouteTimeouts {
            first: Some(Duration::from_secs(20)),
            ..Default::default()
        },
        ..routes.routes[0].clone()
    };
    routes.routes.push(long);
    let mut running = Running::start(routes);
    assert_eq!(running.get("/late/report").text(), "helloworld");
    assert_eq!(running.get("/late").status, 504);
    running.wait_for(|event| matches!(event, EdgeEvent::RequestTimedOut { .. }));
}

#[test]
fn a_pause_and_a_whole_answer_have_their_own_times() {
    let server = leisurely(1);
    let mut spec = http(&[&server]);
    spec.timeout = Duration::from_secs(20);
    spec.timeouts.idle = Some(Duration::from_millis(150));
    let mut running = Running::start(table(spec.clone()));
    assert_eq!(
        running.get("/late").text(),
        "helloworld",
        "each pause is short enough"
    );
    assert!(running.get("/pause").cut, "this one is not");
    spec.timeouts.idle = None;
    spec.timeouts.total = Some(Duration::from_millis(700));
    running.publish(table(spec.clone()));
    assert_eq!(running.get("/late").text(), "helloworld");
    assert!(running.get("/pause").cut);
    spec.timeouts.total = Some(Duration::from_millis(100));
    running.publish(table(spec));
    assert_eq!(running.get("/late").status, 504, "it had not begun");
    // The instance is well: nobody is to replace it.
    let lost = |event: &EdgeEvent| matches!(event, EdgeEvent::RequestTimedOut { .. });
    assert_eq!(running.count_now(lost), 0);
}

#[test]
fn a_request_that_a_server_has_begun_is_not_given_to_it_again() {
    // The second request on a connection gets an interim answer, and then nothing.
    let server = Server::start(1, |path, stream| {
        if path == "/begun" {
            let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            std::thread::sleep(Duration::from_millis(50));
            let _ = stream.shutdown(std::net::Shutdown::Both);
        } else {
            let _ = stream.write_all(&answer("200 OK", "1"));
        }
    });
    let running = Running::start(table(http(&[&server])));
    assert_eq!(running.get("/").status, 200, "a connection is kept");
    assert_eq!(running.get("/begun").status, 502);
    assert_eq!(server.seen(), 2);
}
