use super::*;

#[test]
fn a_deep_state_directory_gets_a_short_one_for_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir
        .path()
        .join("a-rather-long-name".repeat(5))
        .join(".stead");
    fs::create_dir_all(&state).unwrap();
    let run = RunDir::create(&state).unwrap();
    let path = run.socket(1, "web", 1);
    assert!(!path.starts_with(&state));
    let mode = fs::metadata(&run.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let listener = Listener::bind(&path).unwrap();
    std::os::unix::net::UnixStream::connect(listener.path()).unwrap();
    let parent = run.path.clone();
    drop(listener);
    assert!(!path.exists());
    // A run that was killed: the next one removes what it left.
    std::mem::forget(run);
    let again = RunDir::create(&state).unwrap();
    assert!(!parent.exists());
    drop(again);
    assert!(fs::symlink_metadata(state.join("run")).is_err());
}

#[test]
fn a_long_process_name_gets_a_short_socket_and_none_is_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(dir.path()).unwrap();
    let long = run.socket(1, &"process-".repeat(20), 1);
    let first = Listener::bind(&long).unwrap();
    let second = run.socket(1, &"process-".repeat(20), 1);
    assert_ne!(first.path(), second);
    Listener::bind(&second).unwrap();
    let readable = run.socket(4, "web", 2);
    assert_eq!(readable.file_name().unwrap(), "4.web.2.sock");
}

#[test]
fn what_an_earlier_run_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    fs::write(dir.path().join("run/1.web.1.sock"), "").unwrap();
    let run = RunDir::create(dir.path()).unwrap();
    Listener::bind(&run.socket(1, "web", 1)).unwrap();
}

#[test]
fn a_free_port_is_neither_taken_nor_in_use() {
    let port = free_port(&HashSet::new()).unwrap();
    let _bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let all_but: HashSet<u16> = (20_000..32_000).filter(|p| *p != port).collect();
    let error = free_port(&all_but).unwrap_err();
    assert_eq!(error.to_string(), "no port between 20000 and 32000 is free");
}
