//! `stead edge` replaces itself. `cargo xtask soak` runs the two tests that count at length.

mod host;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use stead_model::certificates::{CertificateFiles, CertificateTable};
use stead_model::messages::{EdgeEvent, HttpChallenges};
use stead_model::release::Protocol;
use stead_model::routing::Rules;

use self::host::{Agent, Crowd, Host, SecureVisitor, Server, Visitor, table, table_of};

/// How often something is done under load: as `cargo xtask soak` says, else as in CI.
pub(crate) fn count(usual: usize) -> usize {
    let asked = std::env::var("STEAD_SOAK_COUNT").ok();
    asked.map_or(usual, |count| count.parse().unwrap())
}

#[test]
fn no_request_is_lost_in_self_upgrades() {
    let host = Host::start(&[]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    let crowd = Crowd::gather(host.address);
    let began = Instant::now();
    let count = count(5);
    let mut serving = host.pid();
    for _ in 0..count {
        crowd.wait_for(20);
        let upgraded = host.upgrade();
        assert_eq!(upgraded["previous"], serving);
        serving = upgraded["pid"].as_u64().unwrap() as u32;
    }
    crowd.wait_for(20);
    // The agent never noticed.
    agent.publish(table(2, &[&server]));
    let (answered, lost) = crowd.leave();
    println!(
        "{count} upgrades in {:.1?}: {answered} requests answered, {} lost",
        began.elapsed(),
        lost.len()
    );
    assert_eq!(lost, Vec::<String>::new());
}

#[test]
fn no_request_is_lost_in_table_updates_even_across_upgrades() {
    let host = Host::start(&[]);
    let mut agent = Agent::connect(&host);
    let mut server = Server::start(host.dir.path(), 1);
    agent.publish(table(1, &[&server]));
    let crowd = Crowd::gather(host.address);
    let began = Instant::now();
    let count = count(30);
    for number in 2..count as u64 + 2 {
        let next = Server::start(host.dir.path(), number);
        agent.publish(table(number, &[&next]));
        if number % 10 == 0 {
            host.upgrade();
        }
        // Killed at once: a request that it had yet would be lost.
        agent.wait_for_drained(&server);
        server = next;
    }
    crowd.wait_for(20);
    let (answered, lost) = crowd.leave();
    println!(
        "{count} tables in {:.1?}: {answered} requests answered, {} lost",
        began.elapsed(),
        lost.len()
    );
    assert_eq!(lost, Vec::<String>::new());
}

#[test]
fn websockets_and_streams_live_on_and_idle_connections_get_one_more_answer() {
    let mut host = Host::start(&[]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    let mut idle = host.visit();
    assert_eq!(idle.get("/"), Ok(("1".into(), true)));
    let mut silent = host.visit();
    let mut socket = host.visit();
    socket.send(
        "GET /socket HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(socket.head().starts_with("http/1.1 101"));
    let mut stream = host.visit();
    stream.send("GET /stream HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert!(stream.head().starts_with("http/1.1 200"));

    host.upgrade();
    assert_eq!(idle.get("/"), Ok(("1".into(), false)));
    assert_eq!(silent.get("/"), Ok(("1".into(), false)));
    socket.send("still there");
    assert_eq!(socket.exactly(11), "still there");
    assert_eq!(host.visit().get("/"), Ok(("1".into(), true)));

    // The instance leaves the table; it is drained when both edges have let it go.
    let next = Server::start(host.dir.path(), 2);
    agent.publish(table(2, &[&next]));
    assert_eq!(host.visit().get("/"), Ok(("2".into(), true)));
    assert_eq!(host.status()["leaving"], serde_json::json!([1]));
    assert_eq!(host.status()["draining"][0]["pid"], host.pid());
    let drained = EdgeEvent::Drained {
        instance: server.instance.id,
    };
    assert!(!agent.has_seen(&drained));
    let mut direct =
        std::os::unix::net::UnixStream::connect(host.dir.path().join("1.sock")).unwrap();
    direct.write_all(b"GET /end HTTP/1.0\r\n\r\n").unwrap();
    let mut rest = String::new();
    while !rest.ends_with("3\r\nend\r\n0\r\n\r\n") {
        rest += &stream.exactly(1);
    }
    drop((stream, socket));
    agent.wait_for(&drained);
    assert_eq!(host.wait_for_first(), Some(0));
}

#[test]
fn websockets_over_tls_live_on_and_the_new_edge_shows_the_same_certificate() {
    let host = Host::start(&["--listen-tls", "127.0.0.1:0"]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    let made = rcgen::generate_simple_self_signed(["shop".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = host.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = CertificateFiles {
        chain: file("chain.pem", made.cert.pem()),
        key: file("key.pem", made.signing_key.serialize_pem()),
    };
    let chain = files.chain.clone();
    agent.certify(CertificateTable {
        files: vec![files],
        ..CertificateTable::default()
    });
    let mut socket = SecureVisitor::connect(&host, &chain);
    socket.send(
        "GET /socket HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(socket.head().starts_with("http/1.1 101"));

    host.upgrade();
    socket.send("still there");
    assert_eq!(socket.exactly(11), "still there");
    let mut other = SecureVisitor::connect(&host, &chain);
    other.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert!(other.head().starts_with("http/1.1 200"));
    assert_eq!(other.exactly(1), "1");
    host.upgrade();
    socket.send("even now");
    assert_eq!(socket.exactly(8), "even now");
}

#[test]
fn what_an_authority_is_answered_is_left_to_the_new_edge() {
    let host = Host::start(&[]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    let answers = [("token".to_owned(), "token.thumbprint".to_owned())].into();
    agent.answer(HttpChallenges {
        generation: 1,
        answers,
    });
    for _ in 0..2 {
        let mut authority = host.visit();
        let path = "/.well-known/acme-challenge/token";
        assert_eq!(authority.get(path).unwrap().0, "token.thumbprint");
        host.upgrade();
    }
}

#[test]
fn what_outlives_the_drain_time_is_cut() {
    let mut host = Host::start(&["--drain", "1s"]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    let mut socket = host.visit();
    socket
        .send("GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(socket.head().starts_with("http/1.1 101"));
    host.upgrade();
    assert_eq!(host.wait_for_first(), Some(0));
    assert_eq!(socket.read_to_end(), "");
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing() {
    let host = Host::start(&[]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    let crowd = Crowd::gather(host.address);
    let cases = [
        (
            "exits at once",
            0o755,
            "#!/bin/sh\nexit 3\n",
            "with exit status 3 before it was ready",
        ),
        (
            "hangs",
            0o755,
            "#!/bin/sh\nexec sleep 600\n",
            "was not ready after",
        ),
        ("not executable", 0o644, "#!/bin/sh\n", "cannot start"),
        (
            "another program",
            0o755,
            "#!/bin/sh\necho hello >&0\nexec sleep 600\n",
            "does not know how to take over",
        ),
        (
            "another version",
            0o755,
            "#!/bin/sh\necho '{\"ready\":{\"protocol\":99,\"version\":\"9.9\",\"pid\":'$$'}}' >&0\nexec sleep 600\n",
            "stead 9.9, which takes over in version 99, not 1",
        ),
        (
            "refuses the table",
            0o755,
            "#!/bin/sh\necho '{\"refused\":{\"why\":\"no such table\"}}' >&0\nexec sleep 600\n",
            "no such table",
        ),
        (
            "ends when it is to serve",
            0o755,
            "#!/bin/sh\necho '{\"ready\":{\"protocol\":1,\"version\":\"9.9\",\"pid\":'$$'}}' >&0\nhead -n 2 > /dev/null\nexit 1\n",
            "ended before it served",
        ),
    ];
    for (name, mode, script, why) in cases {
        let path = host.dir.path().join("candidate");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let binary = path.to_str().unwrap();
        let output = host.ask(&["upgrade", "--binary", binary, "--within", "2s"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(why), "{name}: {said}");
        assert!(
            said.contains("the edge that ran serves on"),
            "{name}: {said}"
        );
        assert_eq!(host.status()["pid"], host.pid(), "{name}");
        crowd.wait_for(10);
    }
    // The agent is still heard, and so is a good program.
    agent.publish(table(2, &[&server]));
    host.upgrade();
    agent.publish(table(3, &[&server]));
    let (_, lost) = crowd.leave();
    assert_eq!(lost, Vec::<String>::new());
}

#[test]
fn an_edge_that_is_started_again_serves_without_its_agent() {
    let mut host = Host::start(&[]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(7, &[&server]));
    drop(agent);
    let mode = std::fs::metadata(host.control())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    host.restart();
    assert_eq!(host.visit().get("/"), Ok(("1".into(), true)));
    let agent = Agent::connect(&host);
    assert_eq!(agent.welcome.generation, Some(7));
    assert_eq!(agent.welcome.leaving, []);
}

#[test]
fn an_edge_without_a_table_says_what_visitors_get() {
    let host = Host::start(&[]);
    let said = host.ask(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("visitors get 421"), "{said}");
    let mut visitor = host.visit();
    visitor.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert!(visitor.head().starts_with("http/1.1 421"));
}

#[test]
fn a_file_of_users_that_is_broken_is_in_the_log_and_in_the_status() {
    let mut host = Host::start(&[]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    let mut closed = table(1, &[&server]);
    closed.routes[0].rules = Some(Box::new(Rules {
        users_file: Some(host.dir.path().join("htpasswd")),
        ..Rules::default()
    }));
    agent.publish(closed);
    drop(agent);
    let problem = "htpasswd` cannot be read: it is not there; nobody of it comes in";
    let check = |host: &Host| {
        let said = String::from_utf8(host.ask(&["status"]).stdout).unwrap();
        assert!(
            said.contains("  problem:     the file of users `"),
            "{said}"
        );
        assert!(said.contains(problem), "{said}");
        let found = host.status()["problems"][0].as_str().unwrap().to_owned();
        assert!(found.ends_with(problem), "{found}");
    };
    check(&host);
    let told = |host: &Host| {
        let log = std::fs::read_to_string(host.dir.path().join("edge.log")).unwrap();
        log.matches(problem).count()
    };
    assert_eq!(told(&host), 1);
    // One that begins anew with its kept table says it as well.
    host.restart();
    check(&host);
    assert_eq!(told(&host), 2);
}

#[test]
fn metrics_are_those_of_the_edge_that_serves() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("metrics.sock");
    let mut host = Host::start(&["--metrics", socket.to_str().unwrap()]);
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    let accepted = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("stead_connections_accepted_total "));
        line.map(str::to_owned).unwrap()
    };
    assert_eq!(host.visit().get("/"), Ok(("1".into(), true)));
    assert_eq!(accepted(), "1");
    // One that does not come so far leaves the name to the edge that runs.
    let output = host.ask(&["upgrade", "--binary", "/bin/false"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(accepted(), "1");
    host.upgrade();
    assert_eq!(host.wait_for_first(), Some(0));
    assert_eq!(accepted(), "0");
    assert_eq!(host.visit().get("/"), Ok(("1".into(), true)));
    assert_eq!(accepted(), "1");
}

#[test]
fn a_second_edge_at_the_same_control_socket_is_refused() {
    let host = Host::start(&[]);
    let output = host.ask(&["--listen", "127.0.0.1:0", "--state", "/nonexistent/never"]);
    assert_eq!(output.status.code(), Some(1));
    let state = host.dir.path().join("other");
    let output = host.ask(&[
        "--listen",
        "127.0.0.1:0",
        "--state",
        state.to_str().unwrap(),
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another edge is running there"), "{said}");
    assert!(Visitor::connect(host.address).is_ok());
}

#[test]
fn two_edges_share_the_threads_of_workers() {
    let host = Host::start(&[]);
    let servers = [1, 2].map(|id| Server::worker(host.dir.path(), id));
    let mut agent = Agent::connect(&host);
    let both = [&servers[0], &servers[1]];
    agent.publish(table_of(1, Protocol::Frames, &both));
    let mut idle = [host.visit(), host.visit()];
    for visitor in &mut idle {
        assert!(visitor.get("/").is_ok_and(|(_, more)| more));
    }
    let mut held = host.visit();
    held.send("GET /hold HTTP/1.1\r\nHost: shop\r\n\r\n");
    // It has a thread when the other one answers.
    let mut free = host.visit();
    while held_by(&host) != 1 {}
    let (free_instance, _) = free.get("/").unwrap();

    host.upgrade();
    // The new edge leaves the thread alone that the old one uses, and keeps none that the old one may need.
    for visitor in &mut idle {
        // Who comes at this very moment may still be accepted by the old one, and is told to come again.
        let served_by_new = (0..100).any(|_| {
            let (instance, more) = host.visit().get("/").unwrap();
            assert_eq!(instance, free_instance);
            more
        });
        assert!(served_by_new);
        // The same goes for the old one itself: it drains a moment after the new one accepts.
        let told_to_come_again = (0..100).any(|_| {
            let (instance, more) = visitor.get("/").unwrap();
            assert_eq!(instance, free_instance);
            !more
        });
        assert!(told_to_come_again);
    }
    std::fs::write(host.dir.path().join("let-go"), "").unwrap();
    assert!(held.head().starts_with("http/1.1 200"));
    assert_ne!(held.exactly(1), free_instance);
    assert!(host.visit().get("/").is_ok());
}

#[test]
fn a_service_manager_passes_the_socket_and_learns_the_new_process() {
    let (mut host, told) = Host::under_a_service_manager();
    let next = || {
        let mut bytes = [0; 1000];
        let length = told.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    assert_eq!(next(), "READY=1");
    let server = Server::start(host.dir.path(), 1);
    let mut agent = Agent::connect(&host);
    agent.publish(table(1, &[&server]));
    assert_eq!(host.visit().get("/"), Ok(("1".into(), true)));
    let upgraded = host.upgrade();
    assert_eq!(next(), format!("MAINPID={}", upgraded["pid"]));
    assert_eq!(next(), "READY=1");
    assert_eq!(host.wait_for_first(), Some(0));
    assert_eq!(host.visit().get("/"), Ok(("1".into(), true)));
    let pid = upgraded["pid"].as_i64().unwrap() as i32;
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(next(), "STOPPING=1");
}

/// How many requests the edge has at instances, as far as its status says.
fn held_by(host: &Host) -> usize {
    host.status()["requests"].as_u64().unwrap() as usize
}
