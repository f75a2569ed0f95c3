//! Frames as they come in.

use super::{Block, Going, PING, Session, Trouble};
use crate::head::{BodyLength, Fault, Fields, HEAD_LIMIT, Head, is_trailer};
use crate::http2::frame::{
    self, Code, FrameHeader, HEADER, MAX_31, PAYLOAD_LIMIT, flag, kind, setting, unpad,
};
use crate::http2::slot::Slot;
use crate::http2::{CONTINUATIONS, MAX_STREAMS, OUTPUT_LIMIT, SMALL_INCREMENT, STREAM_WINDOW};

use Trouble::{Connection, Stream};

/// Largest window (RFC 9113 section 6.9.1).
const MAX_WINDOW: i64 = MAX_31 as i64;

impl Session<'_> {
    /// Carry out all frames that are there as a whole.
    pub(super) fn receive(&mut self, progress: &mut bool) -> Result<(), Code> {
        let mut input = std::mem::take(&mut self.visitor.input);
        let result = loop {
            let Some(header) = FrameHeader::parse(input.data()) else {
                break Ok(());
            };
            if header.length > PAYLOAD_LIMIT {
                break Err(Code::FrameSize);
            }
            let end = HEADER + header.length;
            let Some(payload) = input.data().get(HEADER..end) else {
                break Ok(());
            };
            *progress = true;
            let done = match self.frame(header, payload) {
                Err(Connection(code)) => Err(code),
                Err(Stream(stream, code)) => self.reset(stream, code),
                Ok(()) => Ok(()),
            };
            input.consume(end);
            // What the visitor does not read, it is not sent more of.
            if done.is_err() || self.visitor.output.held() >= OUTPUT_LIMIT {
                break done;
            }
        };
        self.visitor.input = input;
        result
    }

    fn frame(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Trouble> {
        let first = !std::mem::replace(&mut self.settings_seen, true);
        let is_settings = header.kind == kind::SETTINGS && !header.has(flag::ACK);
        if first && !is_settings {
            return Err(Connection(Code::Protocol));
        }
        if self.block.is_some() && header.kind != kind::CONTINUATION {
            return Err(Connection(Code::Protocol));
        }
        let stream = header.stream;
        let of_connection = matches!(header.kind, kind::SETTINGS | kind::PING | kind::GOAWAY);
        let known = header.kind <= kind::CONTINUATION;
        let of_stream = known && !of_connection && header.kind != kind::WINDOW_UPDATE;
        if of_connection && stream != 0 || of_stream && stream == 0 {
            return Err(Connection(Code::Protocol));
        }
        match header.kind {
            kind::DATA => self.data(header, payload),
            kind::HEADERS => self.headers(header, payload),
            kind::CONTINUATION => self.continuation(header, payload),
            kind::SETTINGS => self.settings(header, payload),
            kind::WINDOW_UPDATE => self.window_update(stream, payload),
            kind::RST_STREAM if payload.len() != 4 => Err(Connection(Code::FrameSize)),
            kind::RST_STREAM if stream > self.last => Err(Connection(Code::Protocol)),
            kind::RST_STREAM => {
                let Some(index) = self.find(stream) else {
                    return self.trifle();
                };
                self.forget(index, false);
                if self.resets.take(self.now) {
                    Ok(())
                } else {
                    Err(Connection(Code::EnhanceYourCalm))
                }
            }
            kind::PRIORITY => match payload.first_chunk::<4>() {
                Some(parent) if payload.len() == 5 => {
                    self.trifle()?;
                    if u32::from_be_bytes(*parent) & MAX_31 == stream {
                        return Err(Stream(stream, Code::Protocol));
                    }
                    Ok(())
                }
                _ => Err(Stream(stream, Code::FrameSize)),
            },
            kind::PING if payload.len() != 8 => Err(Connection(Code::FrameSize)),
            kind::PING if header.has(flag::ACK) => {
                if matches!(self.going, Going::Announced(_)) && payload == PING {
                    self.go();
                }
                self.trifle()
            }
            kind::PING => {
                self.answer_due()?;
                self.visitor.output.write_with(|out| {
                    frame::append_header(out, 8, kind::PING, flag::ACK, 0);
                    out.extend_from_slice(payload);
                });
                Ok(())
            }
            kind::GOAWAY if payload.len() < 8 => Err(Connection(Code::FrameSize)),
            kind::GOAWAY => {
                self.peer_going = true;
                self.trifle()
            }
            // Only the edge could push.
            kind::PUSH_PROMISE => Err(Connection(Code::Protocol)),
            _ => self.trifle(),
        }
    }

    /// Something that is allowed, and of no use to anybody in great numbers.
    fn trifle(&mut self) -> Result<(), Trouble> {
        if self.trifles.take(self.now) {
            Ok(())
        } else {
            Err(Connection(Code::EnhanceYourCalm))
        }
    }

    /// Something that has to be answered at once.
    fn answer_due(&mut self) -> Result<(), Trouble> {
        if self.answers.take(self.now) {
            Ok(())
        } else {
            Err(Connection(Code::EnhanceYourCalm))
        }
    }

    fn data(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Trouble> {
        let (stream, length) = (header.stream, payload.len());
        self.receive_window -= length as i64;
        if self.receive_window < 0 {
            return Err(Connection(Code::FlowControl));
        }
        let data = unpad(header, payload).ok_or(Connection(Code::Protocol))?;
        let ended = header.has(flag::END_STREAM);
        if data.is_empty() && !ended {
            self.trifle()?;
        }
        let Some(index) = self.find(stream) else {
            self.give_credit(length);
            if stream > self.last {
                return Err(Connection(Code::Protocol));
            }
            if self.was_reset(stream) == Some(true) {
                return Ok(());
            }
            return Err(Stream(stream, Code::StreamClosed));
        };
        let slot = &mut self.slots[index];
        slot.receive_window -= length as i64;
        let trouble = if slot.remote_ended {
            Some(Code::StreamClosed)
        } else if slot.receive_window < 0 {
            Some(Code::FlowControl)
        } else {
            // A body is exactly as long as was said (RFC 9113 section 8.1.1).
            let left = slot
                .expected
                .map(|left| left.checked_sub(data.len() as u64));
            match left {
                Some(None) => Some(Code::Protocol),
                Some(Some(left)) if ended && left > 0 => Some(Code::Protocol),
                left => {
                    slot.expected = left.flatten();
                    None
                }
            }
        };
        if let Some(code) = trouble {
            self.give_credit(length);
            return Err(Stream(stream, code));
        }
        slot.remote_ended = ended;
        {
            let mut state = slot.pipe.state();
            state.receive(data);
            state.input_ended = ended;
        }
        slot.mark();
        let padding = length - data.len();
        if padding > 0 {
            self.give_stream_credit(index, padding);
        }
        Ok(())
    }

    fn headers(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Trouble> {
        let stream = header.stream;
        if stream.is_multiple_of(2) {
            return Err(Connection(Code::Protocol));
        }
        let mut fragment = unpad(header, payload).ok_or(Connection(Code::Protocol))?;
        let mut circular = false;
        if header.has(flag::PRIORITY) {
            let (priority, rest) = fragment
                .split_first_chunk::<5>()
                .ok_or(Connection(Code::FrameSize))?;
            let [a, b, c, d, _] = *priority;
            circular = u32::from_be_bytes([a, b, c, d]) & MAX_31 == stream;
            fragment = rest;
        }
        let ended = header.has(flag::END_STREAM);
        if header.has(flag::END_HEADERS) {
            return self.list(stream, ended, circular, fragment);
        }
        if fragment.is_empty() {
            self.trifle()?;
        }
        self.block = Some(Block {
            stream,
            ended,
            circular,
            bytes: fragment.to_vec(),
            frames: 0,
            since: self.now,
        });
        Ok(())
    }

    fn continuation(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Trouble> {
        let Some(block) = &mut self.block else {
            return Err(Connection(Code::Protocol));
        };
        if block.stream != header.stream {
            return Err(Connection(Code::Protocol));
        }
        block.frames += 1;
        if block.frames > CONTINUATIONS || block.bytes.len() + payload.len() > HEAD_LIMIT {
            return Err(Connection(Code::EnhanceYourCalm));
        }
        block.bytes.extend_from_slice(payload);
        if header.has(flag::END_HEADERS)
            && let Some(block) = self.block.take()
        {
            return self.list(block.stream, block.ended, block.circular, &block.bytes);
        }
        if payload.is_empty() {
            self.trifle()?;
        }
        Ok(())
    }

    /// A whole header list. It is read in any case, since those that follow depend on it.
    fn list(
        &mut self,
        stream: u32,
        ended: bool,
        circular: bool,
        block: &[u8],
    ) -> Result<(), Trouble> {
        if let Some(index) = self.find(stream) {
            return self.trailers(index, stream, ended, block);
        }
        if stream <= self.last {
            self.skip(block)?;
            return match self.was_reset(stream) {
                // It was on its way when the stream was reset.
                Some(true) => self.trifle(),
                Some(false) => Err(Connection(Code::StreamClosed)),
                None => Err(Connection(Code::Protocol)),
            };
        }
        if matches!(self.going, Going::After(_)) {
            self.skip(block)?;
            return self.trifle();
        }
        self.last = stream;
        let Some(index) = self.free_slot() else {
            self.skip(block)?;
            return Err(Stream(stream, Code::RefusedStream));
        };
        let mut head = Head::default();
        let mut fields = Fields::begin(&mut head);
        let decoded = self
            .decoder
            .decode(block, |name, value| fields.add(&mut head, name, value));
        decoded.map_err(|_| Connection(Code::Compression))?;
        let refusal = match fields.finish(&mut head, ended) {
            _ if circular => return Err(Stream(stream, Code::Protocol)),
            Ok(()) => None,
            Err(Fault::Refused(refusal)) => Some(refusal),
            Err(Fault::Malformed(_)) => return Err(Stream(stream, Code::Protocol)),
        };
        self.ids[index] = stream;
        self.open += 1;
        let slot = &mut self.slots[index];
        slot.busy = true;
        (slot.remote_ended, slot.local_ended, slot.queued) = (ended, false, false);
        slot.send_window = self.initial_window;
        (slot.receive_window, slot.credit) = (STREAM_WINDOW as i64, 0);
        slot.waits_since = None;
        slot.expected = match head.body {
            BodyLength::Fixed(length) => Some(length),
            BodyLength::None if !head.tunnel && refusal.is_none() => Some(0),
            _ => None,
        };
        slot.pipe.state().begin(head, refusal, ended);
        slot.mark();
        Ok(())
    }

    /// Trailers are dropped, but they must end the stream (RFC 9113 section 8.1).
    fn trailers(
        &mut self,
        index: usize,
        stream: u32,
        ended: bool,
        block: &[u8],
    ) -> Result<(), Trouble> {
        let (mut good, mut size) = (true, 0);
        let decoded = self.decoder.decode(block, |name, value| {
            size += name.len() + value.len() + 32;
            good &= size > HEAD_LIMIT || is_trailer(name, value);
        });
        decoded.map_err(|_| Connection(Code::Compression))?;
        let slot = &mut self.slots[index];
        if slot.remote_ended {
            return Err(Stream(stream, Code::StreamClosed));
        }
        if !ended || !good || slot.expected.is_some_and(|left| left > 0) {
            return Err(Stream(stream, Code::Protocol));
        }
        slot.remote_ended = true;
        slot.pipe.state().input_ended = true;
        slot.mark();
        Ok(())
    }

    fn skip(&mut self, block: &[u8]) -> Result<(), Trouble> {
        let decoded = self.decoder.decode(block, |_, _| {});
        decoded.map_err(|_| Connection(Code::Compression))
    }

    fn free_slot(&mut self) -> Option<usize> {
        let free = |index: &usize| self.ids[*index] == 0 && !self.slots[*index].busy;
        if let Some(index) = (0..self.slots.len()).find(free) {
            return Some(index);
        }
        let index = self.slots.len();
        if index == MAX_STREAMS {
            return None;
        }
        let slot = Slot::new(self.shared, &self.connection, &self.ready, index);
        self.slots.push(slot);
        self.ids.push(0);
        Some(index)
    }

    fn settings(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Trouble> {
        if header.has(flag::ACK) {
            return match payload.len() {
                0 => self.trifle(),
                _ => Err(Connection(Code::FrameSize)),
            };
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Connection(Code::FrameSize));
        }
        self.answer_due()?;
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            let good = match u16::from_be_bytes([*a, *b]) {
                setting::ENABLE_PUSH | setting::ENABLE_CONNECT_PROTOCOL => value <= 1,
                setting::MAX_FRAME_SIZE => (16_384..=16_777_215).contains(&value),
                setting::INITIAL_WINDOW_SIZE => {
                    self.resize_windows(value)?;
                    true
                }
                _ => true,
            };
            if !good {
                return Err(Connection(Code::Protocol));
            }
        }
        let output = &mut self.visitor.output;
        output.write_with(|out| frame::append_header(out, 0, kind::SETTINGS, flag::ACK, 0));
        Ok(())
    }

    /// Of the streams that are open, too (RFC 9113 section 6.9.2).
    fn resize_windows(&mut self, value: u32) -> Result<(), Trouble> {
        if value > MAX_31 {
            return Err(Connection(Code::FlowControl));
        }
        let change = i64::from(value) - self.initial_window;
        self.initial_window = i64::from(value);
        for index in 0..self.slots.len() {
            if self.ids[index] != 0 {
                let slot = &mut self.slots[index];
                slot.send_window += change;
                if slot.send_window > MAX_WINDOW {
                    return Err(Connection(Code::FlowControl));
                }
                self.queue(index);
            }
        }
        Ok(())
    }

    fn window_update(&mut self, stream: u32, payload: &[u8]) -> Result<(), Trouble> {
        let &[a, b, c, d] = payload else {
            return Err(Connection(Code::FrameSize));
        };
        let increment = u32::from_be_bytes([a, b, c, d]) & MAX_31;
        if stream > self.last {
            return Err(Connection(Code::Protocol));
        }
        if increment < SMALL_INCREMENT {
            match self.acknowledged.checked_sub(1) {
                Some(left) if increment > 0 => self.acknowledged = left,
                _ => self.trifle()?,
            }
        }
        if stream == 0 {
            if increment == 0 {
                return Err(Connection(Code::Protocol));
            }
            self.send_window += i64::from(increment);
            if self.send_window > MAX_WINDOW {
                return Err(Connection(Code::FlowControl));
            }
            return Ok(());
        }
        let Some(index) = self.find(stream) else {
            return self.trifle();
        };
        if increment == 0 {
            return Err(Stream(stream, Code::Protocol));
        }
        let slot = &mut self.slots[index];
        slot.send_window += i64::from(increment);
        if slot.send_window > MAX_WINDOW {
            return Err(Stream(stream, Code::FlowControl));
        }
        self.queue(index);
        Ok(())
    }
}
