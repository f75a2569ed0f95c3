//! Header lists of responses, packed without Huffman codes and without the dynamic table: a response is then
//! packed where it is made, in any order among the streams, and no stream waits for another's turn.
//! It costs bytes on the way (some 60 a response), and saves the CPU that both sides would spend.

use super::hpack::STATIC;

/// Append `:status`.
pub(crate) fn status(out: &mut Vec<u8>, code: u16) {
    // Static entries of whole fields: RFC 7541 appendix A.
    let index = match code {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digit = |place: u16| b'0' + (code / place % 10) as u8;
            out.extend_from_slice(&[0x08, 3, digit(100), digit(10), digit(1)]);
            return;
        }
    };
    out.push(0x80 | index);
}

/// Append a field, its name in lower case, not to be remembered.
pub(crate) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    self::name(out, name);
    number(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

/// The same for a value of fewer than 127 bytes that is built in place.
pub(crate) fn short_field(out: &mut Vec<u8>, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    self::name(out, name);
    let at = out.len();
    out.push(0);
    value(out);
    let length = out.len() - at - 1;
    debug_assert!(length < 127);
    out[at] = length as u8;
}

fn name(out: &mut Vec<u8>, name: &[u8]) {
    match static_name(name) {
        Some(index) => number(out, 0, 4, index),
        None => {
            number(out, 0, 4, 0);
            number(out, 0, 7, name.len());
            let start = out.len();
            out.extend_from_slice(name);
            out[start..].make_ascii_lowercase();
        }
    }
}

/// An integer after the `first` bits of a byte (RFC 7541 section 5.1).
fn number(out: &mut Vec<u8>, first: u8, prefix: u32, mut number: usize) {
    let most = (1_usize << prefix) - 1;
    if number < most {
        out.push(first | number as u8);
        return;
    }
    out.push(first | most as u8);
    number -= most;
    while number >= 0x80 {
        out.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The static entry whose name it is. Only names of responses are looked for.
fn static_name(name: &[u8]) -> Option<usize> {
    let candidates: &[usize] = match name.len() {
        3 => &[21],
        4 => &[33, 34, 45, 59],
        5 => &[22],
        6 => &[54],
        7 => &[36],
        8 => &[46],
        10 => &[55],
        11 => &[53],
        12 => &[31],
        13 => &[24, 30, 18, 44],
        14 => &[28],
        16 => &[26, 27, 29, 61],
        19 => &[25],
        25 => &[56],
        27 => &[20],
        _ => &[],
    };
    let same = |&&index: &&usize| name.eq_ignore_ascii_case(STATIC[index - 1].0.as_bytes());
    candidates.iter().find(same).copied()
}
