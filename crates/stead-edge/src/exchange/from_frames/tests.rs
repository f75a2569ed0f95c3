use std::sync::atomic::AtomicBool;

use super::*;
use crate::response::Shape;

/// The frame of a piece at `address`.
fn memory(address: u64, length: u64, last: u8) -> Vec<u8> {
    let mut frame = header(kind::MEMORY, 17).to_vec();
    frame.extend_from_slice(&address.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.push(last);
    frame
}

fn body(bytes: &[u8]) -> Vec<u8> {
    [&header(kind::BODY, bytes.len()), bytes].concat()
}

fn receive(unread: &mut Unread, bytes: &[u8]) {
    unread.passed.sender = Some(rustix::process::getpid());
    for piece in bytes.chunks(1024) {
        let room = unread.bytes.room(1 << 20).expect("there is room");
        room[..piece.len()].copy_from_slice(piece);
        unread.bytes.filled(piece.len());
    }
}

/// Decode an answer whose frames are these: whether it is complete, what the worker is told, and the visitor's bytes.
fn decode(frames: &[Vec<u8>]) -> (Result<bool, Failure>, Option<[u8; HEADER]>, Vec<u8>) {
    let draining = AtomicBool::new(false);
    let mut response = Response::new(Shape {
        is_head: false,
        http2: false,
        tunnel: false,
        http11: true,
        keep_alive: true,
        draining: &draining,
    });
    let (mut decoder, mut output) = (FrameDecoder::default(), Output::default());
    let (mut word, mut complete) = (None, Ok(false));
    let mut unread = Unread::default();
    receive(
        &mut unread,
        b"\x1b\x00\x00\x01200 OK\x00Content-Length\x0070000",
    );
    for frame in frames {
        receive(&mut unread, frame);
        loop {
            complete = decoder.decode(&mut unread, &mut response, &mut output);
            word = decoder.take_word().or(word);
            if !decoder.has_more() || complete.is_err() {
                break;
            }
        }
    }
    (complete, word, output.held_bytes())
}

#[test]
fn a_piece_of_memory_is_passed_on_and_its_owner_is_told() {
    let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n % 253) as u8).collect();
    let frame = memory(bytes.as_ptr().addr() as u64, 70_000, 1);
    let (complete, word, output) = decode(&[frame]);
    assert!(matches!(complete, Ok(true)));
    assert_eq!(word, Some(header(request::MEMORY_READ, 0)));
    assert!(output.ends_with(&bytes));
}

#[test]
fn memory_that_cannot_be_read_comes_as_a_body() {
    let bytes = vec![b'x'; 70_000];
    let (complete, word, output) = decode(&[
        memory(8, 70_000, 1),
        body(&bytes),
        header(kind::END, 0).to_vec(),
    ]);
    assert!(matches!(complete, Ok(true)));
    assert_eq!(word, Some(header(request::MEMORY_UNREADABLE, 0)));
    assert!(output.ends_with(&bytes));
}

#[test]
fn an_answer_that_is_for_nobody_is_skipped_and_its_owner_is_told() {
    for frames in [
        vec![memory(8, 70_000, 1)],
        vec![memory(8, 100, 0), header(kind::END, 0).to_vec()],
    ] {
        let (mut decoder, mut unread) = (FrameDecoder::default(), Unread::default());
        receive(&mut unread, &[body(b"before"), frames.concat()].concat());
        assert!(decoder.skip(&mut unread));
        assert_eq!(decoder.take_word(), Some(header(request::MEMORY_READ, 0)));
        assert!(unread.is_empty());
    }
    let whole = memory(8, 70_000, 1);
    for length in 0..whole.len() {
        let (mut decoder, mut unread) = (FrameDecoder::default(), Unread::default());
        receive(&mut unread, &whole[..length]);
        assert!(!decoder.skip(&mut unread));
    }
}

#[test]
fn memory_of_nobody_and_memory_before_the_head_are_nonsense() {
    for (sender, head) in [(None, true), (Some(rustix::process::getpid()), false)] {
        let draining = AtomicBool::new(false);
        let mut response = Response::new(Shape {
            is_head: false,
            http2: false,
            tunnel: false,
            http11: true,
            keep_alive: true,
            draining: &draining,
        });
        let mut unread = Unread::default();
        if head {
            receive(&mut unread, b"\x06\x00\x00\x01200 OK");
        }
        receive(&mut unread, &memory(8, 100, 1));
        unread.passed.sender = sender;
        let decoded =
            FrameDecoder::default().decode(&mut unread, &mut response, &mut Output::default());
        assert!(matches!(decoded, Err(Failure::Broken(_))));
    }
}
