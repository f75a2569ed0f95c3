//! The tables of HPACK (RFC 7541 section 2.3): the static one, and what the peer has put into the dynamic
//! one, in one piece of memory, so that an entry costs no allocation.

use std::collections::VecDeque;

/// The static table (RFC 7541 appendix A). Index 1 is the first.
#[rustfmt::skip]
pub(crate) const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""),
    ("via", ""), ("www-authenticate", ""),
];

/// What an entry counts beyond its bytes (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;
/// Size of the dynamic table, bytes: the protocol's default, which the edge leaves as it is.
pub(crate) const LIMIT: usize = 4096;

/// The dynamic table.
#[derive(Debug)]
pub(crate) struct DynamicTable {
    /// Newest last. Names and values lie one after the other in `bytes`.
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// How many bytes were dropped from the front of `bytes` so far.
    dropped: usize,
    /// As the protocol counts.
    size: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// As if nothing had ever been dropped.
    start: usize,
    name: u16,
    value: u16,
}

impl Default for DynamicTable {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: Vec::new(),
            dropped: 0,
            size: 0,
            limit: LIMIT,
        }
    }
}

impl DynamicTable {
    /// The entry of that index, counted from the beginning of the static table.
    pub(crate) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some((name, value)) = STATIC.get(index.wrapping_sub(1)) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let age = index.checked_sub(STATIC.len() + 1)?;
        let place = self.entries.len().checked_sub(age + 1)?;
        let entry = self.entries.get(place)?;
        let start = entry.start - self.dropped;
        let middle = start + usize::from(entry.name);
        let end = middle + usize::from(entry.value);
        Some((&self.bytes[start..middle], &self.bytes[middle..end]))
    }

    /// Add an entry; older ones make room. One that is larger than the table empties it.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.shrink(self.limit.saturating_sub(size));
        if size > self.limit {
            return;
        }
        self.compact();
        self.entries.push_back(Entry {
            start: self.dropped + self.bytes.len(),
            name: name.len() as u16,
            value: value.len() as u16,
        });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += size;
    }

    /// The peer uses so much of it from now on. `false`: more than it may.
    pub(crate) fn resize(&mut self, limit: usize) -> bool {
        if limit > LIMIT {
            return false;
        }
        self.limit = limit;
        self.shrink(limit);
        true
    }

    /// Drop the oldest entries until no more than `size` is left.
    fn shrink(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.size -= usize::from(entry.name) + usize::from(entry.value) + OVERHEAD;
        }
    }

    /// Give up what no entry uses any more, when that is worth a move.
    fn compact(&mut self) {
        let end = self.dropped + self.bytes.len();
        let used = self.entries.front().map_or(end, |entry| entry.start);
        if used - self.dropped >= LIMIT {
            self.bytes.drain(..used - self.dropped);
            self.dropped = used;
        }
    }
}
