use super::*;

#[test]
fn a_tree_is_children_and_sessions_and_never_everything() {
    let process = |pid, parent, session| Process {
        pid,
        parent,
        session,
        zombie: pid == 14,
    };
    let all = [
        process(1, 0, 1),
        process(10, 1, 10),
        process(11, 10, 10),
        process(12, 11, 12),
        // Its parent is gone, its session is not.
        process(13, 1, 10),
        process(14, 10, 10),
        process(20, 1, 20),
    ];
    assert_eq!(tree(&all, 10), [10, 11, 12, 13]);
    assert_eq!(tree(&all, 1), [0; 0]);
    assert_eq!(tree(&all, 0), [0; 0]);
}

#[test]
fn this_process_is_found_as_it_is() {
    let own = read(std::process::id() as i32).unwrap();
    assert!(!own.zombie);
    assert!(
        all()
            .iter()
            .any(|p| p.pid == own.pid && p.parent == own.parent)
    );
    assert!(read(i32::MAX).is_none());
}

#[test]
fn a_marker_is_found_whole_or_not_at_all() {
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .env("STEAD_PROCESSES_TEST", "abc")
        .spawn()
        .unwrap();
    let pid = child.id() as i32;
    // It has forked, but perhaps not become the other program yet.
    while !has_marker(pid, b"STEAD_PROCESSES_TEST=abc") {
        std::thread::sleep(Duration::from_millis(5));
    }
    for other in [
        "STEAD_PROCESSES_TEST=ab",
        "STEAD_PROCESSES_TEST=abcd",
        "STEAD_PROCESSES_TEST=",
        "",
        "=",
    ] {
        assert!(!has_marker(pid, other.as_bytes()), "{other}");
    }
    let belonging = Belonging {
        marker: "STEAD_PROCESSES_TEST=abc".into(),
        ..Belonging::default()
    };
    assert_eq!(belonging.members(), [pid]);
    assert_eq!(belonging.end(Duration::from_secs(10)), 0);
    assert!(!child.wait().unwrap().success());
    assert!(Belonging::default().members().is_empty());
}
