use jiff::Timestamp;

use super::*;

fn stored(id: &str, names: &[&str], ends: &str) -> Stored {
    Stored {
        id: id.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        begins: Timestamp::UNIX_EPOCH,
        ends: ends.parse().unwrap(),
        directory: None,
    }
}

#[test]
fn what_is_found_by_name_is_what_covers_the_host() {
    let all = [
        stored("a", &["a.example.com"], "2026-01-01T00:00:00Z"),
        stored("both", &["a.example.com", "b.test"], "2026-02-01T00:00:00Z"),
        stored("wild", &["*.example.com"], "2026-03-01T00:00:00Z"),
        stored("none", &[], "2027-01-01T00:00:00Z"),
    ];
    let by_name = ByName::new(&all);
    for host in [
        "a.example.com",
        "z.example.com",
        "example.com",
        "a.b.example.com",
        "*.example.com",
        "b.test",
        "test",
        "",
    ] {
        let mut found: Vec<&str> = by_name.covering(host).map(|one| one.id.as_str()).collect();
        found.sort_unstable();
        let covering = all.iter().filter(|one| one.covers(host));
        let covering: Vec<&str> = covering.map(|one| one.id.as_str()).collect();
        assert_eq!(found, covering, "{host}");
    }
}

#[test]
fn a_certificate_is_replaced_by_one_for_all_its_hosts_that_lasts_longer() {
    let all = [
        stored("a", &["a.example.com"], "2026-01-01T00:00:00Z"),
        stored("both", &["a.example.com", "b.test"], "2026-02-01T00:00:00Z"),
        stored("wild", &["*.example.com"], "2026-03-01T00:00:00Z"),
        stored("none", &[], "2025-01-01T00:00:00Z"),
    ];
    let by_name = ByName::new(&all);
    let replaced: Vec<&str> = all
        .iter()
        .filter(|one| by_name.is_replaced(one))
        .map(|one| one.id.as_str())
        .collect();
    assert_eq!(replaced, ["a"]);
}
