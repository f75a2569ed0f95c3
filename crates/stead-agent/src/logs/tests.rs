use super::*;

fn cut(pieces: &[&[u8]]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut all = Vec::new();
    for piece in pieces {
        lines.push(piece, |line| all.push(line));
    }
    all.extend(lines.finish());
    all
}

#[test]
fn lines_are_cut_wherever_the_pieces_end() {
    assert_eq!(cut(&[b"a\nb", b"", b"c\r", b"\n\nd"]), ["a", "bc", "", "d"]);
    assert_eq!(
        cut(&[b"caf\xe9\n", b"\xff\xfe"]),
        ["caf\u{fffd}", "\u{fffd}\u{fffd}"]
    );
    assert_eq!(cut(&[]), [""; 0]);
}

#[test]
fn a_long_line_is_capped_in_memory_too() {
    let piece = vec![b'x'; 100_000];
    let lines = cut(&[&piece, &piece, b"\nnext\n"]);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with(&format!("x … ({} more bytes)", 200_000 - lines::LONGEST)));
    assert_eq!(lines[1], "next");
}

#[test]
fn files_are_put_aside_and_the_oldest_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.1.log");
    let (files, writer) = Files::start(unbounded_channel().0).unwrap();
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..45 {
        while !files.append(&file, piece.clone()) {
            std::thread::yield_now();
        }
    }
    drop(files);
    writer.join().unwrap();
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).map_or(0, |m| m.len());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    assert_eq!(size("web.1.log.1"), 11_000_000);
    assert_eq!(size("web.1.log.2"), 11_000_000);
    assert_eq!(size("web.1.log"), 1_000_000);
}

/// Where nothing can be written: a file that is a link to `/dev/full`, as a full disk is (full(4)).
#[test]
fn lines_that_find_no_room_are_counted_and_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.1.log");
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let (reports, mut notes) = unbounded_channel();
    let (files, writer) = Files::start(reports).unwrap();
    let append = |file: &std::path::Path, text: &str| {
        while !files.append(file, text.into()) {
            std::thread::yield_now();
        }
    };
    let mut note = || match notes.blocking_recv() {
        Some(Report::Note { source, text, .. }) => format!("{source}: {text}"),
        other => panic!("{other:?}"),
    };
    append(&file, "one\ntwo\n");
    append(&file, "three\n");
    let first = note();
    assert!(
        first.starts_with("web.1: its lines cannot be kept in "),
        "{first}"
    );
    assert!(first.contains(": no space left on device; "), "{first}");
    // Pieces are taken in order: when this one is there, those before it have found no room.
    let other = dir.path().join("web.2.log");
    append(&other, "other\n");
    while !other.exists() {
        std::thread::yield_now();
    }
    std::fs::remove_file(&file).unwrap();
    append(&file, "four\n");
    let second = note();
    assert_eq!(
        second,
        "web.1: its log is kept again; 3 lines are missing in it"
    );
    drop(files);
    writer.join().unwrap();
    let kept = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        kept,
        "[stead: 3 lines were not kept: no space left on device]\nfour\n"
    );
}

#[test]
fn a_bucket_lets_through_what_it_holds_and_no_more() {
    let mut bucket = Bucket::new(0.001, 100.0);
    assert!(bucket.take(60));
    assert!(!bucket.take(60));
    assert!(bucket.take(40));
}
