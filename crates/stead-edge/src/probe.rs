//! Readiness probes: one GET to an instance that serves no visitors yet, in the protocol it speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use stead_model::messages::Probe;
use stead_model::release::Protocol;

use crate::exchange::{Decoder, HttpDecoder};
use crate::forward::{self, Forwarded};
use crate::frames::Connection;
use crate::head::{Head, Parsed};
use crate::response::{Response, Shape};
use crate::upstream::{Stream, Unread};
use crate::visitor::Output;
use crate::{frames, uwsgi};

/// Most bytes of a probe's answer that are read.
const ANSWER_LIMIT: usize = 256 * 1024;

/// Send the probe; the status code, or why there was none.
pub(crate) async fn run(probe: &Probe) -> Result<u16, String> {
    match tokio::time::timeout(probe.timeout, ask(probe)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(late(probe)),
    }
}

/// What is said of a probe that had no answer in time.
pub(crate) fn late(probe: &Probe) -> String {
    format!("no answer within {} ms", probe.timeout.as_millis())
}

async fn ask(probe: &Probe) -> Result<u16, String> {
    let stream = Stream::connect(&probe.address, probe.protocol)
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    let (status, _) = converse(&stream, probe).await?;
    Ok(status)
}

/// Ask over a connection; what comes after the answer is returned, too.
pub(crate) async fn converse(stream: &Stream, probe: &Probe) -> Result<(u16, Unread), String> {
    let request = encode(probe)?;
    if let Some(mailbox) = stream.mailbox() {
        mailbox
            .put(&request)
            .map_err(|error| format!("cannot send: {error}"))?;
    } else {
        let sent = stream.send_all(&request).await;
        sent.map_err(|error| format!("cannot send: {error}"))?;
    }
    let mut decoder = match probe.protocol {
        Protocol::Frames => Decoder::frames(),
        Protocol::Http | Protocol::Uwsgi => Decoder::Http(HttpDecoder::new(false, false)),
    };
    let draining = AtomicBool::new(false);
    let mut response = Response::new(Shape {
        is_head: false,
        http2: false,
        tunnel: false,
        http11: true,
        keep_alive: false,
        draining: &draining,
    });
    let (mut received, mut output) = (Unread::default(), Output::default());
    // The whole answer is awaited: a worker that is cut off in the middle would log it as a failure.
    loop {
        let Unread { bytes, passed } = &mut received;
        let Some(room) = bytes.room(ANSWER_LIMIT) else {
            return Err("its answer's head is too long".into());
        };
        let length =
            std::future::poll_fn(|context| stream.poll_receive(context, room, passed)).await;
        let length = length.map_err(|error| format!("its connection failed: {error}"))?;
        bytes.filled(length);
        loop {
            let complete =
                decoder.decode_whole(&mut received, length == 0, &mut response, &mut output)?;
            if let Some(word) = decoder.take_word() {
                let sent = stream.send_all(&word).await;
                sent.map_err(|error| format!("cannot send: {error}"))?;
            }
            let enough = response.has_begun() && (output.held() > ANSWER_LIMIT || length == 0);
            if complete || enough {
                return Ok((response.status, received));
            }
            if !decoder.has_more() {
                break;
            }
        }
        if length == 0 {
            return Err("it closed the connection instead of answering".into());
        }
        output.clear();
    }
}

fn encode(probe: &Probe) -> Result<Vec<u8>, String> {
    let text = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Stead-Health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        probe.path, probe.host
    );
    let mut head = Head::default();
    match head.parse(text.as_bytes()) {
        Ok(Parsed::Complete(_)) => {}
        _ => {
            return Err(format!(
                "`{}` with the host `{}` is not a request",
                probe.path, probe.host
            ));
        }
    }
    let own = SocketAddr::from(([127, 0, 0, 1], 0));
    let connection = Connection::new(Arc::default(), own, 80, "http");
    let id = forward::new_id();
    let forwarded = Forwarded::new(&head, &connection, &id);
    let mut request = Vec::new();
    match probe.protocol {
        Protocol::Frames => frames::encode_environ(
            &mut request,
            &head,
            &connection,
            &forwarded,
            head.path(),
            None,
        )
        .map_err(|_| "the path is too long".to_owned())?,
        Protocol::Http => forward::append_http_head(&mut request, &head, &forwarded, None, false),
        Protocol::Uwsgi => {
            uwsgi::append_request(&mut request, &head, &connection, &forwarded, head.path(), 0)
                .map_err(|_| "the path is too long".to_owned())?
        }
    }
    Ok(request)
}
