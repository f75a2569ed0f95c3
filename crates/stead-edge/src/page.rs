//! What a visitor sees when the edge itself answers with an error: what happened, and what the
//! visitor can do. Nothing about the machine, the app or the route is told.
//!
//! The page stands alone: no script, no font, no image. Send it with [`CONTENT_SECURITY_POLICY`].

mod accept;
mod text;

use std::borrow::Cow;

pub(crate) use accept::{prefers_json, weight};

/// Fits the page: an inline style and nothing else.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// What is behind a status, where one status has several causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The status says it all.
    General,
    /// 503: the queue is full, or its deadline passed.
    Busy,
    /// 503: no instance is ready yet.
    Starting,
    /// 400: HTTP as it is, where TLS is spoken.
    PlainOverTls,
    /// 503: the operator closed it for a while.
    Maintenance,
}

/// An error's representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// For the Content-Type header. The page depends on Accept: send `Vary: Accept` too.
    pub(crate) content_type: &'static str,
    /// UTF-8.
    pub(crate) body: Vec<u8>,
}

/// The page of an error status. `accept` is the request's Accept header; whoever prefers JSON gets
/// JSON, everybody else HTML. `request_id` is shown so that the operator can find the request; empty: none.
pub(crate) fn page(status: u16, reason: Reason, accept: Option<&[u8]>, request_id: &str) -> Page {
    let text = text::of(status, reason);
    if accept.is_some_and(prefers_json) {
        return Page {
            content_type: "application/json",
            body: json(status, &text, request_id),
        };
    }
    Page {
        content_type: "text/html; charset=utf-8",
        body: html(status, &text, request_id).into_bytes(),
    }
}

/// An operator's own page, for everybody but those who prefer JSON.
pub(crate) fn own(body: &[u8], accept: Option<&[u8]>) -> Option<Page> {
    (!accept.is_some_and(prefers_json)).then(|| Page {
        content_type: "text/html; charset=utf-8",
        body: body.to_vec(),
    })
}

const STYLE: &str = ":root{color-scheme:light dark}\
body{margin:0;min-height:100vh;display:grid;place-items:center;background:#fafaf9;color:#1c1917;\
font:1rem/1.6 system-ui,sans-serif}\
main{max-width:34rem;padding:2rem}\
h1{margin:0 0 .5rem;font-size:1.5rem;line-height:1.3}\
p{margin:.5rem 0}\
footer{margin-top:2rem;color:#78716c;font-size:.875rem;overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{background:#1c1917;color:#f5f5f4}footer{color:#a8a29e}}";

fn html(status: u16, text: &text::Text, request_id: &str) -> String {
    let text::Text {
        title,
        happened,
        advice,
    } = text;
    let reference = match request_id {
        "" => String::new(),
        id => format!(" · Request {}", escape(id)),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p>{happened}</p>\n<p>{advice}</p>\n\
         <footer>Error {status}{reference}</footer>\n</main>\n</body>\n</html>\n"
    )
}

fn json(status: u16, text: &text::Text, request_id: &str) -> Vec<u8> {
    let mut error = serde_json::json!({
        "status": status,
        "title": text.title,
        "detail": text.happened,
        "advice": text.advice,
    });
    if let (Some(error), false) = (error.as_object_mut(), request_id.is_empty()) {
        error.insert("request_id".into(), request_id.into());
    }
    let mut body = serde_json::json!({ "error": error })
        .to_string()
        .into_bytes();
    body.push(b'\n');
    body
}

/// For text between tags and in quoted attributes. Control characters become `\u{fffd}`.
fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || c.is_control();
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests;
