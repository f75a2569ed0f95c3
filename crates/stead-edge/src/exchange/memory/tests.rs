use super::*;

fn payload(bytes: &[u8], last: u8) -> Vec<u8> {
    let mut payload = (bytes.as_ptr().addr() as u64).to_le_bytes().to_vec();
    payload.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    payload.push(last);
    payload
}

#[test]
fn bytes_are_read_piece_by_piece_until_all_are_there() {
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let own = rustix::process::getpid();
    let mut memory = Memory::parse(&payload(&bytes, 1), own).expect("it is well-formed");
    let (mut read, mut room) = (Vec::new(), [0; 4096]);
    while !memory.is_done() {
        let length = memory.read(&mut room).expect("a process may read itself");
        read.extend_from_slice(&room[..length]);
    }
    assert_eq!(read, bytes);
    assert!(memory.is_last());
}

#[test]
fn an_address_where_nothing_is_is_an_error() {
    let mut memory = Memory {
        owner: rustix::process::getpid(),
        address: 8,
        left: 16,
        last: false,
    };
    assert!(memory.read(&mut [0; 16]).is_err());
}

#[test]
fn only_a_whole_payload_of_some_bytes_is_taken() {
    let own = rustix::process::getpid();
    let whole = payload(b"bytes", 0);
    for length in 0..whole.len() {
        assert!(Memory::parse(&whole[..length], own).is_none());
    }
    assert!(Memory::parse(&whole, own).is_some());
    assert!(Memory::parse(&[&whole[..], &[0]].concat(), own).is_none());
    assert!(Memory::parse(&payload(b"", 0), own).is_none());
    assert!(Memory::parse(&payload(b"bytes", 2), own).is_none());
    assert!(Memory::parse(&[&[0xff; 16][..], &[0]].concat(), own).is_none());
}
