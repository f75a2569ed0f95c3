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
    let (files, writer) = Files::start().unwrap();
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

#[test]
fn a_bucket_lets_through_what_it_holds_and_no_more() {
    let mut bucket = Bucket::new(0.001, 100.0);
    assert!(bucket.take(60));
    assert!(!bucket.take(60));
    assert!(bucket.take(40));
}
