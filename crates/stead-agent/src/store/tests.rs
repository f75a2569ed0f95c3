use stead_model::agent::{Origin, ReleaseState};
use stead_model::routing::{InstanceId, RoutingTable};

use super::*;

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.db")).unwrap();
    store.add_app("shop").unwrap();
    (dir, store)
}

#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _store) = open();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    let (dir, mut store) = open();
    let origin = Origin {
        who: "ana@laptop".into(),
        ..Origin::default()
    };
    let number = store.begin_release("shop", "t", &origin, 7, None).unwrap();
    let launch = store.begin_launch("shop", number, 8).unwrap();
    let part = RoutingTable {
        generation: 3,
        ..RoutingTable::default()
    };
    store
        .publish("shop", &part, Some((launch, number)))
        .unwrap();
    store.set_count("shop", "web", Some(3)).unwrap();
    drop(store);
    let store = Store::open(&dir.path().join("state.db")).unwrap();
    assert_eq!(store.serving("shop").unwrap(), Some(launch));
    assert_eq!(store.part("shop").unwrap(), Some(part));
    assert_eq!(store.counts("shop").unwrap()["web"], 3);
    let release = store.release("shop", number).unwrap().unwrap();
    assert_eq!(release.info.state, ReleaseState::Serving);
    assert_eq!(release.info.origin, origin);
}

#[test]
fn one_release_serves_at_a_time() {
    let (_dir, mut store) = open();
    for number in 1..=3 {
        let given = store
            .begin_release("shop", "t", &Origin::default(), 0, None)
            .unwrap();
        assert_eq!(given, number);
        let launch = store.begin_launch("shop", number, 0).unwrap();
        store
            .publish("shop", &RoutingTable::default(), Some((launch, number)))
            .unwrap();
    }
    let states: Vec<ReleaseState> = store
        .releases("shop", 10)
        .unwrap()
        .into_iter()
        .map(|record| record.info.state)
        .collect();
    let (serving, retired) = (ReleaseState::Serving, ReleaseState::Retired);
    assert_eq!(states, [serving, retired, retired]);
    let open: Vec<LaunchState> = store
        .launches("shop")
        .unwrap()
        .into_iter()
        .map(|launch| launch.state)
        .collect();
    assert_eq!(open, [LaunchState::Serving]);
}

#[test]
fn numbers_and_ids_are_never_given_twice() {
    let (_dir, store) = open();
    let first = store.begin_instance("shop", 1, 1, "web", 1).unwrap();
    store.instance_gone(first).unwrap();
    let second = store.begin_instance("shop", 1, 1, "web", 1).unwrap();
    assert_eq!((first, second), (InstanceId(1), InstanceId(2)));
    // Nor when the app was removed and comes again.
    store.remove_app("shop").unwrap();
    store.add_app("shop").unwrap();
    assert_eq!(
        store.begin_instance("shop", 1, 1, "web", 1).unwrap(),
        InstanceId(3)
    );
}

#[test]
fn what_is_remembered_does_not_grow_with_every_deploy() {
    let (dir, mut store) = open();
    let rows = |table: &str| -> i64 {
        let connection = Connection::open(dir.path().join("state.db")).unwrap();
        let count = format!("SELECT count(*) FROM {table}");
        connection.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    // It is about what is there, not about what a power cut leaves of it.
    let quick = "PRAGMA synchronous=OFF";
    store.connection.execute_batch(quick).unwrap();
    // An instance of the first launch is still draining all the while.
    let first = store.begin_launch("shop", 1, 0).unwrap();
    store.begin_instance("shop", first, 1, "web", 1).unwrap();
    store.launch_over(first).unwrap();
    for _ in 0..RELEASES + 5 {
        let origin = Origin::default();
        let number = store.begin_release("shop", "t", &origin, 0, None).unwrap();
        let launch = store.begin_launch("shop", number, 0).unwrap();
        let switch = Some((launch, number));
        store
            .publish("shop", &RoutingTable::default(), switch)
            .unwrap();
    }
    store.forget("shop").unwrap();
    assert_eq!(rows("releases"), RELEASES);
    assert_eq!(rows("launches"), 2);
    let newest = &store.releases("shop", 1).unwrap()[0].info;
    assert_eq!(newest.state, ReleaseState::Serving);
    let number = store
        .begin_release("shop", "t", &Origin::default(), 0, None)
        .unwrap();
    assert_eq!(number, newest.number + 1);
    // What serves is never forgotten, however long it has.
    store.forget("shop").unwrap();
    assert!(store.serving("shop").unwrap().is_some());
}

#[test]
fn a_file_of_a_newer_program_is_refused_and_not_touched() {
    let (dir, store) = open();
    let path = dir.path().join("state.db");
    store
        .connection
        .execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE);")
        .unwrap();
    drop(store);
    let before = std::fs::read(&path).unwrap();
    let failure = Store::open(&path).unwrap_err();
    assert!(failure.cause.contains("a newer Stead"), "{failure}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    let failure = Store::open(&path).unwrap_err();
    assert!(failure.act.contains("state.db"), "{failure}");
    assert!(failure.cause.contains("damaged"), "{failure}");
    assert_eq!(std::fs::read(&path).unwrap(), vec![b'x'; 8192]);
}

#[test]
fn a_step_is_written_down_before_and_after() {
    let (_dir, store) = open();
    let step = store.begin_step("shop", 1, "build", 5).unwrap();
    let read = |column: &str| -> Option<i64> {
        let query = format!("SELECT {column} FROM steps WHERE id = ?1");
        store
            .connection
            .query_row(&query, [step], |row| row.get(0))
            .unwrap()
    };
    assert_eq!((read("began"), read("ended")), (Some(5), None));
    store.end_step(step, 6, Some("no space")).unwrap();
    assert_eq!(read("ended"), Some(6));
}
