use std::time::Duration;

use stead_agent::Report;
use stead_model::manifest::{Job, Overlap};

use crate::house::{App, House, processes_with};

fn job(command: &str) -> Job {
    Job {
        schedule: Some("* * * * *".into()),
        timezone: None,
        command: command.into(),
        overlap: Overlap::Skip,
        timeout: Duration::from_secs(600),
    }
}

/// A house whose earlier run was ended before these jobs were due: they are due at once.
fn house_with_due_jobs(app: &App, names: &[&str]) -> House {
    let state = app.dir.path().join(".stead");
    std::fs::create_dir_all(&state).unwrap();
    let reference = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(3);
    let entries: Vec<_> = names
        .iter()
        .map(|n| format!(r#""{n}": {{"schedule": "* * * * *", "timezone": null, "reference": "{reference}"}}"#))
        .collect();
    std::fs::write(
        state.join("jobs.json"),
        format!("{{{}}}", entries.join(",")),
    )
    .unwrap();
    House::at(&state)
}

#[tokio::test]
async fn a_job_that_was_missed_by_a_restart_is_run_and_logged() {
    let app = App::new();
    let house = house_with_due_jobs(&app, &["good", "bad", "slow"]);
    let mut release = app.web(1, 1);
    release.jobs.insert(
        "good".into(),
        job("echo $STEAD_JOB of release $STEAD_RELEASE"),
    );
    release
        .jobs
        .insert("bad".into(), job("echo no disk >&2; exit 9"));
    let mut slow = job("trap '' TERM; while :; do sleep 1; done");
    slow.timeout = Duration::from_millis(300);
    release.jobs.insert("slow".into(), slow);
    house.switch(release);
    house.until_line("good of release 1").await;
    house.until_noted("ended with exit status 0 after").await;
    house.until_noted("ended with exit status 9 after").await;
    let note = house
        .until_noted("ended with SIGKILL, since it went on after SIGTERM, after")
        .await;
    assert!(
        note.contains("it was told to: it took longer than 300 ms"),
        "{note}"
    );
    let log = std::fs::read_to_string(house.state.join("logs/job.bad.log")).unwrap();
    assert!(log.ends_with("Z no disk\n"), "{log}");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_run_is_not_ended_by_a_switch_but_by_a_stop() {
    let app = App::new();
    let house = house_with_due_jobs(&app, &["long"]);
    let command = "echo begun; while ! test -e finish; do sleep 0.1; done; echo finished";
    let mut first = app.web(1, 1);
    first.jobs.insert("long".into(), job(command));
    house.switch(first);
    house.until_line("begun").await;
    house.switch(app.web(2, 1));
    house.until_serving(2).await;
    house.until_line("web ends").await;
    app.write("finish", "");
    house.until_line("finished").await;
    house.until_noted("ended with exit status 0 after").await;
    house.stop().await.unwrap();

    std::fs::remove_file(app.dir.path().join("finish")).unwrap();
    let house = house_with_due_jobs(&app, &["long"]);
    let mut again = app.web(1, 1);
    again.jobs.insert("long".into(), job(command));
    house.switch(again);
    house.until_line("begun").await;
    house.stop().await.unwrap();
    assert!(
        processes_with("STEAD_JOB=long")
            .iter()
            .all(|p| { !processes_with(app.dir.path().to_str().unwrap()).contains(p) })
    );
}

/// Takes until the next full minute: that is how often a schedule can be.
#[tokio::test]
async fn overlapping_runs_are_skipped_queued_or_replaced() {
    let app = App::new();
    let house = house_with_due_jobs(&app, &["skip", "queue", "replace"]);
    let mut release = app.web(1, 1);
    let command = "echo run $STEAD_JOB >> runs; while ! test -e finish; do sleep 0.1; done";
    for (name, overlap) in [
        ("skip", Overlap::Skip),
        ("queue", Overlap::Queue),
        ("replace", Overlap::Replace),
    ] {
        release.jobs.insert(
            name.into(),
            Job {
                overlap,
                ..job(command)
            },
        );
    }
    house.switch(release);
    let noted = |part: &'static str| {
        let house = &house;
        async move {
            for _ in 0..3 {
                let found = house
                    .reports()
                    .iter()
                    .any(|r| matches!(r, Report::Note { text, .. } if text.contains(part)));
                if found {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            house.until_noted(part).await;
        }
    };
    noted("this one is skipped").await;
    noted("this one waits for its end").await;
    noted("a new run replaces it").await;
    crate::house::until("the replacing run goes", || {
        app.read("runs").matches("replace").count() == 2
    })
    .await;
    assert_eq!(app.read("runs").matches("queue").count(), 1);
    app.write("finish", "");
    crate::house::until("the queued run went", || {
        app.read("runs").matches("queue").count() == 2
    })
    .await;
    assert_eq!(app.read("runs").matches("skip").count(), 1);
    house.stop().await.unwrap();
}
