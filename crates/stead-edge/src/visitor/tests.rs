use std::io::Read;

use super::*;

/// A visitor and the other end of its connection.
async fn connected() -> (Visitor, std::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = listener.accept().await.unwrap().0;
    (Visitor::new(Transport::Tcp(socket.into())), other)
}

#[tokio::test]
async fn a_visitor_who_is_always_behind_costs_no_more_than_what_is_held() {
    let (mut visitor, mut other) = connected().await;
    // As for a visitor far away: the kernel takes little.
    let Transport::Tcp(socket) = &mut visitor.transport else {
        panic!("it is a socket");
    };
    let socket = socket2::SockRef::from(&*socket.watch().unwrap());
    socket.set_send_buffer_size(64 * 1024).unwrap();
    let mut read = vec![0; 100_000];
    let (mut written, mut expected) = (0_u64, 0_u64);
    while written < 50_000_000 {
        // Some of it goes, never all.
        let mut pending = false;
        while !pending {
            while !visitor.output.is_full() {
                let piece = (0..8000).flat_map(|at| (written / 8 + at).to_be_bytes());
                let piece: Vec<u8> = piece.collect();
                visitor.output.write(&piece);
                written += piece.len() as u64;
            }
            let flush = |context: &mut Context<'_>| {
                Poll::Ready(visitor.poll_flush(context, &mut false).is_pending())
            };
            pending = std::future::poll_fn(flush).await;
        }
        assert!(!visitor.output.is_empty());
        other.read_exact(&mut read).unwrap();
        for piece in read.chunks(8) {
            assert_eq!(piece, expected.to_be_bytes());
            expected += 1;
        }
        assert!(
            visitor.output.first.0.capacity() < 8 * LIMIT,
            "{} bytes after {written}",
            visitor.output.first.0.capacity()
        );
        tokio::time::sleep(std::time::Duration::from_micros(10)).await;
    }
}

#[tokio::test]
async fn files_and_bytes_arrive_in_order() {
    let (mut visitor, mut other) = connected().await;
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), vec![b'f'; 5_000_000]).unwrap();
    let file = Arc::new(File::open(path.path()).unwrap());
    visitor.output.write(b"one ");
    visitor.output.write_file(Arc::clone(&file), 10, 3_000_000);
    visitor.output.write(b" two ");
    visitor.output.write_file(Arc::clone(&file), 0, 0);
    visitor
        .output
        .write_with(|out| out.extend_from_slice(b"three "));
    visitor.output.write_file(file, 4_999_999, 1);
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        other.read_to_end(&mut all).unwrap();
        all
    });
    std::future::poll_fn(|context| visitor.poll_flush(context, &mut false))
        .await
        .unwrap();
    assert!(visitor.output.is_empty());
    drop(visitor);
    let mut expected = b"one ".to_vec();
    expected.extend(vec![b'f'; 3_000_000]);
    expected.extend_from_slice(b" two three f");
    assert!(reading.join().unwrap() == expected);
}

#[tokio::test]
async fn a_file_that_became_shorter_is_an_error() {
    let (mut visitor, _other) = connected().await;
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), b"short").unwrap();
    let file = Arc::new(File::open(path.path()).unwrap());
    visitor.output.write_file(file, 0, 6);
    let flushed = std::future::poll_fn(|context| visitor.poll_flush(context, &mut false)).await;
    assert_eq!(flushed.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn thousands_of_slow_readers_do_not_fill_the_memory() {
    let piece = vec![0; 32 * 1024];
    let mut slow: Vec<Output> = Vec::new();
    for _ in 0..5000 {
        let mut output = Output::default();
        while !output.is_full() {
            output.write(&piece);
        }
        assert!(output.held() >= piece.len(), "each gets something");
        slow.push(output);
    }
    let all: usize = slow.iter().map(Output::held).sum();
    let most = held::ALL_LIMIT + LIMIT + 5000 * piece.len();
    assert!(all <= most, "{all} bytes");
    // Who leaves makes room.
    drop(slow);
    let mut output = Output::default();
    output.write(&piece);
    assert!(!output.is_full());
}
