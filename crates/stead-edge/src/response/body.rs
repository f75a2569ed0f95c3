//! The body of a response, framed as its head says.

use std::fs::File;
use std::sync::Arc;

use super::text::append_hex;
use super::{Framing, Response};
use crate::visitor::Output;

impl Response<'_> {
    /// A piece of the body. What goes beyond the length that the head names is dropped: it would be
    /// read as the next response.
    pub(crate) fn body(&mut self, output: &mut Output, bytes: &[u8]) {
        match self.coder.take() {
            None => self.piece(output, bytes),
            Some(mut coder) => {
                // In memory nothing can fail; if it did, the end would be missing, and the visitor would know.
                if coder.write(bytes).is_ok() {
                    self.piece(output, &coder.take());
                    self.coder = Some(coder);
                } else {
                    self.framing = Framing::Broken;
                }
            }
        }
    }

    /// Let the visitor have everything that has come: nothing follows for the moment.
    pub(crate) fn flush(&mut self, output: &mut Output) {
        if let Some(mut coder) = self.coder.take() {
            match coder.flush() {
                Ok(true) => self.piece(output, &coder.take()),
                Ok(false) => {}
                Err(_) => {
                    self.framing = Framing::Broken;
                    return;
                }
            }
            self.coder = Some(coder);
        }
    }

    /// Bytes of the body as the visitor gets them.
    fn piece(&mut self, output: &mut Output, bytes: &[u8]) {
        let bytes = match &mut self.framing {
            Framing::Unknown | Framing::Empty | Framing::Broken => return,
            Framing::Length(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= take as u64;
                &bytes[..take]
            }
            Framing::Chunked | Framing::Close => bytes,
        };
        if bytes.is_empty() {
            return;
        }
        self.length += bytes.len() as u64;
        let chunked = self.framing == Framing::Chunked;
        output.write_with(|out| {
            if chunked {
                append_hex(out, bytes.len() as u64);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(bytes);
            if chunked {
                out.extend_from_slice(b"\r\n");
            }
        });
    }

    /// A part of a file as a piece of the body.
    pub(crate) fn file(&mut self, output: &mut Output, file: Arc<File>, offset: u64, length: u64) {
        let length = match &mut self.framing {
            Framing::Unknown | Framing::Empty | Framing::Broken => return,
            Framing::Length(left) => {
                let take = length.min(*left);
                *left -= take;
                take
            }
            Framing::Chunked | Framing::Close => length,
        };
        if length == 0 {
            return;
        }
        self.length = self.length.saturating_add(length);
        if self.framing == Framing::Chunked {
            output.write_with(|out| {
                append_hex(out, length);
                out.extend_from_slice(b"\r\n");
            });
            output.write_file(file, offset, length);
            output.write(b"\r\n");
        } else {
            output.write_file(file, offset, length);
        }
    }

    /// The body is complete. `false`: it is shorter than the head says, so the visitor's connection must be
    /// cut.
    pub(crate) fn end(&mut self, output: &mut Output) -> bool {
        if let Some(coder) = self.coder.take() {
            match coder.finish() {
                Some(rest) => self.piece(output, &rest),
                None => return false,
            }
        }
        if self.shape.http2 && matches!(self.framing, Framing::Length(0) | Framing::Close) {
            output.end();
        }
        match self.framing {
            Framing::Chunked => {
                output.write(b"0\r\n\r\n");
                true
            }
            Framing::Length(left) => left == 0,
            Framing::Empty | Framing::Close => true,
            Framing::Unknown | Framing::Broken => false,
        }
    }
}
