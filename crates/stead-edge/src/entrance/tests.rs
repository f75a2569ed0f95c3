use super::*;

fn entrance(trusted: &[&str], connections: Option<u32>) -> Entrance {
    let edge = Edge {
        trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
        connections,
        ..Edge::default()
    };
    Entrance::new(&Settings::default(), &edge)
}

#[test]
fn private_addresses_have_a_limit_when_one_was_said_and_trusted_ones_never() {
    let limit = |entrance: &Entrance, address: &str| entrance.connections(address.parse().unwrap());
    let said = entrance(&["203.0.113.0/24", "10.0.0.0/8"], Some(7));
    let silent = entrance(&["203.0.113.0/24"], None);
    for (address, of_said, of_silent) in [
        ("203.0.113.9", None, None),
        ("::ffff:203.0.113.9", None, None),
        ("10.0.0.1", None, None),
        ("127.0.0.1", Some(7), None),
        ("::1", Some(7), None),
        ("198.51.100.7", Some(7), Some(CONNECTIONS)),
        ("2001:db8::7", Some(7), Some(CONNECTIONS)),
    ] {
        assert_eq!(limit(&said, address), of_said, "{address}");
        assert_eq!(limit(&silent, address), of_silent, "{address}");
    }
}

#[test]
fn times_that_are_not_said_are_those_that_the_edge_was_started_with() {
    let edge = Edge {
        idle_timeout: Some(Duration::from_secs(3)),
        ..Edge::default()
    };
    let settings = Settings::default();
    let entrance = Entrance::new(&settings, &edge);
    assert_eq!(entrance.idle_timeout, Duration::from_secs(3));
    assert_eq!(entrance.header_timeout, settings.header_timeout);
    assert_eq!(entrance.stall_timeout, settings.stall_timeout);
}
