//! The edge's side of the worker protocol (docs/worker-protocol.md): requests become frames with a
//! marshalled `environ`, the worker's frames become a response.

mod environ;

pub(crate) use environ::{Connection, Told, encode_environ, split_port};

/// Longest payload of a frame, bytes.
pub(crate) const PAYLOAD_LIMIT: usize = 0x00ff_ffff;
/// A header of a frame, bytes.
pub(crate) const HEADER: usize = 4;

/// Kinds of frames that the edge sends.
pub(crate) mod request {
    pub(crate) const WHOLE: u8 = 1;
    pub(crate) const STREAMED: u8 = 2;
    pub(crate) const BODY: u8 = 3;
    pub(crate) const END: u8 = 4;
    pub(crate) const ABORT: u8 = 5;
    pub(crate) const ON_CONNECTION: u8 = 6;
    pub(crate) const MEMORY_READ: u8 = 7;
    pub(crate) const MEMORY_UNREADABLE: u8 = 8;
}

/// Kinds of frames that the worker sends.
pub(crate) mod response {
    pub(crate) const HEAD: u8 = 1;
    pub(crate) const BODY: u8 = 2;
    pub(crate) const END: u8 = 3;
    pub(crate) const FILE: u8 = 4;
    pub(crate) const ABORT: u8 = 5;
    pub(crate) const HINTS: u8 = 6;
    pub(crate) const MEMORY: u8 = 7;
}

/// A frame's header.
pub(crate) fn header(kind: u8, length: usize) -> [u8; HEADER] {
    debug_assert!(length <= PAYLOAD_LIMIT);
    (u32::from(kind) << 24 | length as u32).to_le_bytes()
}

/// The kind and payload length that a header says, once its four bytes are there.
pub(crate) fn parse_header(input: &[u8]) -> Option<(u8, usize)> {
    let bytes: [u8; HEADER] = input.get(..HEADER)?.try_into().ok()?;
    let word = u32::from_le_bytes(bytes);
    Some(((word >> 24) as u8, (word & 0x00ff_ffff) as usize))
}

/// Append a body frame (or several).
pub(crate) fn append_body(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(PAYLOAD_LIMIT));
        out.extend_from_slice(&header(request::BODY, piece.len()));
        out.extend_from_slice(piece);
        bytes = rest;
    }
}
