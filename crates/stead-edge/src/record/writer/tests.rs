use std::fs;

use super::*;

const SHORT: Duration = Duration::from_secs(60);

fn log(path: &Path, most: u64) -> Log {
    let mut log =
        Log::open(path.to_owned(), Format::Combined, most, Arc::default()).expect("opened");
    log.looking = Duration::ZERO;
    log
}

fn dropped(log: &Log) -> u64 {
    log.counts.dropped.load(Ordering::Relaxed)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("readable")
}

#[test]
fn lines_of_several_threads_arrive_whole() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    let writer = Writer::start(path.clone(), Format::Json, u64::MAX).expect("started");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let handle = writer.handle();
            scope.spawn(move || {
                let mut lines = Vec::new();
                for number in 0..100 {
                    lines.extend_from_slice(format!("{thread} {number}\n").as_bytes());
                    handle.submit(&mut lines);
                    assert!(lines.is_empty());
                }
                handle.submit(&mut lines);
            });
        }
    });
    assert!(writer.close(SHORT));
    let text = read(&path);
    assert_eq!(text.lines().count(), 400);
    for thread in 0..4 {
        let own = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{thread} ")));
        assert!(own.eq((0..100).map(|number: i32| number.to_string())));
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_told_at_the_start() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("nothing/access.log");
    assert!(Writer::start(path, Format::Json, 1).is_err());
}

#[test]
fn a_rotated_or_removed_file_is_opened_anew() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    let mut log = log(&path, u64::MAX);
    log.put(b"one\n");
    fs::rename(&path, place.path().join("rotated")).expect("renamed");
    log.put(b"two\n");
    assert_eq!(read(&path), "two\n");
    assert_eq!(read(&place.path().join("rotated")), "one\n");
    fs::remove_file(&path).expect("removed");
    log.put(b"three\n");
    assert_eq!(read(&path), "three\n");
    assert_eq!(dropped(&log), 0);
}

#[test]
fn the_file_is_capped_and_one_old_one_is_kept() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    let mut log = log(&path, 20);
    for number in 0..10 {
        log.put(format!("line {number}\n").as_bytes());
        assert!(fs::metadata(&path).expect("there").len() <= 20);
    }
    assert_eq!(read(&path), "line 8\nline 9\n");
    assert_eq!(read(&place.path().join("access.log.1")), "line 6\nline 7\n");
    assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 2);
}

#[test]
fn a_file_that_cannot_be_rotated_does_not_grow() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    fs::create_dir_all(place.path().join("access.log.1/x")).expect("a folder in the way");
    let mut log = log(&path, 20);
    for _ in 0..10 {
        log.put(b"a line\n");
    }
    assert_eq!(read(&path), "a line\n".repeat(2));
    assert_eq!(dropped(&log), 8);
    fs::remove_dir_all(place.path().join("access.log.1")).expect("removed");
    log.put(b"again\n");
    let expected = "# 8 requests before this line are not recorded here\nagain\n";
    assert_eq!(read(&path), expected);
}

#[test]
fn a_full_disk_costs_lines_and_their_number_is_told() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
    let mut log = log(&path, u64::MAX);
    log.put(b"one\ntwo\n");
    log.put(b"three\n");
    assert_eq!(dropped(&log), 3);
    fs::remove_file(&path).expect("removed");
    log.put(b"four\n");
    assert_eq!(
        read(&path),
        "# 3 requests before this line are not recorded here\nfour\n"
    );
    assert_eq!(dropped(&log), 0);
}

#[test]
fn after_a_failure_the_disk_is_left_alone_for_a_while() {
    let mut log = log(Path::new("/dev/full"), u64::MAX);
    log.looking = SHORT;
    log.put(b"one\n");
    let failed = log.failed.expect("it failed");
    log.put(b"two\n");
    assert_eq!((log.failed, dropped(&log)), (Some(failed), 2));
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    fs::write(&path, "whole\nhal").expect("written");
    let mut log = log(&path, u64::MAX);
    log.put(b"next\n");
    assert_eq!(read(&path), "whole\nhal\nnext\n");
}

#[test]
fn the_number_of_dropped_lines_is_json_in_a_json_log() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    let mut log = log(&path, u64::MAX);
    log.format = Format::Json;
    log.counts.drop_lines(b"a\nb\n");
    log.put(b"{}\n");
    assert_eq!(read(&path), "{\"dropped\":2}\n{}\n");
}

#[test]
fn more_than_the_queue_holds_is_dropped_without_waiting() {
    let (queue, lines) = channel();
    let handle = Handle {
        queue,
        counts: Arc::default(),
    };
    let batch = b"0123456\n".repeat(128 * 1024);
    for _ in 0..6 {
        handle.submit(&mut batch.clone());
    }
    assert_eq!(lines.try_iter().count(), 4);
    assert_eq!(handle.dropped(), 2 * 128 * 1024);
    assert_eq!(handle.dropped_ever(), 2 * 128 * 1024);
    assert_eq!(handle.counts.waiting.load(Ordering::Relaxed), LONGEST_QUEUE);
}

#[test]
fn a_pipe_that_nobody_reads_is_not_waited_for() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe");
    assert!(Writer::start(path.clone(), Format::Json, 1).is_err());
    let reader = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .expect("opened");
    let mut log = log(&path, 1);
    let batch = b"0123456\n".repeat(16 * 1024);
    log.put(&batch);
    assert!(dropped(&log) > 0);
    drop(reader);
    log.put(b"x\n");
}

#[test]
fn of_two_edges_that_write_to_one_file_only_one_renames_it() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("access.log");
    // Neither looks at the file on its own: both find out when they are about to rename it.
    let [mut old, mut new] = [1000, 1000].map(|most| {
        let mut log = log(&path, most);
        log.looking = SHORT;
        log
    });
    let batch = |edge: &str, number: usize| format!("{edge} {number} {}\n", "x".repeat(592));
    for number in 0..2 {
        old.put(batch("old", number).as_bytes());
        new.put(batch("new", number).as_bytes());
    }
    let texts = read(&old_name(&path)) + &read(&path);
    let heads: Vec<&str> = texts.lines().map(|line| &line[..5]).collect();
    assert_eq!(heads, ["old 0", "new 0", "old 1", "new 1"]);
    assert_eq!((dropped(&old), dropped(&new)), (0, 0));
    // And the next time, whoever comes first.
    new.put(batch("new", 2).as_bytes());
    assert_eq!(read(&path).lines().count(), 1);
    assert_eq!(read(&old_name(&path)).lines().count(), 2);
}
