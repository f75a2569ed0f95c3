use super::*;

fn hosts(names: &[&str]) -> Hosts {
    let all = names.iter().enumerate().map(|(index, name)| {
        let mut paths = Paths::default();
        assert!(paths.insert("", index));
        ((*name).to_owned(), paths)
    });
    Hosts::new(all.collect()).expect("few hosts")
}

#[test]
fn no_hosts_have_no_places() {
    let none = hosts(&[]);
    assert_eq!(none.find(b"a.test", b"/"), None);
    assert_eq!(none.find(b"", b"/"), None);
    assert!(!none.contains(b"a.test") && none.greeting(b"a.test").is_none());
}

#[test]
fn a_name_is_found_as_a_whole_and_no_other() {
    let known = hosts(&["a.test", "b.test", "a.test.b", "", "ab"]);
    for (index, name) in ["a.test", "b.test", "a.test.b", "", "ab"]
        .iter()
        .enumerate()
    {
        assert_eq!(known.find(name.as_bytes(), b"/x"), Some(index), "{name}");
    }
    for name in ["a.tes", "a.testb", "b", "a", "test"] {
        assert_eq!(known.find(name.as_bytes(), b"/x"), None, "{name}");
    }
}

#[test]
fn names_that_share_a_place_or_a_tag_are_told_apart() {
    // So many that thousands share a place with another, whatever the random numbers are.
    let names: Vec<String> = (0..20_000).map(|n| format!("h{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut known = hosts(&names);
    for (index, name) in names.iter().enumerate() {
        assert_eq!(known.find(name.as_bytes(), b"/"), Some(index));
    }
    // Were the tag of whichever host comes first the stranger's, too, the name would still tell them apart.
    for stranger in ["h20000", "h20001", "h20002", "x", "y"] {
        let hash = hash(&known.random, stranger.as_bytes());
        let at = at(hash, known.places.len());
        known.places[at].tag = hash as u32;
        assert_eq!(known.find(stranger.as_bytes(), b"/"), None, "{stranger}");
    }
}

#[test]
fn a_host_with_several_routes_goes_by_the_path() {
    let mut paths = Paths::default();
    assert!(paths.insert("", 3) && paths.insert("/api", 4));
    let mut only = Paths::default();
    assert!(only.insert("/only", 5));
    let all = [("a".to_owned(), paths), ("b".to_owned(), only)];
    let known = Hosts::new(all.into()).expect("two hosts");
    assert_eq!(known.find(b"a", b"/api/x"), Some(4));
    assert_eq!(known.find(b"a", b"/apix"), Some(3));
    assert_eq!(known.find(b"b", b"/only"), Some(5));
    assert_eq!(known.find(b"b", b"/"), None);
    assert!(known.contains(b"b"));
}
