use std::time::Duration;

use stead_agent::{Control, Report};
use stead_model::messages::EdgeEvent;
use stead_model::release::Start;

use crate::house::{App, House, ids, processes_with, spec, until};

fn command(argv: &[&str]) -> Start {
    Start::Command(argv.iter().map(|a| (*a).to_owned()).collect())
}

#[tokio::test]
async fn a_first_release_that_cannot_start_ends_the_run() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    release.processes.get_mut("web").unwrap().start = command(&["no-such-program-here"]);
    house.switch(release);
    let failed = house.until_failed(1).await;
    assert!(failed.contains("cause: cannot start `web.1`\ncause: there is no program `no-such-program-here` in PATH\n"), "{failed}");
    assert!(failed.contains("state: nothing serves\n"), "{failed}");
    assert!(house.ended().await.is_err());
}

#[tokio::test]
async fn a_first_release_that_ends_at_once_ends_the_run_with_its_last_lines() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 3);
    let script = "for i in $(seq 30); do echo line $i; done; printf 'no line end'; exit 1";
    release.processes.get_mut("web").unwrap().start = command(&["sh", "-c", script]);
    house.switch(release);
    let failed = house.until_failed(1).await;
    assert!(!failed.contains("log: line 11\n"), "{failed}");
    assert!(failed.contains("log: line 12\n"), "{failed}");
    assert!(
        failed.ends_with("log: line 30\nlog: no line end\n"),
        "{failed}"
    );
    assert!(house.ended().await.is_err());
}

#[tokio::test]
async fn a_crashed_instance_leaves_the_table_and_comes_back() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 2));
    house.until_serving(1).await;
    let before: Vec<_> = ids(&house.edge.table()).collect();
    let _ = house.edge.visit("/exit?7").await;
    house.until_noted("it ended with exit status 7").await;
    until("a new instance is in the table", || {
        let now: Vec<_> = ids(&house.edge.table()).collect();
        now.len() == 2 && now != before
    })
    .await;
    let history = house.edge.history();
    let after = history
        .iter()
        .skip_while(|t| ids(t).count() < 2)
        .find(|t| ids(t).count() == 1);
    assert!(after.is_some(), "it left the table first");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_connection_made_while_an_instance_restarts_waits() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    release.env.insert("IMPORT_TIME".into(), "0.5".into());
    house.switch(release);
    house.until_serving(1).await;
    let table = house.edge.table();
    let address = table.upstreams["shop.web"].instances[0].address.clone();
    let stead_model::routing::Address::Unix(path) = address else {
        panic!()
    };
    let _ = house.edge.visit("/exit?1").await;
    until("it left the table", || {
        ids(&house.edge.table()).count() == 0
    })
    .await;
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(path).expect("somebody listens");
        stream
            .set_read_timeout(Some(crate::house::PATIENCE))
            .unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    assert!(
        answer.contains("200 OK") && answer.ends_with("release 1"),
        "{answer}"
    );
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_crash_loop_is_reported_and_others_are_unharmed() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    let worker = spec(
        &["sh", "-c", "echo cannot reach the queue; exit 1"],
        None,
        1,
    );
    release.processes.insert("worker".into(), worker);
    house.switch(release);
    let (text, state, log) = house
        .until("a crash loop", |r| match r {
            Report::CrashLoop {
                source,
                text,
                state,
                log,
            } if source == "worker.1" => Some((text.clone(), state.clone(), log.clone())),
            _ => None,
        })
        .await;
    assert_eq!(text, "`worker` ended 5 times within a minute");
    assert_eq!(state, "the web processes are not affected");
    assert_eq!(log, ["cannot reach the queue"]);
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 1");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_ignores_sigterm_is_killed_with_all_that_is_its() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    // One child ignores SIGTERM, another took a session of its own and forked twice.
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 1; done' {0} & \
         setsid sh -c '(while :; do sleep 1; done) & ' {0} & echo up; while :; do sleep 1; done",
        app.dir.path().display()
    );
    let mut worker = spec(&["sh", "-c", &script], None, 1);
    worker.drain = Duration::from_secs(1);
    release.processes.insert("worker".into(), worker);
    house.switch(release);
    house.until_serving(1).await;
    house.until_line("up").await;
    let mark = app.dir.path().to_str().unwrap().to_owned();
    until("they run", || processes_with(&mark).len() >= 4).await;
    house.switch(app.web(2, 1));
    house
        .until_noted("it did not end after SIGTERM and is killed")
        .await;
    until("they are gone", || {
        processes_with("STEAD_PROCESS=worker.1")
            .iter()
            .all(|p| !of(*p, &mark))
    })
    .await;
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 2");
    house.stop().await.unwrap();
    assert!(processes_with(&mark).is_empty());
}

fn of(pid: i32, mark: &str) -> bool {
    processes_with(mark).contains(&pid)
}

#[tokio::test]
async fn a_second_stop_does_not_wait() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    let worker = spec(
        &[
            "sh",
            "-c",
            "trap '' TERM; echo up; while :; do sleep 1; done",
        ],
        None,
        1,
    );
    release.processes.insert("worker".into(), worker);
    house.switch(release);
    house.until_serving(1).await;
    house.until_line("up").await;
    // Its drain is 30 s, and it ignores SIGTERM.
    house.control.send(Control::Stop).unwrap();
    house.until_line("web ends").await;
    let before = std::time::Instant::now();
    house.stop().await.unwrap();
    assert!(
        before.elapsed() < Duration::from_secs(25),
        "it did not wait for the worker"
    );
}

#[tokio::test]
async fn an_instance_with_a_lost_thread_is_replaced() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    let old = ids(&house.edge.table()).next().unwrap();
    let request = "GET /report".to_owned();
    house.edge.say(EdgeEvent::RequestTimedOut {
        instance: old,
        request,
        after: Duration::from_secs(30),
    });
    house
        .until_noted("`GET /report` took longer than 30 s")
        .await;
    until("another instance serves alone", || {
        let now: Vec<_> = ids(&house.edge.table()).collect();
        now.len() == 1 && now[0] != old
    })
    .await;
    assert!(
        house
            .edge
            .history()
            .iter()
            .skip(1)
            .all(|t| ids(t).count() > 0),
        "somebody always served"
    );
    house.stop().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_fails_its_checks_is_replaced() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    let health = &mut release.processes.get_mut("web").unwrap().health;
    health.every = Some(Duration::from_secs(7));
    house.switch(release);
    house.until_serving(1).await;
    let table = house.edge.table();
    let check = table.upstreams.values().next().unwrap().check.clone();
    assert_eq!(check.map(|check| check.every), Some(Duration::from_secs(7)));
    let old = ids(&table).next().unwrap();
    house.edge.say(EdgeEvent::InstanceUnhealthy {
        instance: old,
        why: "3 checks in a row failed".to_owned(),
    });
    house
        .until_noted("3 checks in a row failed; the instance is replaced")
        .await;
    until("another instance serves alone", || {
        let now: Vec<_> = ids(&house.edge.table()).collect();
        now.len() == 1 && now[0] != old
    })
    .await;
    house.stop().await.unwrap();
}

#[tokio::test]
async fn an_instance_over_its_memory_limit_is_replaced() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    release.processes.get_mut("web").unwrap().memory = Some(100 << 20);
    house.switch(release);
    house.until_serving(1).await;
    let old = ids(&house.edge.table()).next().unwrap();
    house.edge.visit("/eat?150").await.unwrap();
    let note = house
        .until_noted("more than its limit of 100 MB, and is replaced")
        .await;
    assert!(note.starts_with("it takes 1"), "{note}");
    until("another instance serves alone", || {
        let now: Vec<_> = ids(&house.edge.table()).collect();
        now.len() == 1 && now[0] != old
    })
    .await;
    house.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_but_its_own_descriptors_reaches_an_instance() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    // 0, 1, 2, the listening socket, the connection, and the directory that is being listed.
    let fds = house.edge.visit("/fds").await.unwrap().1;
    assert!(fds.split(' ').count() <= 7, "{fds}");
    assert_eq!(house.edge.visit("/env?TERM").await.unwrap().1, "(unset)");
    assert_eq!(house.edge.visit("/env?LISTEN_FDS").await.unwrap().1, "1");
    house.stop().await.unwrap();
}

/// A program with a child; each says what it got, and finishes its work before it ends.
const PARENT: &str = r#"
import os, signal, time
def say(text):
    os.write(1, (text + "\n").encode())
told = []
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, lambda *_: say("child got SIGTERM"))
    signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
    say("child is up")
    while not told:
        time.sleep(0.01)
    time.sleep(0.3)
    say("child ends as it was told to")
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
say("parent is up")
while not told:
    time.sleep(0.01)
os.kill(child, signal.SIGUSR1)
os.waitpid(child, 0)
say("parent ends")
"#;

#[tokio::test]
async fn a_parent_ends_its_children_in_its_own_way() {
    let app = App::new();
    app.write("parent.py", PARENT);
    for (number, line) in [
        (1, "exec python3 parent.py"),
        (2, "true && python3 parent.py"),
    ] {
        let house = House::new();
        let mut release = app.web(number, 1);
        let worker = spec(&["sh", "-c", line], None, 1);
        release.processes.insert("worker".into(), worker);
        house.switch(release);
        house.until_line("child is up").await;
        house.until_line("parent is up").await;
        house.control.send(Control::Stop).unwrap();
        house.until_line("parent ends").await;
        let lines = house.lines();
        assert!(
            lines.contains(&"child ends as it was told to".into()),
            "{line}: {lines:?}"
        );
        assert!(
            !lines.contains(&"child got SIGTERM".into()),
            "{line}: {lines:?}"
        );
        house.ended().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_shell_leaves_behind_ends_gracefully() {
    let app = App::new();
    app.write("parent.py", PARENT);
    // In none of them the shell is replaced by the program, and none passes a signal on.
    for (number, line) in [
        (1, "python3 parent.py; echo 'the shell goes on'"),
        (2, "python3 parent.py & wait"),
        (3, "sh -c 'python3 parent.py; true'; true"),
    ] {
        let house = House::new();
        let mut release = app.web(number, 1);
        let worker = spec(&["sh", "-c", line], None, 1);
        release.processes.insert("worker".into(), worker);
        house.switch(release);
        house.until_line("child is up").await;
        house.until_line("parent is up").await;
        house.control.send(Control::Stop).unwrap();
        house.until_line("child ends as it was told to").await;
        house.ended().await.unwrap();
    }
    assert!(processes_with(app.dir.path().to_str().unwrap()).is_empty());
}

#[tokio::test]
async fn what_was_left_behind_and_ignores_sigterm_is_killed() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    let line = format!(
        "python3 -c 'import signal, time; signal.signal(15, signal.SIG_IGN); print(\"up\", flush=True); time.sleep(600)' {}; true",
        app.dir.path().display()
    );
    let mut worker = spec(&["sh", "-c", &line], None, 1);
    worker.drain = Duration::from_secs(1);
    release.processes.insert("worker".into(), worker);
    house.switch(release);
    house.until_serving(1).await;
    house.until_line("up").await;
    house.control.send(Control::Stop).unwrap();
    house
        .until_noted("it did not end after SIGTERM and is killed")
        .await;
    house.ended().await.unwrap();
    assert!(processes_with(app.dir.path().to_str().unwrap()).is_empty());
}
