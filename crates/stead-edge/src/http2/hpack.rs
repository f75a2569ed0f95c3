//! Header lists as HPACK packs them (RFC 7541), to be read. What the edge itself says is packed in
//! [`super::encode`], which needs no memory of what it said before.

mod huffman;
mod table;

use table::DynamicTable;
pub(crate) use table::STATIC;

/// The block cannot be read: the connection is lost, since nobody knows the state of the table any more
/// (RFC 9113 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Longest string that is taken, bytes. A longer one would not be a field that anybody accepts.
const STRING_LIMIT: usize = 64 * 1024;

/// Reads the blocks of one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    table: DynamicTable,
    /// Strings that were Huffman-coded, and names on their way from one table entry to another.
    scratch: Vec<u8>,
}

/// Where a string is.
#[derive(Clone, Copy)]
enum Text {
    Block(usize, usize),
    Scratch(usize, usize),
    /// The name of that entry.
    Table(usize),
}

impl Decoder {
    /// Read a whole block; `take` gets each name and value in order.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut take: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Malformed> {
        let mut reader = Reader { block, at: 0 };
        // A change of the table's size comes before the first field (RFC 7541 section 4.2).
        let mut first = true;
        while let Some(&byte) = block.get(reader.at) {
            match byte {
                0x80.. => {
                    let index = reader.number(7)?;
                    let (name, value) = self.table.get(index).ok_or(Malformed)?;
                    take(name, value);
                }
                0x20..0x40 => {
                    let limit = reader.number(5)?;
                    if !first || !self.table.resize(limit) {
                        return Err(Malformed);
                    }
                    continue;
                }
                _ => {
                    let kept = byte & 0x40 != 0;
                    let index = reader.number(if kept { 6 } else { 4 })?;
                    self.scratch.clear();
                    let name = match index {
                        0 => reader.string(&mut self.scratch)?,
                        index => Text::Table(index),
                    };
                    let value = reader.string(&mut self.scratch)?;
                    take(self.text(name, block)?, self.text(value, block)?);
                    if kept {
                        self.keep(name, value, block)?;
                    }
                }
            }
            first = false;
        }
        Ok(())
    }

    fn text<'a>(&'a self, text: Text, block: &'a [u8]) -> Result<&'a [u8], Malformed> {
        match text {
            Text::Block(start, end) => Ok(&block[start..end]),
            Text::Scratch(start, end) => Ok(&self.scratch[start..end]),
            Text::Table(index) => Ok(self.table.get(index).ok_or(Malformed)?.0),
        }
    }

    fn keep(&mut self, name: Text, value: Text, block: &[u8]) -> Result<(), Malformed> {
        let name = match name {
            Text::Table(index) => {
                // The entry may have to go for the new one (RFC 7541 section 4.4).
                let start = self.scratch.len();
                self.scratch
                    .extend_from_slice(self.table.get(index).ok_or(Malformed)?.0);
                Text::Scratch(start, self.scratch.len())
            }
            name => name,
        };
        let text = |text| match text {
            Text::Block(start, end) => &block[start..end],
            Text::Scratch(start, end) => &self.scratch[start..end],
            Text::Table(_) => &[],
        };
        self.table.add(text(name), text(value));
        Ok(())
    }
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.block.get(self.at).copied().ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    /// An integer whose first byte has `prefix` bits of it (RFC 7541 section 5.1).
    fn number(&mut self, prefix: u32) -> Result<usize, Malformed> {
        let most = (1_usize << prefix) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        // Three bytes more are two million: beyond every limit here.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// A string (RFC 7541 section 5.2).
    fn string(&mut self, scratch: &mut Vec<u8>) -> Result<Text, Malformed> {
        let coded = self.block.get(self.at).is_some_and(|byte| byte & 0x80 != 0);
        let length = self.number(7)?;
        let (start, end) = (self.at, self.at + length);
        let bytes = self.block.get(start..end).ok_or(Malformed)?;
        if length > STRING_LIMIT {
            return Err(Malformed);
        }
        self.at = end;
        if !coded {
            return Ok(Text::Block(start, end));
        }
        let start = scratch.len();
        huffman::decode(bytes, scratch).map_err(|_| Malformed)?;
        Ok(Text::Scratch(start, scratch.len()))
    }
}

#[cfg(test)]
mod tests;
