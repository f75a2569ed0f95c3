use std::os::unix::fs::PermissionsExt;

use super::*;

fn made(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn now() -> Timestamp {
    "2026-11-26T02:03:04Z".parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

impl Store {
    /// Every certificate, in the order of their names; what is wrong with others.
    fn load(&self) -> io::Result<(Vec<Entry>, Vec<Broken>)> {
        let mut entries = Vec::new();
        let broken = self.reload(&mut entries)?;
        Ok((entries, broken))
    }
}

#[test]
fn a_certificate_comes_back_and_nobody_else_can_read_it() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), None).unwrap();
    let (chain, key) = made("*.example.com");
    let put = store.put(&chain, &key, Some("https://ca"), now()).unwrap();
    assert!(put.stored.id.starts_with("_.example.com.20261126T020304Z."));
    let (entries, broken) = store.load().unwrap();
    assert!(broken.is_empty());
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].stored, put.stored);
    assert_eq!(mode(store.directory()), 0o700);
    assert_eq!(mode(put.chain.parent().unwrap()), 0o700);
    for file in [&put.chain, &put.key] {
        assert_eq!(mode(file), 0o600);
    }
    store.remove(&put.stored.id).unwrap();
    assert!(store.load().unwrap().0.is_empty());
}

#[test]
fn a_broken_entry_costs_only_itself() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), None).unwrap();
    let (chain, key) = made("a.example.com");
    let good = store.put(&chain, &key, None, now()).unwrap();
    let (chain, key) = made("b.example.com");
    let other = store.put(&chain, &key, None, now()).unwrap();
    let folder = other.chain.parent().unwrap();
    for name in [CHAIN, KEY, FACTS] {
        let path = folder.join(name);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, whole.len() / 2] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (entries, broken) = store.load().unwrap();
            assert_eq!(entries.len(), 1, "{name}");
            assert_eq!(entries[0].stored, good.stored);
            assert_eq!(broken.len(), 1);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(store.load().unwrap().1.len(), 1);
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(store.load().unwrap().0.len(), 2);
}

#[test]
fn what_was_left_half_made_is_no_certificate_and_goes() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), None).unwrap();
    let half = store.directory().join(ENTRIES).join(".a.example.com.x");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join(CHAIN), "half").unwrap();
    let (entries, broken) = store.load().unwrap();
    assert!(entries.is_empty() && broken.is_empty());
    store.sweep();
    assert!(!half.exists());
}

#[test]
fn a_store_that_cannot_be_written_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), None).unwrap();
    let (chain, key) = made("a.example.com");
    let good = store.put(&chain, &key, None, now()).unwrap();
    // What stands in the way is a file where a directory is to be: root can write anywhere.
    let entries = store.directory().join(ENTRIES);
    let aside = store.directory().join("aside");
    std::fs::rename(&entries, &aside).unwrap();
    std::fs::write(&entries, "").unwrap();
    assert!(
        store
            .put(&chain, &key, None, now())
            .unwrap_err()
            .starts_with("cannot write")
    );
    std::fs::remove_file(&entries).unwrap();
    std::fs::rename(&aside, &entries).unwrap();
    assert_eq!(store.load().unwrap().0[0].stored, good.stored);
}

#[test]
fn only_entries_that_changed_are_read_again() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), None).unwrap();
    let put = |name: &str| {
        let (chain, key) = made(name);
        store.put(&chain, &key, None, now()).unwrap()
    };
    let (same, changed, gone) = (put("a.example.com"), put("b.example.com"), put("c.test"));
    let (mut entries, _) = store.load().unwrap();
    // What is not read again stays where it is in memory.
    let place = |entries: &[Entry], id: &str| {
        let found = entries.iter().find(|entry| entry.stored.id == id);
        found.map(|entry| (entry.leaf.as_ptr(), entry.stored.names.clone()))
    };
    let before = place(&entries, &same.stored.id).unwrap();
    let (chain, key) = made("other.example.com");
    std::fs::write(&changed.chain, chain).unwrap();
    std::fs::write(&changed.key, key).unwrap();
    store.remove(&gone.stored.id).unwrap();
    let new = put("0.example.com");
    assert!(store.reload(&mut entries).unwrap().is_empty());
    assert_eq!(place(&entries, &same.stored.id).unwrap(), before);
    let changed_now = place(&entries, &changed.stored.id).unwrap();
    assert_eq!(changed_now.1, ["other.example.com"]);
    let ids: Vec<&str> = entries
        .iter()
        .map(|entry| entry.stored.id.as_str())
        .collect();
    let expected = [&new, &same, &changed].map(|entry| entry.stored.id.as_str());
    assert_eq!(ids, expected);
    std::fs::write(&same.key, "").unwrap();
    let broken = store.reload(&mut entries).unwrap();
    assert_eq!(broken.len(), 1);
    assert_eq!(entries.len(), 2);
}

#[test]
fn more_entries_than_one_thread_reads_come_in_the_order_of_their_names() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), None).unwrap();
    let (chain, key) = made("a.example.com");
    let mut ids: Vec<String> = (0..150)
        .map(|_| store.put(&chain, &key, None, now()).unwrap().stored.id)
        .collect();
    ids.sort();
    std::fs::write(store.directory().join(ENTRIES).join(&ids[99]).join(KEY), "").unwrap();
    let (entries, broken) = store.load().unwrap();
    assert_eq!(broken.len(), 1);
    assert!(broken[0].path.ends_with(ids.remove(99)));
    let read: Vec<String> = entries.into_iter().map(|entry| entry.stored.id).collect();
    assert_eq!(read, ids);
}

#[test]
fn readers_pass_to_what_visitors_are_shown_and_to_nothing_else() {
    use std::os::unix::fs::MetadataExt;
    let state = tempfile::tempdir().unwrap();
    let group = std::fs::metadata(state.path()).unwrap().gid();
    let shared = |path: &Path| (mode(path), std::fs::metadata(path).unwrap().gid());
    let (chain, key) = made("a.example.com");
    let now = now();
    // What was kept before anybody was to read it.
    let alone = Store::open(state.path(), None).unwrap();
    let old = alone.put(&chain, &key, None, now).unwrap();
    assert_eq!(mode(alone.directory()), 0o700);
    assert_eq!(mode(&old.key), 0o600);

    let store = Store::open(state.path(), Some(group)).unwrap();
    let new = store.put(&chain, &key, None, now).unwrap();
    for entry in [&old, &new] {
        assert_eq!(shared(&entry.chain), (0o640, group));
        assert_eq!(shared(&entry.key), (0o640, group));
        let directory = entry.key.parent().unwrap();
        assert_eq!(shared(directory), (0o710, group));
        assert_eq!(mode(&directory.join(FACTS)), 0o600);
        assert_eq!(shared(directory.parent().unwrap()), (0o710, group));
    }
    assert_eq!(shared(store.directory()), (0o710, group));
    write_whole(&store.directory().join("attempts.json"), b"{}").unwrap();
    assert_eq!(mode(&store.directory().join("attempts.json")), 0o600);
}
