//! What goes out: each stream that has something to send has its turn of one frame.

use std::mem;
use std::os::unix::fs::FileExt as _;

use super::{RECENT, Session};
use crate::answer::Next;
use crate::http2::frame::{self, Code, PAYLOAD_LIMIT, flag, kind};
use crate::http2::{CONNECTION_WINDOW, OUTPUT_LIMIT, SMALL_INCREMENT, STREAM_WINDOW, response};
use crate::visitor::Piece;

/// What came of a stream's turn.
enum Turn {
    /// It sent so many bytes, and has more.
    Again(usize),
    /// Its own window is shut.
    Shut,
    /// The connection's window is shut.
    AllShut,
    /// Nothing is left.
    Drained,
    /// What it was to send is not there.
    Broken,
}

impl Session<'_> {
    /// The slot of a stream that is open.
    pub(super) fn find(&self, stream: u32) -> Option<usize> {
        self.ids.iter().position(|&id| id == stream)
    }

    /// A stream that has ended: whether the edge has reset it. `None`: not known any more, or never was.
    pub(super) fn was_reset(&self, stream: u32) -> Option<bool> {
        let known = self.recent.iter().rev().find(|(id, _)| *id == stream);
        known.map(|(_, reset)| *reset)
    }

    fn remember(&mut self, stream: u32, reset: bool) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((stream, reset));
    }

    /// Reset a stream. The error: that was one too many.
    pub(super) fn reset(&mut self, stream: u32, code: Code) -> Result<(), Code> {
        let output = &mut self.visitor.output;
        output.write_with(|out| {
            frame::append_number(out, kind::RST_STREAM, stream, code as u32);
        });
        match self.find(stream) {
            Some(index) => self.forget(index, true),
            None if self.was_reset(stream).is_none() => self.remember(stream, true),
            None => {}
        }
        // Also what the visitor made the edge reset: its request may be under way nevertheless.
        if self.resets.take(self.now) {
            Ok(())
        } else {
            Err(Code::EnhanceYourCalm)
        }
    }

    /// The stream is no more; its request hears of it, and the slot is free when that has ended.
    pub(super) fn forget(&mut self, index: usize, reset: bool) {
        let stream = mem::take(&mut self.ids[index]);
        self.remember(stream, reset);
        self.ended();
        let slot = &mut self.slots[index];
        slot.waits_since = None;
        slot.pipe.state().reset = true;
        slot.mark();
    }

    fn ended(&mut self) {
        self.open -= 1;
        if self.open == 0 {
            self.idle_since = self.now;
        }
    }

    /// A request was polled: see what it has done.
    pub(super) fn look_after(&mut self, index: usize) -> Result<(), Code> {
        let slot = &mut self.slots[index];
        let mut state = slot.pipe.state();
        let consumed = mem::take(&mut state.consumed);
        let (answered, waits) = (state.answered, !state.output.is_empty());
        drop(state);
        if self.ids[index] == 0 {
            self.give_credit(consumed);
            if answered.is_some() {
                self.free(index);
            }
            return Ok(());
        }
        if consumed > 0 {
            self.give_stream_credit(index, consumed);
        }
        if answered == Some(Next::Cut) {
            return self.reset(self.ids[index], Code::Internal);
        }
        if waits || answered.is_some() {
            self.queue(index);
        }
        Ok(())
    }

    fn free(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.busy = false;
        let left = slot.pipe.state().discard();
        self.give_credit(left);
    }

    /// It may have something to send, and room for it.
    pub(super) fn queue(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if !mem::replace(&mut slot.queued, true) {
            self.sending.push_back(index);
        }
    }

    /// Give turns until there is enough to write. `true`: anything came of it.
    pub(super) fn fill(&mut self) -> bool {
        let mut any = false;
        while self.visitor.output.held() < OUTPUT_LIMIT {
            let Some(index) = self.sending.pop_front() else {
                break;
            };
            let Some(slot) = self.slots.get_mut(index) else {
                continue;
            };
            slot.queued = false;
            if self.ids[index] == 0 {
                continue;
            }
            match self.turn(index) {
                Turn::Again(length) => {
                    any = true;
                    self.slots[index].advance(length, self.now);
                    self.queue(index);
                }
                Turn::Drained => {
                    any = true;
                    self.drained(index);
                }
                Turn::Shut => {
                    self.slots[index].waits_since.get_or_insert(self.now);
                }
                Turn::AllShut => {
                    self.slots[index].waits_since.get_or_insert(self.now);
                    self.slots[index].queued = true;
                    self.sending.push_front(index);
                    break;
                }
                Turn::Broken => {
                    any = true;
                    // One too many of these is noticed at the next.
                    let _ = self.reset(self.ids[index], Code::Internal);
                }
            }
        }
        any
    }

    fn turn(&mut self, index: usize) -> Turn {
        let stream = self.ids[index];
        let slot = &mut self.slots[index];
        let mut state = slot.pipe.state();
        let source = &mut state.output;
        let output = &mut self.visitor.output;
        let frames = source.frames();
        if !frames.is_empty() {
            slot.local_ended |= response::number(frames, stream);
            output.write(frames);
            source.frames_sent();
        }
        let window = slot.send_window.min(self.send_window);
        let room = usize::try_from(window).unwrap_or(0).min(PAYLOAD_LIMIT);
        let shut = if slot.send_window <= 0 {
            Turn::Shut
        } else {
            Turn::AllShut
        };
        let length = match source.next() {
            Piece::None => 0,
            _ if room == 0 => return shut,
            Piece::Bytes(bytes) => {
                let bytes = &bytes[..bytes.len().min(room)];
                output.write_with(|out| {
                    frame::append_header(out, bytes.len(), kind::DATA, 0, stream);
                    out.extend_from_slice(bytes);
                });
                bytes.len()
            }
            Piece::File(file, offset, left) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(room);
                let mut read = Ok(());
                output.write_with(|out| {
                    let start = out.len();
                    frame::append_header(out, length, kind::DATA, 0, stream);
                    let content = out.len();
                    out.resize(content + length, 0);
                    read = file.read_exact_at(&mut out[content..], offset);
                    if read.is_err() {
                        out.truncate(start);
                    }
                });
                if read.is_err() {
                    return Turn::Broken;
                }
                length
            }
        };
        slot.send_window -= length as i64;
        self.send_window -= length as i64;
        if length > 0 {
            source.advance(length);
            if length < room || length >= SMALL_INCREMENT as usize {
                self.acknowledged = self.acknowledged.saturating_add(2);
            }
        }
        if !source.is_drained() {
            return Turn::Again(length);
        }
        if source.take_end() && !mem::replace(&mut slot.local_ended, true) {
            output.write_with(|out| {
                if length > 0 {
                    let header = out.len() - length - frame::HEADER;
                    out[header + 4] |= flag::END_STREAM;
                } else {
                    frame::append_header(out, 0, kind::DATA, flag::END_STREAM, stream);
                }
            });
        }
        Turn::Drained
    }

    /// All of what a stream had to send was sent.
    fn drained(&mut self, index: usize) {
        let stream = self.ids[index];
        let slot = &mut self.slots[index];
        slot.waits_since = None;
        let mut state = slot.pipe.state();
        if mem::take(&mut state.wants_room) {
            slot.mark();
        }
        if state.answered.is_none() {
            return;
        }
        drop(state);
        // What of the request is on its way is let come in: some clients take a reset for a failure, even
        // when it says that there is none and comes after the answer.
        let window = u64::try_from(slot.receive_window).unwrap_or(0);
        let comes = slot.expected.is_some_and(|left| left <= window);
        let output = &mut self.visitor.output;
        output.write_with(|out| {
            if !slot.local_ended {
                frame::append_header(out, 0, kind::DATA, flag::END_STREAM, stream);
            }
            if !slot.remote_ended && !comes {
                // The rest of the request is not wanted (RFC 9113 section 8.1).
                frame::append_number(out, kind::RST_STREAM, stream, Code::NoError as u32);
            }
        });
        let reset = !slot.remote_ended;
        self.ids[index] = 0;
        self.remember(stream, reset);
        self.ended();
        self.free(index);
    }

    /// So many bytes of the connection's window were used up.
    pub(super) fn give_credit(&mut self, length: usize) {
        self.credit += length;
        if self.credit >= CONNECTION_WINDOW / 8 {
            let credit = mem::take(&mut self.credit);
            self.receive_window += credit as i64;
            let output = &mut self.visitor.output;
            output.write_with(|out| {
                frame::append_number(out, kind::WINDOW_UPDATE, 0, credit as u32);
            });
        }
    }

    /// So many bytes of a stream's window, and of the connection's, were used up.
    pub(super) fn give_stream_credit(&mut self, index: usize, length: usize) {
        self.give_credit(length);
        let slot = &mut self.slots[index];
        slot.credit += length;
        if slot.credit >= STREAM_WINDOW / 2 && !slot.remote_ended {
            let credit = mem::take(&mut slot.credit);
            slot.receive_window += credit as i64;
            let stream = self.ids[index];
            let output = &mut self.visitor.output;
            output.write_with(|out| {
                frame::append_number(out, kind::WINDOW_UPDATE, stream, credit as u32);
            });
        }
    }
}
