//! The edge alone, as a reverse proxy before one server, or as a server of files:
//! `proxy LISTEN SOCKET|FOLDER [HOSTS] [--tls LISTEN CHAIN KEY]`, for example
//! `proxy 127.0.0.1:8000 /run/app.sock`. With a number of hosts the table has a route of its own for each of
//! `h0.test`, `h1.test`, …, beside the one for every host. What `cargo xtask bench` holds against other proxies.

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use stead_edge::Settings;
use stead_model::certificates::{CertificateFiles, CertificateTable};
use stead_model::messages::EdgeCommand;
use stead_model::release::Protocol;
use stead_model::routing::{
    Address, Folder, Instance, InstanceId, Route, RoutingTable, Target, Upstream,
};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let tls = match arguments.iter().position(|argument| argument == "--tls") {
        Some(at) => arguments.split_off(at),
        None => Vec::new(),
    };
    let mut arguments = arguments.into_iter();
    let (Some(listen), Some(socket)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let hosts: usize = match arguments.next().map(|count| count.parse()) {
        None => 0,
        Some(Ok(count)) => count,
        Some(Err(_)) => return ExitCode::from(2),
    };
    let Some(listener) = bind(&listen) else {
        return ExitCode::FAILURE;
    };
    let folder = std::path::PathBuf::from(&socket);
    let target = match folder.is_dir() {
        true => Target::Folder(Folder {
            root: folder,
            ..Folder::default()
        }),
        false => Target::Upstream("app.web".into()),
    };
    let upstream = Upstream {
        app: "app".into(),
        process: "web".into(),
        release: 1,
        protocol: Protocol::Http,
        instances: vec![Instance {
            id: InstanceId(1),
            address: Address::Unix(socket.into()),
            capacity: 1000,
        }],
        timeout: Duration::from_secs(30),
        timeouts: stead_model::routing::Timeouts::default(),
        sticky: false,
        check: None,
        queue_limit: 10_000,
        queue_timeout: Duration::from_secs(30),
    };
    let route = |hosts| Route {
        hosts,
        path: "/".into(),
        target: target.clone(),
        body_limit: 64 << 20,
        timeouts: stead_model::routing::RouteTimeouts::default(),
        rules: None,
        limit: None,
        tls: None,
    };
    let own = (0..hosts).map(|number| route(vec![format!("h{number}.test")]));
    let table = RoutingTable {
        generation: 1,
        routes: own.chain([route(vec![])]).collect(),
        upstreams: [("app.web".to_owned(), upstream)].into(),
        ..RoutingTable::default()
    };
    let Ok((mut edge, mut events)) = stead_edge::start(Settings::default(), vec![listener]) else {
        return ExitCode::FAILURE;
    };
    if edge.commands.send(EdgeCommand::Publish(table)).is_err() {
        return ExitCode::FAILURE;
    }
    if let [_, listen, chain, key] = tls.as_slice() {
        let files = CertificateFiles {
            chain: chain.into(),
            key: key.into(),
        };
        // The address that is asked for is no name.
        let certificates = CertificateTable {
            default: Some(files),
            ..CertificateTable::default()
        };
        let certificates = EdgeCommand::Certificates(certificates);
        let listening =
            bind(listen).is_some_and(|listener| edge.listen_tls(vec![listener]).is_ok());
        if !listening || edge.commands.send(certificates).is_err() {
            return ExitCode::FAILURE;
        }
    }
    // Serve until a signal ends the process; the events are for an agent.
    while events.blocking_recv().is_some() {}
    ExitCode::SUCCESS
}

/// The library's queue of 128 is too short for a crowd that comes at once.
fn bind(address: &str) -> Option<TcpListener> {
    let listener = TcpListener::bind(address).ok()?;
    rustix::net::listen(&listener, 4096).ok()?;
    Some(listener)
}
