use stead_agent::Report;
use stead_model::release::{Listen, Protocol};

use crate::house::{App, House, PATIENCE, processes_with, spec};

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
    let _ = PATIENCE;
}
