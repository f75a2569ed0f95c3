//! What is claimed of header lists of HTTP/2.

use crate::head::{BodyLength, Fields, Head, Parsed};
use crate::http2::hpack::Decoder;

/// A list that is taken for a request is the same request when it is written as HTTP/1.1.
pub(super) fn header_list(input: &[u8]) {
    let mut head = Head::default();
    let mut fields = Fields::begin(&mut head);
    let decoded =
        Decoder::default().decode(input, |name, value| fields.add(&mut head, name, value));
    if decoded.is_err() || fields.finish(&mut head, false).is_err() || head.tunnel {
        return;
    }
    let mut text = [head.method(), b" ", head.target(), b" HTTP/1.1\r\n"].concat();
    for (name, value) in head.headers() {
        text.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let mut again = Head::default();
    assert_eq!(again.parse(&text), Ok(Parsed::Complete(text.len())));
    assert_eq!(again.method(), head.method());
    assert_eq!((again.path(), again.query()), (head.path(), head.query()));
    assert_eq!(again.host(), head.host());
    assert!(again.headers().eq(head.headers()));
    match head.body {
        // Where a stream ends, HTTP/1.1 would have to say so.
        BodyLength::Open => assert_eq!(again.body, BodyLength::None),
        body => assert_eq!(again.body, body),
    }
}
