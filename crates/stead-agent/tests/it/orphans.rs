//! When Stead is killed nothing of an app is left, whatever it did to hide.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use stead_model::release::Start;

use crate::house::{App, House, processes_with, spec, until};

/// Not a test: Stead, to be killed. Runs an app until somebody does that.
#[test]
fn stead_role() {
    let Some(dir) = std::env::var_os("STEAD_TEST_APP").map(PathBuf::from) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let app = App::new();
        let mark = dir.to_str().unwrap();
        let mut release = app.web(1, 1);
        release.code = dir.clone();
        let script = format!(
            // A child; one with a session of its own that was forked twice; one that has overwritten its
            // environment, as programs do which show their state in `ps`.
            "sh -c 'while :; do sleep 1; done' {mark} & \
             setsid sh -c '(while :; do sleep 1; done) & exit 0' {mark} & \
             env -i PATH=$PATH sh -c 'while :; do sleep 1; done' {mark} & \
             echo up; while :; do sleep 1; done"
        );
        release
            .processes
            .insert("worker".into(), spec(&["sh", "-c", &script], None, 1));
        release.processes.get_mut("web").unwrap().start =
            Start::Command(["python3", "web.py", mark].map(String::from).into());
        let house = House::at(&dir.join(".stead"));
        house.switch(release);
        house.until_serving(1).await;
        house.until_line("up").await;
        eprintln!("stead is up");
        house.ended().await.unwrap();
    });
}

fn start_stead(app: &App) -> std::process::Child {
    let mut stead = Command::new(std::env::current_exe().unwrap())
        .args(["orphans::stead_role", "--exact", "--nocapture"])
        .env("STEAD_TEST_APP", app.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(stead.stderr.take().unwrap()).lines();
    let up = lines.any(|line| line.is_ok_and(|line| line.contains("stead is up")));
    if !up {
        let _ = stead.kill();
        panic!("it did not come up: {:?}", stead.wait());
    }
    stead
}

#[tokio::test]
async fn nothing_is_left_when_stead_is_killed() {
    let app = App::new();
    let mark = app.dir.path().to_str().unwrap().to_owned();
    let mut stead = start_stead(&app);
    let stead_pid = stead.id() as i32;
    let of_the_app = |p: &i32| *p != stead_pid;
    assert!(processes_with(&mark).into_iter().filter(of_the_app).count() >= 5);
    stead.kill().unwrap();
    stead.wait().unwrap();
    until("everything has ended", || processes_with(&mark).is_empty()).await;
}

#[tokio::test]
async fn what_stead_and_its_keeper_left_is_ended_by_the_next_run() {
    let app = App::new();
    let mark = app.dir.path().to_str().unwrap().to_owned();
    let mut stead = start_stead(&app);
    let lock = std::fs::read_to_string(app.dir.path().join(".stead/lock")).unwrap();
    let run = lock.split_whitespace().nth(1).unwrap().to_owned();
    let keeper = processes_with(&format!("STEAD_KEEPS={run}"));
    assert_eq!(keeper.len(), 1);
    let keeper = rustix::process::Pid::from_raw(keeper[0]).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    stead.kill().unwrap();
    stead.wait().unwrap();
    let house = House::at(&app.dir.path().join(".stead"));
    house.switch(app.web(1, 1));
    house.until_serving(1).await;
    until("what had the marker has ended", || {
        processes_with(&run).is_empty()
    })
    .await;
    house.stop().await.unwrap();
    // The one without the marker had a parent that was killed with Stead.
    for pid in processes_with(&mark) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[tokio::test]
async fn a_second_stead_on_the_same_state_is_refused_by_name() {
    let app = App::new();
    let state = app.dir.path().join(".stead");
    let first = House::at(&state);
    first.switch(app.web(1, 1));
    first.until_serving(1).await;
    let second = House::at(&state);
    let failed = second.until_failed(0).await;
    let own = format!(
        "cause: another `stead up` uses it: process {}\n",
        std::process::id()
    );
    assert!(failed.contains(&own), "{failed}");
    assert!(second.ended().await.is_err());
    assert_eq!(first.edge.visit("/").await.unwrap().1, "release 1");
    first.stop().await.unwrap();
}
