//! A response that nobody waits for any more.

use std::task::Context;

use super::Decoder;
use crate::buffer::SIZE;
use crate::upstream::{Stream, Unread};

/// Where the reading of a response stopped that nobody waits for any more.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(super) decoder: Decoder,
    pub(super) received: Unread,
}

impl Rest {
    /// Of a response of Stead's own worker that nobody has begun to read, before which `received` has come.
    pub(crate) fn unread(received: Unread) -> Self {
        Self {
            decoder: Decoder::frames(),
            received,
        }
    }

    /// Read the response to its end, for nobody; what follows it is then the stream's. `false`: it does not end.
    pub(crate) async fn skip(mut self, stream: &mut Stream) -> bool {
        let Decoder::Frames(decoder) = &mut self.decoder else {
            return false;
        };
        loop {
            let ended = decoder.skip(&mut self.received);
            if let Some(word) = decoder.take_word()
                && stream.send_all(&word).await.is_err()
            {
                return false;
            }
            if ended {
                break;
            }
            let Unread { bytes, passed } = &mut self.received;
            let Some(room) = bytes.room(SIZE) else {
                return false;
            };
            let receive = |context: &mut Context<'_>| stream.poll_receive(context, room, passed);
            match std::future::poll_fn(receive).await {
                Ok(length) if length > 0 => bytes.filled(length),
                _ => return false,
            }
        }
        self.received.bytes.rest();
        stream.unread = self.received;
        true
    }
}
