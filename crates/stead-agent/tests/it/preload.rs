use std::collections::BTreeSet;

use stead_agent::Report;
use stead_model::release::{Listen, Protocol, Release, Start};

use crate::house::{App, House, ids, processes_with, spec, until};

fn preloading(app: &App, number: u64) -> Release {
    app.write("preload.py", include_str!("preload.py"));
    let mut release = app.release(number);
    let mut web = spec(&[], Some(Listen::Descriptor(Protocol::Http)), 2);
    web.start = Start::Preload(["python3", "preload.py"].map(String::from).into());
    release.processes.insert("web".into(), web);
    release
}

#[tokio::test]
async fn instances_are_forked_from_one_import_and_replaced_one_by_one() {
    let app = App::new();
    let house = House::new();
    house.switch(preloading(&app, 1));
    house.until_serving(1).await;
    let masters = |answers: &BTreeSet<String>| -> BTreeSet<String> {
        answers
            .iter()
            .map(|a| a.split(" of ").nth(1).unwrap().to_owned())
            .collect()
    };
    let mut answers = BTreeSet::new();
    for instance in house.edge.table().upstreams["shop.web"].instances.clone() {
        answers.insert(house.edge.visit_instance(&instance, "/").await.unwrap().1);
    }
    assert_eq!(answers.len(), 2, "two processes");
    assert_eq!(masters(&answers).len(), 1, "of one worker");
    let imports = || {
        let reports = house.reports();
        reports
            .iter()
            .filter(|r| matches!(r, Report::Line { text, .. } if text == "imported once"))
            .count()
    };
    assert_eq!(imports(), 1);

    let before: BTreeSet<_> = ids(&house.edge.table()).collect();
    let _ = house.edge.visit("/exit?5").await;
    house.until_noted("it ended with exit status 5").await;
    until("another was forked", || {
        let now: BTreeSet<_> = ids(&house.edge.table()).collect();
        now.len() == 2 && now != before
    })
    .await;
    assert_eq!(imports(), 1, "the app was not imported again");

    house.switch(preloading(&app, 2));
    house.until_serving(2).await;
    until("the first worker has ended", || {
        processes_with("STEAD_RELEASE=1")
            .iter()
            .all(|p| !of_app(&app, *p))
    })
    .await;
    house.stop().await.unwrap();
    assert!(processes_with(app.dir.path().to_str().unwrap()).is_empty());
}

fn of_app(app: &App, pid: i32) -> bool {
    processes_with(app.dir.path().to_str().unwrap()).contains(&pid)
}

#[tokio::test]
async fn an_app_that_cannot_be_imported_is_reported() {
    let app = App::new();
    let house = House::new();
    house.switch(preloading(&app, 1));
    house.until_serving(1).await;
    let mut broken = preloading(&app, 2);
    broken.env.insert("BROKEN".into(), "1".into());
    house.switch(broken);
    let failed = house.until_failed(2).await;
    assert!(
        failed.contains("`web.1` ended with exit status 1"),
        "{failed}"
    );
    assert!(failed.contains("log: cannot import the app\n"), "{failed}");
    assert!(house.edge.visit("/").await.is_ok());
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_killed_takes_its_instances_along_and_is_started_again() {
    let app = App::new();
    let house = House::new();
    house.switch(preloading(&app, 1));
    house.until_serving(1).await;
    let answer = house.edge.visit("/").await.unwrap().1;
    let master: i32 = answer.split(" of ").nth(1).unwrap().parse().unwrap();
    let before: BTreeSet<_> = ids(&house.edge.table()).collect();
    let master = rustix::process::Pid::from_raw(master).unwrap();
    rustix::process::kill_process(master, rustix::process::Signal::KILL).unwrap();
    until("two others serve", || {
        let now: BTreeSet<_> = ids(&house.edge.table()).collect();
        now.len() == 2 && now.is_disjoint(&before)
    })
    .await;
    assert!(house.edge.visit("/").await.is_ok());
    house.stop().await.unwrap();
}
