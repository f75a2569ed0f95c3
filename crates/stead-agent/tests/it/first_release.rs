use stead_agent::Report;
use stead_model::manifest::Count;
use stead_model::release::{Listen, Protocol};

use crate::house::{App, House, processes_with, spec};

#[tokio::test]
async fn a_release_on_a_descriptor_serves_and_stops() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 2));
    let counts = house.until_serving(1).await;
    assert!(counts[0].starts_with("web: 2 instances"), "{counts:?}");
    let (status, body) = house.edge.visit("/").await.unwrap();
    assert_eq!((status, body.as_str()), (200, "release 1"));
    house.until_line("web is ready").await;
    let run = house.state.join("run");
    house.stop().await.unwrap();
    assert!(!run.exists(), "sockets are cleaned up");
    assert!(processes_with(app.dir.path().to_str().unwrap()).is_empty());
}

#[tokio::test]
async fn a_release_on_a_port_serves_and_stops() {
    let app = App::new();
    let house = House::new();
    let mut release = app.release(1);
    let listen = Some(Listen::Port(Protocol::Http));
    release
        .processes
        .insert("web".into(), spec(&["python3", "web.py"], listen, 1));
    house.switch(release);
    house.until_serving(1).await;
    assert_eq!(house.edge.visit("/env?HOST").await.unwrap().1, "127.0.0.1");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_release_on_a_path_serves_and_stops() {
    let app = App::new();
    let house = House::new();
    let mut release = app.release(1);
    let listen = Some(Listen::Path(Protocol::Http));
    release
        .processes
        .insert("web".into(), spec(&["python3", "web.py"], listen, 2));
    house.switch(release);
    house.until_serving(1).await;
    assert_eq!(house.edge.visit("/").await.unwrap().1, "release 1");
    house.stop().await.unwrap();
}

#[tokio::test]
async fn the_first_healthy_instance_answers_before_the_others_are_there() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 3));
    house.until_serving(1).await;
    let first = house
        .edge
        .history()
        .first()
        .map(|t| crate::house::ids(t).count());
    assert_eq!(first, Some(1));
    let order: Vec<_> = house
        .reports()
        .iter()
        .filter_map(|r| match r {
            Report::Answering { .. } => Some("answering"),
            Report::Serving { .. } => Some("serving"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["answering", "serving"]);
    house.stop().await.unwrap();
}

#[tokio::test]
async fn an_automatic_count_is_measured_and_explained() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    release.processes.get_mut("web").unwrap().count = Count::Auto;
    house.switch(release.clone());
    let counts = house.until_serving(1).await;
    let cpus = std::thread::available_parallelism().unwrap().get();
    let n = crate::house::ids(&house.edge.table()).count();
    assert!(n >= 1 && n <= 2 * cpus + 1, "{counts:?}");
    assert!(
        counts[0].starts_with(&format!("web: {n} instance")),
        "{counts:?}"
    );
    assert!(
        counts[0].contains(" CPU") && counts[0].contains(" MB each)"),
        "{counts:?}"
    );
    // Its successor starts as many at once.
    release.number = 2;
    house.switch(release);
    house.until_serving(2).await;
    let history = house.edge.history();
    let switched = history
        .iter()
        .find(|t| t.upstreams.values().any(|u| u.release == 2))
        .unwrap();
    assert_eq!(crate::house::ids(switched).count(), n);
    house.stop().await.unwrap();
}

#[tokio::test]
async fn secrets_and_volumes_reach_the_app_and_nothing_else() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    release.secrets.insert("SECRET_KEY".into(), true);
    release.volumes.insert("data".into(), "instance".into());
    house.switch(release);
    house.until_serving(1).await;
    let secret = house.edge.visit("/env?SECRET_KEY").await.unwrap().1;
    assert_eq!(secret.len(), 43, "{secret}");
    app.write("instance/app.db", "kept");
    assert_eq!(
        std::fs::read_to_string(house.state.join("volumes/data/app.db")).unwrap(),
        "kept"
    );
    assert!(!format!("{:?}", house.reports()).contains(&secret));
    let mut without = app.web(2, 1);
    without
        .secrets
        .insert("NO_SUCH_SECRET_IS_SET".into(), false);
    house.switch(without);
    let failed = house.until_failed(2).await;
    assert!(
        failed.contains("cause: the secret `NO_SUCH_SECRET_IS_SET` has no value\n"),
        "{failed}"
    );
    assert!(failed.contains("state: release 1 still serves"), "{failed}");
    let state = house.state.clone();
    assert_eq!(house.edge.visit("/env?SECRET_KEY").await.unwrap().1, secret);
    let log = std::fs::read_to_string(state.join("logs/web.1.log")).unwrap_or_default();
    assert!(!log.contains(&secret));
    house.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_after_the_edge_has_ended_waits_for_nobody() {
    let app = App::new();
    let house = House::new();
    house.switch(app.web(1, 2));
    house.until_serving(1).await;
    house.edge.end();
    house.stop().await.unwrap();
}

#[tokio::test]
async fn an_app_of_folders_only_serves_without_an_instance() {
    let app = App::new();
    let house = House::new();
    house.switch(app.release(1));
    assert!(house.until_serving(1).await.is_empty());
    assert_eq!(house.edge.table().routes.len(), 1);
    house.stop().await.unwrap();
}
