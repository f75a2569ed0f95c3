use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stead_agent::Report;
use stead_model::routing::RoutingTable;

use crate::house::{App, House, ids, spec, until};

type Answers = Vec<Result<(u16, String), String>>;

/// Visitors that come one after the other until told to stop; their answers.
fn visitors(house: &House) -> (Arc<AtomicBool>, tokio::task::JoinHandle<Answers>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (edge, stopped) = (house.edge.clone(), Arc::clone(&stop));
    let all = tokio::spawn(async move {
        let mut answers = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            answers.push(edge.visit("/slow?0.02").await);
        }
        answers
    });
    (stop, all)
}

fn releases(table: &RoutingTable) -> BTreeSet<u64> {
    table.upstreams.values().map(|u| u.release).collect()
}

#[tokio::test]
async fn old_release_serves_until_new_one_is_healthy() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 2));
    house.until_serving(1).await;
    let (stop, all) = visitors(&house);
    let mut second = app.web(2, 2);
    second.env.insert("IMPORT_TIME".into(), "0.7".into());
    house.switch(second);
    house.until_serving(2).await;
    stop.store(true, Ordering::Relaxed);
    for answer in all.await.unwrap() {
        let (status, body) = answer.expect("no visitor notices");
        assert_eq!(status, 200);
        assert!(body.starts_with("release "), "{body}");
    }
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 2");
    let history = house.edge.history();
    let all_ids: BTreeSet<_> = history.iter().flat_map(ids).collect();
    assert_eq!(all_ids.len(), 4, "two of each, and no id twice");
    let switch = history.iter().find(|t| releases(t).contains(&2)).unwrap();
    assert_eq!(
        ids(switch).count(),
        2,
        "all new ones were healthy before the switch"
    );
    assert!(
        history.iter().all(|t| releases(t).len() <= 1),
        "{history:?}"
    );
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_in_flight_ends_on_the_old_release() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    let edge = house.edge.clone();
    let slow = tokio::spawn(async move { edge.visit("/slow?3").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.switch(app.web(2, 1));
    house.until_serving(2).await;
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 2");
    assert_eq!(slow.await.unwrap(), Ok((200, "release 1".into())));
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_release_that_ends_at_start_changes_nothing() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    let mut second = app.web(2, 1);
    let script = "import sys; print('no module named shop', file=sys.stderr); sys.exit(3)";
    second.processes.get_mut("web").unwrap().start =
        stead_model::release::Start::Command(["python3", "-c", script].map(String::from).into());
    house.switch(second);
    let failed = house.until_failed(2).await;
    assert!(failed.starts_with("cause: cannot start release 2 of `shop`\ncause: `web.1` ended with exit status 3 after "), "{failed}");
    assert!(
        failed.contains("state: release 1 still serves; release 2 received no visitors\n"),
        "{failed}"
    );
    assert!(failed.contains("log: no module named shop\n"), "{failed}");
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 1");
    // And the next good one serves.
    house.switch(app.web(3, 1));
    house.until_serving(3).await;
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 3");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_release_that_hangs_changes_nothing() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    let mut second = app.web(2, 1);
    let web = second.processes.get_mut("web").unwrap();
    web.start = stead_model::release::Start::Command(
        ["sh", "-c", "trap '' TERM; echo waiting; sleep 1000"]
            .map(String::from)
            .into(),
    );
    web.health.within = Duration::from_secs(1);
    web.drain = Duration::from_secs(1);
    house.switch(second);
    let failed = house.until_failed(2).await;
    assert!(
        failed.contains("cause: `web.1` did not become healthy within 1 s\n"),
        "{failed}"
    );
    assert!(failed.contains("hint: health = { within"), "{failed}");
    assert!(failed.contains("log: waiting\n"), "{failed}");
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 1");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_release_that_answers_500_changes_nothing() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    let mut second = app.web(2, 1);
    second.env.insert("STATUS".into(), "500".into());
    second.processes.get_mut("web").unwrap().health.within = Duration::from_secs(3);
    house.switch(second);
    let failed = house.until_failed(2).await;
    assert!(
        failed.contains("cause: `GET /` was answered 500, and 100 to 499 counts as healthy\n"),
        "{failed}"
    );
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 1");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_table_that_the_edge_refuses_changes_nothing() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    house.edge.refuse_tables(true);
    house.switch(app.web(2, 1));
    let failed = house.until_failed(2).await;
    assert!(failed.contains("cause: the test says so\n"), "{failed}");
    house.edge.refuse_tables(false);
    house.switch(app.web(3, 1));
    house.until_serving(3).await;
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 3");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn of_two_switches_the_last_wins() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    let mut second = app.web(2, 2);
    second.env.insert("IMPORT_TIME".into(), "1000".into());
    house.switch(second);
    house.switch(app.web(3, 1));
    house.until_serving(3).await;
    house
        .until_noted("release 2 is given up for release 3 before it served")
        .await;
    let history = house.edge.history();
    assert!(!history.iter().any(|t| releases(t).contains(&2)));
    house.stop().await.unwrap();
}

#[tokio::test]
async fn the_release_command_runs_once_before_the_first_instance() {
    let app = App::new();
    let house = House::new();
    let mut first = app.web(1, 2);
    first.release_command =
        Some("echo migrating && echo run >> migrations && ls $STEAD_SOCKET".into());
    house.switch(first);
    house.until_serving(1).await;
    assert_eq!(app.read("migrations"), "run\n");
    let lines: Vec<_> = house
        .reports()
        .into_iter()
        .filter_map(|r| match r {
            Report::Line { source, text, .. } => Some(format!("{source}: {text}")),
            _ => None,
        })
        .collect();
    let at = |line: &str| {
        lines
            .iter()
            .position(|l| l == line)
            .unwrap_or_else(|| panic!("{lines:?}"))
    };
    assert!(at("release: migrating") < at("web.1: web is ready"));
    let mut second = app.web(2, 1);
    second.release_command = Some("echo broken; exit 4".into());
    house.switch(second);
    let failed = house.until_failed(2).await;
    assert!(failed.contains("cause: the release command failed\ncause: `echo broken; exit 4` ended with exit status 4\n"), "{failed}");
    assert!(failed.contains("log: broken\n"), "{failed}");
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 1");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_is_never_doubled_and_processes_come_and_go() {
    const WORKER: &str = "echo start $NUMBER >> work; trap 'echo end $NUMBER >> work; exit 0' TERM; \
                          while :; do sleep 0.05; done";
    let app = App::new();
    let house = House::new();
    let with_worker = |number| {
        let mut release = app.web(number, 1);
        release
            .processes
            .insert("worker".into(), spec(&["sh", "-c", WORKER], None, 1));
        release
    };
    house.switch(with_worker(1));
    house.until_serving(1).await;
    house.switch(with_worker(2));
    house.until_serving(2).await;
    assert_eq!(app.read("work"), "start 1\nend 1\nstart 2\n");
    house.switch(app.web(3, 1));
    house.until_serving(3).await;
    until("the worker has ended", || {
        app.read("work").ends_with("end 2\n")
    })
    .await;
    house.switch(with_worker(4));
    house.until_serving(4).await;
    assert!(app.read("work").ends_with("end 2\nstart 4\n"));
    house.stop().await.unwrap();
    assert!(app.read("work").ends_with("start 4\nend 4\n"));
}

#[tokio::test]
async fn an_app_that_insists_on_a_port_is_replaced_while_visitors_wait() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let app = App::new();
    let house = House::new();
    let insisting = |number| {
        let mut release = app.release(number);
        let listen = Some(stead_model::release::Listen::Port(
            stead_model::release::Protocol::Http,
        ));
        release
            .processes
            .insert("web".into(), spec(&["python3", "web.py"], listen, 3));
        release.env.insert("FIXED_PORT".into(), port.clone());
        release
    };
    house.switch(insisting(1));
    let counts = house.until_serving(1).await;
    assert!(
        counts[0].starts_with("web: 1 instance (it insists on port"),
        "{counts:?}"
    );
    house
        .until_noted(&format!(
            "it listens on port {port}, not on the one in `PORT`"
        ))
        .await;
    let (stop, all) = visitors(&house);
    house.switch(insisting(2));
    house.until_serving(2).await;
    stop.store(true, Ordering::Relaxed);
    for answer in all.await.unwrap() {
        assert_eq!(answer.expect("visitors wait, none is lost").0, 200);
    }
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 2");
    // One that does not start: the old one is started again.
    let mut broken = insisting(3);
    broken.processes.get_mut("web").unwrap().start =
        stead_model::release::Start::Command(["sh", "-c", "exit 1"].map(String::from).into());
    house.switch(broken);
    house.until_failed(3).await;
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 2");
    house.stop().await.unwrap();
}
