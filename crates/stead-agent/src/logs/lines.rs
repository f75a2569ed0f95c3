//! Bytes from a pipe → lines: lossy UTF-8, capped, without their ends.

/// The longest line that is kept, bytes.
pub(crate) const LONGEST: usize = 16 * 1024;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// Bytes of the line at hand that did not fit.
    cut: usize,
}

impl Lines {
    /// Take a piece of the stream; `line` is called with each line that is complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (head, tail) = bytes.split_at(end);
            self.append(head);
            line(self.take());
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.append(bytes);
    }

    /// The stream has ended: what is left without a line end.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.partial.is_empty() || self.cut > 0).then(|| self.take())
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.partial.len()).min(bytes.len());
        let (kept, cut) = bytes.split_at(room);
        self.partial.extend_from_slice(kept);
        self.cut += cut.len();
    }

    fn take(&mut self) -> String {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        let mut text = String::from_utf8_lossy(&self.partial).into_owned();
        if self.cut > 0 {
            text.push_str(&format!(" … ({} more bytes)", self.cut));
        }
        self.cut = 0;
        self.partial.clear();
        self.partial.shrink_to(4096);
        text
    }
}
