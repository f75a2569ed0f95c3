//! One project's page of a package index, as HTML (PEP 503) or JSON (PEP 691): which files there are.

use serde::Deserialize;

/// What may be asked for: JSON where the index has it.
pub(super) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
}

/// The address of `filename` on a page that was read from `address`.
pub(super) fn find(page: &str, address: &str, filename: &str) -> Option<String> {
    if page.trim_start().starts_with('{') {
        let page: Page = serde_json::from_str(page).ok()?;
        let file = page
            .files
            .into_iter()
            .find(|file| file.filename == filename)?;
        return join(address, &file.url);
    }
    // An index writes one anchor for each file; the file's name is the end of its address.
    page.split("href")
        .skip(1)
        .filter_map(|rest| {
            let rest = rest.trim_start().strip_prefix('=')?.trim_start();
            let quote = rest
                .chars()
                .next()
                .filter(|quote| matches!(quote, '"' | '\''))?;
            rest.get(1..)?.split(quote).next()
        })
        .map(|href| href.replace("&amp;", "&"))
        .find(|href| {
            let path = href.split(['#', '?']).next().unwrap_or_default();
            path.rsplit('/').next() == Some(filename)
        })
        .and_then(|href| join(address, &href))
}

/// An address relative to another one (RFC 3986 section 5.2, without query and fragment of the base).
pub(super) fn join(base: &str, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    if reference.starts_with("https://") || reference.starts_with("http://") {
        return Some(reference.to_owned());
    }
    let (scheme, rest) = base.split_once("://")?;
    if let Some(rest) = reference.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut segments: Vec<&str> = Vec::new();
    if !reference.starts_with('/') {
        segments.extend(path.split('/'));
        // What follows the last slash is the page itself.
        segments.pop();
    }
    for segment in reference.trim_start_matches('/').split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    Some(format!("{scheme}://{host}/{}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_on_a_page_of_either_kind() {
        let html = r#"<a href="https://files.example/a/uv-1.whl.metadata#x">no</a>
            <a data-x="1" href='../../packages/a?b=1&amp;c/uv-1.whl'>decoy</a>
            <a href="../../packages/ab/uv-1.whl#sha256=00" data-requires-python="&gt;=3.8">uv-1.whl</a>"#;
        assert_eq!(
            find(html, "https://index.example/root/simple/uv/", "uv-1.whl").as_deref(),
            Some("https://index.example/root/packages/ab/uv-1.whl")
        );
        let json =
            r#"{"meta":{},"files":[{"filename":"uv-1.whl","url":"/p/uv-1.whl","hashes":{}}]}"#;
        assert_eq!(
            find(json, "https://index.example/simple/uv/", "uv-1.whl").as_deref(),
            Some("https://index.example/p/uv-1.whl")
        );
        assert_eq!(find(json, "https://index.example/", "uv-2.whl"), None);
    }

    #[test]
    fn a_relative_address_is_joined_without_leaving_the_host() {
        let base = "http://h:8080/a/b/?x#y";
        assert_eq!(
            join(base, "../../../../c").as_deref(),
            Some("http://h:8080/c")
        );
        assert_eq!(join(base, "//other/c#f").as_deref(), Some("http://other/c"));
        assert_eq!(join(base, "c").as_deref(), Some("http://h:8080/a/b/c"));
    }
}
