//! What routes add to HTTP: headers, and where redirects lead.

use crate::config_error::Problem;
use crate::manifest::shorten;
use crate::network::{Network, NetworkError};

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

/// A name for basic authentication (RFC 7617 section 2): no colon, nothing that a log would show otherwise.
pub(crate) fn user_name(text: &str) -> Result<(), Problem> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b":\"\\".contains(&byte));
    if fits {
        return Ok(());
    }
    Err(Problem::new(format!(
        "`{}` is not a user's name: up to 64 visible ASCII characters without `:`, `\"` and `\\`",
        shorten(text)
    )))
}

/// `$2b$10$…`: bcrypt in the modular crypt format, as `htpasswd -B` writes it.
pub(crate) fn password_hash(text: &str) -> Result<(), Problem> {
    let hint = "`stead password` makes one, and so does `htpasswd -nB NAME`";
    let bad = |why: &str| Err(Problem::new(why).hint(hint));
    let mut parts = text.split('$').skip(1);
    let (kind, cost, rest) = (parts.next(), parts.next(), parts.next());
    if !text.starts_with('$') || parts.next().is_some() {
        // It may be a password in the clear, which errors do not repeat.
        return bad("it is not a bcrypt hash");
    }
    if !matches!(kind, Some("2a" | "2b" | "2y")) {
        return bad("it is not a bcrypt hash, which begins with `$2b$` or `$2y$`");
    }
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    if !rest.is_some_and(|rest| rest.len() == 53 && rest.bytes().all(base64)) {
        return bad("it is not a whole bcrypt hash, which has 60 characters");
    }
    let cost = cost.filter(|cost| cost.len() == 2);
    match cost.and_then(|cost| cost.parse::<u32>().ok()) {
        Some(4..=14) => Ok(()),
        _ => bad("its cost is not between 04 and 14"),
    }
}

/// `"404"` or `"5xx"`.
pub(crate) fn error_status(text: &str) -> Result<(), Problem> {
    let fits = match text.as_bytes() {
        [b'4' | b'5', b'x', b'x'] => true,
        [b'4' | b'5', a, b] => a.is_ascii_digit() && b.is_ascii_digit(),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(
        Problem::new(format!("`{}` is not the status of an error", shorten(text)))
            .hint("a status or a class: \"404\", \"4xx\", \"5xx\""),
    )
}

/// An address, a network, or `private`.
pub(crate) fn networks(text: &str) -> Result<Vec<Network>, Problem> {
    if text == "private" {
        return Ok(Network::private());
    }
    match text.parse() {
        Ok(network) => Ok(vec![network]),
        Err(NetworkError::HostBits(meant)) => Err(Problem::new(format!(
            "`{}` has bits beyond its length",
            shorten(text)
        ))
        .hint(format!("\"{meant}\""))),
        Err(NetworkError::Form) => Err(Problem::new(format!(
            "`{}` is neither an address nor a network",
            shorten(text)
        ))
        .hint("for example: \"10.0.0.0/8\", \"2001:db8::7\", or \"private\"")),
    }
}

/// `"*.woff2"` or `"/assets/*"`.
pub(crate) fn cache_pattern(text: &str) -> Result<(), Problem> {
    let shown = shorten(text);
    if text.is_empty() || text.len() > 200 || !text.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
    {
        return Err(Problem::new(format!("`{shown}` is not a pattern"))
            .hint("a name or a path, where `*` is any text: \"*.woff2\", \"/assets/*\""));
    }
    if !text.starts_with('/') && text.contains('/') {
        return Err(
            Problem::new(format!("`{shown}` is neither a name nor a whole path"))
                .hint(format!("\"/{shown}\"")),
        );
    }
    Ok(())
}
