//! What visitors send and get: hosts, paths of URLs, statuses.

use crate::config_error::Problem;

use crate::manifest::shorten;

/// `"200-399"` or `"200"`.
pub(crate) fn status_range(text: &str) -> Result<(u16, u16), Problem> {
    let example = "a status or a range, from 100 to 599: \"200\", \"200-399\"";
    let bad = || {
        Problem::new(format!(
            "`{}` is not a range of HTTP statuses",
            shorten(text)
        ))
        .hint(example)
    };
    let one = |part: &str| {
        let part = part.trim();
        let plain = part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit());
        let value: u16 = part.parse().ok().filter(|_| plain).ok_or_else(bad)?;
        (100..=599)
            .contains(&value)
            .then_some(value)
            .ok_or_else(bad)
    };
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (one(low)?, one(high)?),
        None => (one(text)?, one(text)?),
    };
    if low > high {
        return Err(Problem::new(format!("`{text}` ends before it begins"))
            .hint(format!("for example: \"{high}-{low}\"")));
    }
    Ok((low, high))
}

/// A host name without scheme, port or path, lower-cased. `wildcard`: `*.example.com` too.
pub(crate) fn host(text: &str, wildcard: bool) -> Result<String, Problem> {
    let shown = shorten(text);
    let bad = |why: &str| Problem::new(format!("`{shown}` {why}"));
    if text.is_empty() {
        return Err(Problem::new("the host name is empty"));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let bare = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return Err(bad("is an URL, not a host name")
            .hint(format!("without scheme and path: \"{}\"", shorten(bare))));
    }
    if text.contains('/') {
        return Err(bad("has a path").hint("a host name alone; paths go into `path`"));
    }
    if let Some((bare, _)) = text.split_once(':') {
        return Err(match text.matches(':').count() {
            1 => bad("has a port").hint(format!("without the port: \"{bare}\"")),
            _ => bad("is not a host name"),
        });
    }
    if text == "*" {
        return Err(bad("is not a host name").hint("leave `hosts` out: every host is meant then"));
    }
    if !text.is_ascii() {
        return Err(bad("has letters that host names do not have")
            .hint("write it as browsers send it, beginning with xn--"));
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('.').unwrap_or(&lower);
    let name = match lower.strip_prefix("*.") {
        Some(name) if wildcard && name.contains('.') => name,
        Some(name) if wildcard => {
            return Err(bad("covers a whole top-level domain")
                .hint(format!("for example: \"*.example.{name}\"")));
        }
        Some(_) => return Err(bad("has a `*` where one host is wanted")),
        None => lower,
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(bad("is not a host name")
            .hint("letters, digits and `-`, joined by dots: \"shop.example.com\""));
    }
    Ok(lower.to_owned())
}

/// A path prefix of an URL: begins with `/`, comes back without a `/` at its end.
pub(crate) fn url_prefix(text: &str) -> Result<String, Problem> {
    let path = url_path(text)?;
    if path.contains(['?', '#', '*']) {
        return Err(
            Problem::new(format!("`{}` is not a plain path", shorten(text)))
                .hint("a prefix without `?`, `#` and `*`: \"/static\""),
        );
    }
    if path
        .split('/')
        .skip(1)
        .any(|part| part == "." || part == "..")
        || path.contains("//")
    {
        return Err(
            Problem::new(format!("`{}` is not a plain path", shorten(text)))
                .hint("a prefix without `.`, `..` and `//`"),
        );
    }
    let trimmed = path.trim_end_matches('/');
    Ok(if trimmed.is_empty() {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    })
}

/// A path of an URL, with a query if there is one.
pub(crate) fn url_path(text: &str) -> Result<String, Problem> {
    let shown = shorten(text);
    if !text.starts_with('/') {
        let problem = Problem::new(format!("`{shown}` does not begin with `/`"));
        return Err(match text.contains("://") {
            true => problem.hint("a path alone, without scheme and host: \"/health\""),
            false => problem.hint(format!("\"/{shown}\"")),
        });
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::new(format!(
            "`{shown}` has characters that must be percent-encoded in an URL"
        )));
    }
    if text.contains('#') {
        return Err(Problem::new(format!(
            "`{shown}` has a fragment, which is never sent to a server"
        )));
    }
    Ok(text.to_owned())
}
