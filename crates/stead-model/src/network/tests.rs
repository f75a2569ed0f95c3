use super::*;

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

#[test]
fn a_network_has_exactly_its_addresses() {
    for (text, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("0.0.0.0/0", "203.0.113.9", "::1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
        ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
        ("::/0", "2001:db8::", "192.0.2.7"),
        ("::1", "::1", "::2"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.0/24", "::ffff:192.0.2.9", "::ffff:192.0.3.9"),
    ] {
        let network = network(text);
        assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
        assert!(
            !network.contains(outside.parse().unwrap()),
            "{text} {outside}"
        );
    }
}

#[test]
fn what_is_no_network_is_refused() {
    for text in [
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/008888",
        "::/129",
        "10.0.0",
        "a.example",
        "[::1]",
        "10.0.0.0/8/8",
    ] {
        assert_eq!(text.parse::<Network>(), Err(NetworkError::Form), "{text}");
    }
    assert_eq!(
        "10.1.0.0/8".parse::<Network>(),
        Err(NetworkError::HostBits(network("10.0.0.0/8")))
    );
}

#[test]
fn a_network_is_read_as_it_is_written() {
    for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"] {
        assert_eq!(network(text).to_string(), text);
    }
    assert_eq!(Network::private().len(), PRIVATE.len());
    for (address, private) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("172.16.0.1", true),
        ("172.32.0.1", false),
        ("192.168.7.7", true),
        ("::1", true),
        ("fd00::7", true),
        ("::ffff:10.0.0.1", true),
        ("203.0.113.7", false),
        ("2001:db8::7", false),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(Network::is_private(address), private, "{address}");
        assert_eq!(Network::any(&Network::private(), address), private);
    }
}
