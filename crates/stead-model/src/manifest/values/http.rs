//! What routes add to HTTP: headers, and where redirects lead.

use crate::config_error::Problem;
use crate::manifest::shorten;

/// A token (RFC 9110 section 5.6.2).
fn header_name(text: &str) -> Result<(), Problem> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(token) {
        let shown = shorten(text);
        return Err(Problem::new(format!(
            "`{shown}` is not the name of a header"
        )));
    }
    Ok(())
}

/// Headers on which the framing of a message depends, that are about one connection, or that say how a body is
/// coded.
const FRAMING: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the edge says of a visitor, beside `Forwarded` and `X-Forwarded-*`.
const VISITOR: [&str; 9] = [
    "client-ip",
    "expect",
    "host",
    "proxy",
    "remote-user",
    "true-client-ip",
    "x-client-ip",
    "x-real-ip",
    "x-request-id",
];

fn own(text: &str) -> Problem {
    Problem::new(format!("`{text}` is written by Stead itself"))
}

/// A header that a route may set or remove in responses.
pub(crate) fn response_header(text: &str) -> Result<(), Problem> {
    header_name(text)?;
    if FRAMING.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(own(text));
    }
    Ok(())
}

/// A header that a route may set or remove in requests.
pub(crate) fn request_header(text: &str) -> Result<(), Problem> {
    header_name(text)?;
    let lower = text.to_ascii_lowercase();
    let hyphens: String = lower
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let begins = |with: &str| hyphens.starts_with(with);
    if FRAMING.contains(&hyphens.as_str())
        || VISITOR.contains(&hyphens.as_str())
        || begins("forwarded")
        || begins("x-forwarded")
        || begins("stead-")
    {
        return Err(own(text));
    }
    if hyphens != lower {
        let meant: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        return Err(Problem::new(format!(
            "`{text}` would be the same as another in an app's environment"
        ))
        .hint(format!("with letters, digits and `-`: \"{meant}\"")));
    }
    Ok(())
}

/// The value of a header, on one line.
pub(crate) fn header_value(text: &str) -> Result<(), Problem> {
    if text.len() > 4096 {
        return Err(Problem::new("it is longer than 4096 bytes"));
    }
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Problem::new(format!(
            "`{}` has characters that a header's value cannot have",
            shorten(&text.escape_default().to_string())
        )));
    }
    if text.trim() != text || text.is_empty() {
        return Err(Problem::new("it is empty, or has white space at an end"));
    }
    Ok(())
}

/// Where a path is sent: a path, or a URL of http or https, without a `/` at its end.
pub(crate) fn destination(text: &str) -> Result<String, Problem> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        if text.contains("://") || !text.starts_with('/') {
            return Err(Problem::new(format!(
                "`{}` is neither a path nor a URL of http or https",
                shorten(text)
            ))
            .hint("for example: \"/new\", \"https://docs.example.com\""));
        }
        return super::url_prefix(text);
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    super::host(name, false)?;
    let port = host.strip_prefix(name).unwrap_or_default();
    let port_good = port.is_empty() || port[1..].parse::<u16>().is_ok_and(|port| port > 0);
    if !port_good {
        return Err(Problem::new(format!("`{}` is not a URL", shorten(text))));
    }
    super::url_prefix(path)?;
    Ok(text.trim_end_matches('/').to_owned())
}
