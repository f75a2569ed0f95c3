use std::path::Path;

use stead_model::manifest::{Edge, OnDemand, Rate};
use stead_model::routing::{Folder, Route, RouteTimeouts};

use super::*;

fn route(host: &str, target: Target) -> Route {
    Route {
        hosts: vec![host.to_owned()],
        path: "/".to_owned(),
        target,
        body_limit: 1,
        timeouts: RouteTimeouts::default(),
        rules: None,
        limit: None,
        tls: None,
    }
}

fn folder() -> Target {
    Target::Folder(Folder::default())
}

fn release(code: &str, routes: Vec<Route>) -> Release {
    Release {
        app: "shop".to_owned(),
        number: 8,
        code: code.into(),
        path: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        volumes: BTreeMap::new(),
        release_command: None,
        processes: BTreeMap::new(),
        jobs: BTreeMap::new(),
        routes,
        edge: Edge::default(),
        webhook: None,
    }
}

#[test]
fn every_host_of_a_release_wants_a_certificate_and_paths_are_those_of_its_code() {
    let places = Places {
        state: "/state".into(),
        run: "/run".into(),
        units: "/units".into(),
    };
    let redirect = Target::Redirect {
        host: "shop.test".to_owned(),
        status: 308,
    };
    let routes = vec![
        route("www.shop.test", redirect),
        route("*.shop.test", folder()),
        route("shop.test", folder()),
        route("shop.test", folder()),
    ];
    // It came back from an earlier release, and its app is a directory of the tree.
    let release = release("/state/apps/shop/releases/7/backend", routes);
    let tls = Tls {
        certificate: Some("own.pem".to_owned()),
        key: Some("/etc/own.key".to_owned()),
        ..Tls::default()
    };
    let wish = wish(&release, &Acme::default(), &tls, &places);
    assert_eq!(wish.hosts, ["*.shop.test", "shop.test", "www.shop.test"]);
    assert_eq!(wish.ask_host, "shop.test");
    assert_eq!(wish.source, Path::new("/state/apps/shop/releases/7"));
    assert_eq!(wish.state, Path::new("/state/apps/shop"));
    assert_eq!(wish.user.as_deref(), Some("stead-shop"));
    let own = wish.own.unwrap();
    assert_eq!(own.chain, release.code.join("own.pem"));
    assert_eq!(own.key, Path::new("/etc/own.key"));
}

#[test]
fn an_app_is_told_of_its_own_certificates_and_of_its_customers() {
    let state = tempfile::tempdir().unwrap();
    let stored = [
        "blog.test",
        "shop.test",
        "*.wild.test",
        "www.customer-one.com",
    ];
    for name in stored {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let imported = ImportedCertificate {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        };
        import(state.path(), None, &imported).unwrap();
    }
    let known = Mutex::new(Known::at(state.path()));
    let wish = |hosts: &[&str]| CertificateWish {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..CertificateWish::default()
    };
    let mut wishes = BTreeMap::from([
        ("blog".to_owned(), wish(&["blog.test"])),
        ("shop".to_owned(), wish(&["shop.test", "a.wild.test"])),
    ]);
    let told = |app: Option<&str>, wishes: &_| match list(&known, app, wishes) {
        Ok(Answer::Certificates(listing)) => {
            let certificates = listing.certificates.into_iter();
            certificates
                .flat_map(|listed| listed.hosts)
                .collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(told(None, &wishes).len(), 4);
    assert_eq!(told(Some("blog"), &wishes), ["blog.test"]);
    assert_eq!(told(Some("shop"), &wishes), ["*.wild.test", "shop.test"]);
    // Nobody else names the host, and this app is asked about such.
    let blog = wishes.get_mut("blog").unwrap();
    blog.acme.on_demand = Some(OnDemand {
        ask: "/allowed?domain=".to_owned(),
        rate: Rate {
            count: 60,
            per: std::time::Duration::from_secs(3600),
        },
    });
    assert!(told(Some("blog"), &wishes).contains(&"www.customer-one.com".to_owned()));
    assert!(!told(Some("blog"), &wishes).contains(&"shop.test".to_owned()));
}

#[test]
fn who_is_no_host_of_the_app_is_not_renewed() {
    let state = tempfile::tempdir().unwrap();
    let own = || vec!["shop.test".to_owned()];
    let other = ["blog.test".to_owned()];
    let Ok(Answer::Renewals(renewals)) = renew(state.path(), &other, own()) else {
        panic!("it is no refusal");
    };
    assert!(!renewals[0].done && renewals[0].host == "blog.test");
    assert!(renew(state.path(), &[], own()).is_err(), "nobody keeps any");
    assert!(renew(state.path(), &[], Vec::new()).is_ok());
}
