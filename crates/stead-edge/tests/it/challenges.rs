//! What a certificate authority is answered that asks by plain HTTP.

use stead_edge::Settings;
use stead_model::messages::{EdgeCommand, EdgeEvent, HttpChallenges};
use stead_model::routing::{Folder, Route, RouteTimeouts, RoutingTable, Target};

use crate::running::Running;

fn route(hosts: &[&str], target: Target) -> Route {
    Route {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        path: "/".into(),
        target,
        body_limit: 1 << 20,
        timeouts: RouteTimeouts::default(),
        rules: None,
        limit: None,
        tls: None,
    }
}

fn answers(running: &mut Running, generation: u64, answers: &[(&str, &str)]) {
    let answers = answers
        .iter()
        .map(|(token, answer)| ((*token).to_owned(), (*answer).to_owned()))
        .collect();
    let challenges = HttpChallenges {
        generation,
        answers,
    };
    let command = EdgeCommand::HttpChallenges(challenges);
    running.edge.commands.send(command).unwrap();
    running.wait_for(|event| *event == EdgeEvent::Answering { generation });
}

fn get(running: &Running, host: &str, token: &str) -> (u16, String) {
    let answer = running.ask(&format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ));
    (answer.status, answer.text().to_owned())
}

#[test]
fn a_known_token_is_answered_before_routes_and_redirects_and_others_are_requests() {
    let webroot = tempfile::tempdir().unwrap();
    let folder = webroot.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("others"), "another client's").unwrap();
    let mut running = Running::with(
        Settings::default(),
        RoutingTable {
            generation: 0,
            routes: vec![
                route(
                    &["www.shop.example"],
                    Target::Redirect {
                        host: "shop.example".into(),
                        status: 308,
                    },
                ),
                route(
                    &["files.example"],
                    Target::Folder(Folder {
                        root: webroot.path().to_owned(),
                        fallback: None,
                        ..Default::default()
                    }),
                ),
            ],
            ..RoutingTable::default()
        },
    );
    answers(&mut running, 1, &[("token", "token.thumbprint")]);
    let known = (200, "token.thumbprint".to_owned());
    assert_eq!(get(&running, "www.shop.example", "token"), known);
    assert_eq!(get(&running, "files.example", "token"), known);
    // A host that no route has, too: its certificate may come before its route.
    assert_eq!(get(&running, "new.example", "token"), known);
    assert_eq!(get(&running, "www.shop.example", "other").0, 308);
    assert_eq!(
        get(&running, "files.example", "others"),
        (200, "another client's".to_owned())
    );
    assert_eq!(get(&running, "files.example", "").0, 404);
    assert_eq!(get(&running, "files.example", "token/").0, 404);
    let post = running.ask(
        "POST /.well-known/acme-challenge/token HTTP/1.1\r\nHost: www.shop.example\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(post.status, 308);

    answers(&mut running, 2, &[]);
    assert_eq!(get(&running, "files.example", "token").0, 404);
}
