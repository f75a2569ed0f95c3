//! The Huffman code of header strings (RFC 7541 appendix B).
//!
//! The code is canonical: symbols in order of length, then of value, have codes in a row. So the lengths
//! say everything, and the tables are made of them when this is compiled.

/// Length of each symbol's code, bits. The last one is the end of a string, which is never sent.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11,
    10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8,
    15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5,
    6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25,
    26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The longest code, bits.
const LONGEST: usize = 30;
/// The end of a string, as a symbol.
const END: u16 = 256;

struct Tables {
    /// For eight bits: the symbol that they begin with and its length; length 0 when it is longer.
    short: [(u8, u8); 256],
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length: the first code, where its symbol is in `symbols`, and how many there are.
    groups: [(u32, u16, u16); LONGEST + 1],
}

static TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut tables = Tables {
        short: [(0, 0); 256],
        symbols: [0; 257],
        groups: [(0, 0, 0); LONGEST + 1],
    };
    let (mut length, mut code, mut place) = (1, 0_u32, 0);
    while length <= LONGEST {
        tables.groups[length] = (code, place as u16, 0);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                tables.symbols[place] = symbol as u16;
                tables.groups[length].2 += 1;
                place += 1;
                if length <= 8 {
                    let first = (code << (8 - length)) as usize;
                    let mut at = first;
                    while at < first + (1 << (8 - length)) {
                        tables.short[at] = (symbol as u8, length as u8);
                        at += 1;
                    }
                }
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
        code <<= 1;
    }
    tables
}

/// The string is not a sequence of codes with less than a byte of ones after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Append what `input` stands for; at most 8/5 of its length.
pub(crate) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    // The bits not used yet, from the highest down; `count` of them count.
    let (mut bits, mut count, mut at) = (0_u64, 0_u32, 0);
    loop {
        while count <= 56 && at < input.len() {
            bits |= u64::from(input[at]) << (56 - count);
            count += 8;
            at += 1;
        }
        let (mut symbol, mut length) = TABLES.short[(bits >> 56) as usize];
        if length == 0 {
            (symbol, length) = long(bits).ok_or(Malformed)?;
        }
        let length = u32::from(length);
        if length > count {
            break;
        }
        out.push(symbol);
        bits <<= length;
        count -= length;
    }
    // What is left must be the beginning of the end's code, which is all ones.
    if count < 8 && bits.leading_ones() >= count {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// A code of more than eight bits. `None`: the end of a string.
fn long(bits: u64) -> Option<(u8, u8)> {
    for length in 9..=LONGEST {
        let code = (bits >> (64 - length)) as u32;
        let (first, place, number) = TABLES.groups[length];
        let offset = code.wrapping_sub(first);
        if offset < u32::from(number) {
            let symbol = TABLES.symbols[usize::from(place) + offset as usize];
            return (symbol != END).then_some((symbol as u8, length as u8));
        }
    }
    None
}

#[cfg(test)]
pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = Vec::new();
    for &byte in text {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let (first, place, _) = TABLES.groups[length];
        let place = usize::from(place);
        let offset = TABLES.symbols[place..]
            .iter()
            .position(|&symbol| symbol == u16::from(byte));
        let code = first + offset.unwrap() as u32;
        bits.extend((0..length).rev().map(|bit| (code >> bit & 1) as u8));
    }
    while bits.len() % 8 != 0 {
        bits.push(1);
    }
    bits.chunks(8)
        .map(|chunk| chunk.iter().fold(0, |byte, bit| byte << 1 | bit))
        .collect()
}
