use std::path::PathBuf;
use std::time::Duration;

use stead_model::release::Protocol;
use stead_model::routing::{
    Address, Folder, Instance, InstanceId, Route, RoutingTable, Target as ModelTarget, Timeouts,
    Upstream,
};

use super::*;

fn upstream(id: u64) -> Upstream {
    Upstream {
        app: "shop".into(),
        process: "web".into(),
        release: 1,
        protocol: Protocol::Http,
        instances: vec![Instance {
            id: InstanceId(id),
            address: Address::Unix("/run/stead/a.sock".into()),
            capacity: 1,
        }],
        timeout: Duration::from_secs(30),
        timeouts: Timeouts::default(),
        sticky: false,
        check: None,
        queue_limit: 100,
        queue_timeout: Duration::from_secs(5),
    }
}

fn route(hosts: &[&str], path: &str, target: ModelTarget) -> Route {
    Route {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        path: path.to_owned(),
        target,
        body_limit: 1,
        timeouts: RouteTimeouts::default(),
        rules: None,
        limit: None,
        tls: None,
    }
}

fn to(name: &str) -> ModelTarget {
    ModelTarget::Upstream(name.into())
}

fn table(routes: Vec<Route>) -> RoutingTable {
    RoutingTable {
        generation: 1,
        routes,
        upstreams: [("a", 1), ("b", 2), ("c", 3)]
            .map(|(name, id)| (name.to_owned(), upstream(id)))
            .into(),
        ..RoutingTable::default()
    }
}

/// Each route goes to a redirect that names it, so that answers can be read.
fn router(routes: &[(&[&str], &str)]) -> Router {
    let routes = routes.iter().enumerate().map(|(index, (hosts, path))| {
        let host = format!("r{index}.example");
        route(hosts, path, ModelTarget::Redirect { host, status: 308 })
    });
    Router::new(&table(routes.collect())).expect("a valid table")
}

fn found(router: &Router, host: &str, path: &str) -> Option<usize> {
    let entry = router.find(host.as_bytes(), path.as_bytes())?;
    let Target::Redirect(host, _) = &entry.target else {
        panic!("not a redirect");
    };
    host[1..host.len() - ".example".len()].parse().ok()
}

#[test]
fn exact_host_wins_over_wildcard_and_wildcard_over_every_host() {
    let router = router(&[
        (&[], "/"),
        (&["*.shop.test"], "/"),
        (&["www.shop.test"], "/"),
        (&["*.www.shop.test"], "/"),
    ]);
    assert_eq!(found(&router, "www.shop.test", "/"), Some(2));
    assert_eq!(found(&router, "a.shop.test", "/"), Some(1));
    assert_eq!(found(&router, "a.www.shop.test", "/"), Some(3));
    assert_eq!(found(&router, "shop.test", "/"), Some(0));
    assert_eq!(found(&router, "a.b.shop.test", "/"), Some(0));
    assert_eq!(found(&router, "", "/"), Some(0));
    assert_eq!(found(&router, "127.0.0.1:8000", "/"), Some(0));
}

#[test]
fn the_longest_path_of_whole_segments_wins() {
    let router = router(&[
        (&[], "/"),
        (&[], "/api"),
        (&[], "/api/v2/"),
        (&[], "/static"),
    ]);
    for (path, expected) in [
        ("/", 0),
        ("/apix", 0),
        ("/ap", 0),
        ("/api", 1),
        ("/api/", 1),
        ("/api/x", 1),
        ("/api/v2", 2),
        ("/api/v2/x/y", 2),
        ("/api/v22", 1),
        ("/static/a.css", 3),
        ("/x/static/a.css", 0),
    ] {
        assert_eq!(found(&router, "h", path), Some(expected), "{path}");
    }
}

#[test]
fn many_paths_are_found_as_few_are() {
    let paths: Vec<String> = (0..200).map(|n| format!("/p{n}/q/r{}", n % 7)).collect();
    let mut routes: Vec<(&[&str], &str)> = paths
        .iter()
        .map(|path| (&[] as &[&str], path.as_str()))
        .collect();
    routes.push((&[], "/p1"));
    let router = router(&routes);
    for (index, path) in paths.iter().enumerate() {
        assert_eq!(found(&router, "h", path), Some(index));
        assert_eq!(found(&router, "h", &format!("{path}/")), Some(index));
        assert_eq!(
            found(&router, "h", &format!("{path}/{}", "x/".repeat(4_000))),
            Some(index)
        );
        assert_eq!(
            found(&router, "h", &format!("{path}x")),
            (index == 1).then_some(200)
        );
    }
    assert_eq!(found(&router, "h", "/p1/q"), Some(200));
    assert_eq!(found(&router, "h", "/p1"), Some(200));
    assert_eq!(found(&router, "h", "/"), None);
    assert_eq!(found(&router, "h", "/nothing/of/that/kind/at/all"), None);
}

#[test]
fn a_path_of_one_host_does_not_hide_the_routes_of_every_host() {
    let router = router(&[(&["shop.test"], "/api"), (&["*.test"], "/b"), (&[], "/")]);
    assert_eq!(found(&router, "shop.test", "/api/1"), Some(0));
    assert_eq!(found(&router, "shop.test", "/b"), Some(1));
    assert_eq!(found(&router, "shop.test", "/c"), Some(2));
}

#[test]
fn hosts_are_compared_without_case_port_and_trailing_dot() {
    let router = router(&[
        (&["shop.test"], "/"),
        (&["::1"], "/"),
        (&["10.0.0.1"], "/"),
        (&["A_b.Test"], "/"),
    ]);
    for (host, expected) in [
        ("shop.test", Some(0)),
        ("SHOP.Test:8000", Some(0)),
        ("shop.test.", Some(0)),
        ("shop.test.:80", Some(0)),
        ("shop.test:", Some(0)),
        ("[::1]", Some(1)),
        ("[0:0:0::1]:8000", Some(1)),
        ("10.0.0.1:80", Some(2)),
        ("a_B.test", Some(3)),
        ("shop.test..", None),
        (".shop.test", None),
        ("shop..test", None),
        ("shop.test:80:80", None),
        ("shop.test:x", None),
        ("shop.test:999999", None),
        ("user@shop.test", None),
        ("shop.test/", None),
        ("shop.test\0", None),
        ("shop.test ", None),
        (" shop.test", None),
        ("*.test", None),
        ("::1", None),
        ("[::1", None),
        ("[::1]x", None),
        ("[::1%25lo]", None),
        ("[]", None),
        (":80", None),
        (".", None),
        ("sh\u{f6}p.test", None),
    ] {
        assert_eq!(found(&router, host, "/"), expected, "{host:?}");
    }
    assert_eq!(found(&router, &"a".repeat(256), "/"), None);
    assert_eq!(
        found(&router, &format!("{}.test", "a.".repeat(5_000)), "/"),
        None
    );
}

#[test]
fn a_malformed_host_gets_no_route_even_of_every_host() {
    let router = router(&[(&[], "/")]);
    assert_eq!(found(&router, "\"><script>", "/"), None);
    assert_eq!(found(&router, "a b", "/"), None);
    assert!(!router.knows_host(b"a b"));
    assert!(router.knows_host(b"a"));
}

#[test]
fn a_wrong_host_is_told_from_a_wrong_path() {
    let router = router(&[(&["shop.test", "*.shop.test"], "/api")]);
    assert_eq!(found(&router, "shop.test", "/"), None);
    assert!(router.knows_host(b"SHOP.test:80"));
    assert!(router.knows_host(b"x.shop.test"));
    assert!(!router.knows_host(b"y.x.shop.test"));
    assert!(!router.knows_host(b"other.test"));
}

#[test]
fn an_entry_says_which_upstream_limit_and_prefix() {
    let folder = Folder {
        root: "/srv".into(),
        fallback: Some("c".into()),
        ..Default::default()
    };
    let router = Router::new(&table(vec![
        route(&[], "/", to("b")),
        route(&[], "/static/", ModelTarget::Folder(folder)),
    ]))
    .expect("a valid table");
    let entry = router.find(b"h", b"/x").expect("a route");
    assert!(matches!(entry.target, Target::Upstream(1)));
    assert_eq!((entry.prefix_length, entry.body_limit), (0, 1));
    let entry = router.find(b"h", b"/static/x").expect("a route");
    assert!(matches!(
        entry.target,
        Target::Folder {
            fallback: Some(2),
            ..
        }
    ));
    assert_eq!(entry.prefix_length, "/static".len());
    assert_eq!(router.entries().len(), 2);
}

fn refusal(table: &RoutingTable) -> String {
    Router::new(table).expect_err("must be refused")
}

#[test]
fn an_invalid_route_refuses_the_whole_table() {
    let folder = |root: &str| {
        ModelTarget::Folder(Folder {
            root: PathBuf::from(root),
            fallback: None,
            ..Default::default()
        })
    };
    let redirect = |host: &str| ModelTarget::Redirect {
        host: host.into(),
        status: 308,
    };
    for (bad, why) in [
        (
            route(&[], "/", to("x")),
            "the route `/` goes to the upstream `x`, which is not in the table",
        ),
        (
            route(
                &["h.test"],
                "/",
                ModelTarget::Folder(Folder {
                    root: "/a".into(),
                    fallback: Some("x".into()),
                    ..Default::default()
                }),
            ),
            "the route `h.test/` goes to the upstream `x`, which is not in the table",
        ),
        (
            route(&[], "/", folder("public")),
            "the folder of the route `/` cannot be served: `public` is not an absolute path",
        ),
        (route(&[], "/", folder("")), "`` is not an absolute path"),
        (route(&[], "/", folder("/a\0b")), "`/a\\0b` has a NUL byte"),
        (
            route(&[], "", to("a")),
            "the route path `` does not begin with a slash",
        ),
        (route(&[], "api", to("a")), "does not begin with a slash"),
        (route(&[], "/a//b", to("a")), "has two slashes in a row"),
        (route(&[], "//", to("a")), "has two slashes in a row"),
        (route(&[], "/a?b", to("a")), "has a query"),
        (route(&[], "/a/../b", to("a")), "has a dot segment"),
        (route(&[], "/a%20b", to("a")), "percent sign"),
        (route(&[], "/a\0", to("a")), "`/a\\0` has a NUL byte"),
        (
            route(&[""], "/", to("a")),
            "the route host `` cannot be used: it is empty",
        ),
        (
            route(&["*"], "/", to("a")),
            "a star may only stand for the whole first label",
        ),
        (route(&["*."], "/", to("a")), "it is empty"),
        (route(&["*a.test"], "/", to("a")), "a star may only"),
        (route(&["a.*.test"], "/", to("a")), "a star may only"),
        (route(&["*.*.test"], "/", to("a")), "a star may only"),
        (
            route(&["*.10.0.0.1"], "/", to("a")),
            "an address has no labels",
        ),
        (
            route(&["*.[::1]"], "/", to("a")),
            "an address has no labels",
        ),
        (
            route(&["h.test:80"], "/", to("a")),
            "a host is written without port",
        ),
        (
            route(&["[::1]:80"], "/", to("a")),
            "a host is written without port",
        ),
        (
            route(&["http://h.test"], "/", to("a")),
            "neither scheme nor path",
        ),
        (route(&["b\u{fc}cher.test"], "/", to("a")), "`xn--` form"),
        (route(&["a b"], "/", to("a")), "it is no host name"),
        (
            route(&["h\0"], "/", to("a")),
            "`h\\0` cannot be used: it is no host name",
        ),
        (
            route(&["www.test"], "/", redirect("WWW.test")),
            "redirects `WWW.test` to itself",
        ),
        (
            route(&[], "/", redirect("")),
            "redirects to ``, which cannot be",
        ),
        (
            route(&[], "/", redirect("a/b")),
            "redirects to `a/b`, which cannot be",
        ),
        (route(&[], "/", redirect("a\r\nb")), "which cannot be"),
    ] {
        let message = refusal(&table(vec![route(&["fine.test"], "/", to("a")), bad]));
        assert!(message.contains(why), "{message:?} does not say {why:?}");
    }
}

#[test]
fn two_routes_of_the_same_host_and_path_are_refused() {
    let message = refusal(&table(vec![
        route(&["h.test"], "/a", to("a")),
        route(&["H.TEST."], "/a/", to("b")),
    ]));
    assert_eq!(
        message,
        "two routes have the host `h.test` and the path `/a/`"
    );
    let message = refusal(&table(vec![
        route(&[], "/", to("a")),
        route(&[], "/", to("a")),
    ]));
    assert_eq!(message, "two routes have the path `/` for every host");
    let message = refusal(&table(vec![route(&["h.test", "h.test"], "/", to("a"))]));
    assert_eq!(
        message,
        "two routes have the host `h.test` and the path `/`"
    );
}

#[test]
fn an_invalid_upstream_refuses_the_whole_table() {
    let change = |edit: &dyn Fn(&mut Upstream)| {
        let mut table = table(vec![]);
        edit(table.upstreams.get_mut("b").expect("there"));
        refusal(&table)
    };
    let address =
        |address: Address| change(&|upstream| upstream.instances[0].address = address.clone());
    assert_eq!(
        change(&|b| b.instances[0].id = InstanceId(1)),
        "instance 1 is twice in the table, in `a` and in `b`"
    );
    assert_eq!(
        change(&|b| b.instances[0].capacity = 0),
        "instance 2 of `b` has a capacity of zero requests"
    );
    assert!(change(&|b| b.timeout = Duration::ZERO).contains("every request would fail"));
    assert!(address(Address::Unix("a.sock".into())).contains("`a.sock` is not an absolute path"));
    assert!(address(Address::Unix(format!("/{}", "a".repeat(107)).into())).contains("107 bytes"));
    assert!(address(Address::Tcp("127.0.0.1:0".parse().expect("address"))).contains("has no port"));
    assert!(
        address(Address::Tcp("0.0.0.0:80".parse().expect("address")))
            .contains("no address to connect to")
    );
}

#[test]
fn an_empty_table_is_valid_and_answers_nothing() {
    let router = Router::new(&RoutingTable::default()).expect("valid");
    assert!(router.find(b"h", b"/").is_none());
    assert!(!router.knows_host(b"h"));
}

thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A hash map was asked, or two paths were compared.
pub(super) fn count_step() {
    STEPS.set(STEPS.get() + 1);
}

fn steps(router: &Router, host: &str, path: &str) -> usize {
    STEPS.set(0);
    let _ = router.find(host.as_bytes(), path.as_bytes());
    STEPS.get()
}

#[test]
fn a_look_up_takes_as_many_steps_among_ten_thousand_hosts_as_among_ten() {
    let with = |count: usize| {
        let routes = (0..count).map(|n| {
            let host = format!("h{n}.example.com");
            route(&[&host], "/", to("a"))
        });
        let wildcards = (0..count).map(|n| {
            let host = format!("*.w{n}.example.com");
            route(&[&host], "/", to("b"))
        });
        Router::new(&table(routes.chain(wildcards).collect())).expect("a valid table")
    };
    let (small, large) = (with(10), with(10_000));
    for host in ["h9.example.com", "x.w9.example.com", "nobody.test"] {
        let few = steps(&small, host, "/a/b/c");
        assert_eq!(steps(&large, host, "/a/b/c"), few, "{host}");
        assert!(few <= 3, "{host} took {few} steps");
    }
}

#[test]
fn a_long_list_of_paths_costs_one_step_for_each_segment_that_routes_can_have() {
    let paths: Vec<String> = (0..10_000).map(|n| format!("/section{n}/page")).collect();
    let routes = paths.iter().map(|path| route(&[], path, to("a")));
    let router = Router::new(&table(routes.collect())).expect("a valid table");
    // Two host maps, then the prefixes of the path that are not longer than the longest route.
    assert_eq!(steps(&router, "a.test", "/section7/page"), 2 + 1);
    let deep = format!("/section7{}", "/x".repeat(1000));
    assert!(steps(&router, "a.test", &deep) <= 2 + 16);
}

#[test]
fn ten_thousand_hosts_are_found() {
    let hosts: Vec<String> = (0..10_000).map(|n| format!("h{n}.test")).collect();
    let routes = hosts
        .iter()
        .map(|host| route(&[host], "/", to("a")))
        .collect();
    let router = Router::new(&table(routes)).expect("valid");
    assert!(
        hosts
            .iter()
            .all(|host| router.find(host.as_bytes(), b"/x").is_some())
    );
    assert!(router.find(b"h10000.test", b"/x").is_none());
}

proptest::proptest! {
    #[test]
    fn no_host_or_path_panics(host in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), path in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let routes: Vec<(&[&str], &str)> = vec![(&["a.test"], "/"), (&["*.test"], "/a/b"), (&[], "/")];
        let _ = router(&routes).find(&host, &path);
    }

    #[test]
    fn a_clean_host_is_clean_already(host in "[a-zA-Z0-9_.:\\[\\]-]{0,20}") {
        let (mut first, mut second) = ([0; LONGEST_HOST], [0; LONGEST_HOST]);
        if let Some(once) = clean_host(host.as_bytes(), &mut first) {
            proptest::prop_assert_eq!(clean_host(once, &mut second), Some(once));
        }
    }
}
