//! Static files: a folder, a request, and what to answer (RFC 9110).
//!
//! No byte from outside the root is ever served, whatever links and names are in it; names
//! that begin with a dot are not served either, but for `.well-known`. Only regular files are.
//! Invariant: nothing here writes to a disk or a socket; the caller sends what comes back.

mod cache;
mod conditions;
mod encoding;
mod open;
mod pattern;
mod range;
mod types;

use std::borrow::Cow;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::compress::files::Wanted;
use crate::date;
use crate::page::prefers_json;
use crate::path::{self, CleanPath};
pub(crate) use cache::{FileCache, Stamp};
use cache::{Found, Representation, Representations};
pub(crate) use conditions::{Validators, Verdict, judge};
pub(crate) use encoding::{Encoding, choose};
use pattern::Pattern;
use range::Part;
pub(crate) use range::Ranges;
pub(crate) use range::parse as parse_range;
pub(crate) use types::is_compressible;

const ALLOWED: &str = "GET, HEAD, OPTIONS";
/// For names with a content hash: a year, which is for ever.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// For all others: kept, but asked about each time, so that a deploy is seen at once.
const REVALIDATED: &str = "no-cache";

/// A folder of static files.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// An upstream answers what this folder has not: also every method but GET and HEAD.
    has_fallback: bool,
    /// The file that answers for paths without one.
    page: Option<Vec<u8>>,
    cache_control: Vec<(Pattern, String)>,
    /// Files without a precompressed sibling are compressed.
    compress: bool,
}

/// What is asked for.
pub(crate) struct StaticRequest<'a, 'h> {
    /// As sent.
    pub(crate) method: &'a str,
    /// The whole path.
    pub(crate) path: &'a CleanPath<'a>,
    /// How much of it is the route's ([`crate::router::RouteEntry::prefix_length`]).
    pub(crate) prefix_length: usize,
    /// As sent, for redirects.
    pub(crate) query: Option<&'a [u8]>,
    /// A request header's value by its lower-case name; of repeated lines the first.
    pub(crate) header: &'a dyn Fn(&str) -> Option<&'h [u8]>,
}

/// The answer, or that another must answer.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Send this.
    Response(StaticResponse),
    /// There is no such file: the fallback's turn, or a 404 page.
    NotFound,
}

/// A response without framing, `Date` and `Server`, which are the caller's.
#[derive(Debug)]
pub(crate) struct StaticResponse {
    /// From 400 on an error page belongs to it; then `length` is `None` and the body empty.
    pub(crate) status: u16,
    /// All but Content-Length.
    pub(crate) headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The Content-Length to send; for HEAD that of GET (RFC 9110 §8.6). `None`: none.
    pub(crate) length: Option<u64>,
    /// What to send after the head.
    pub(crate) body: StaticBody,
    /// All of it may be sent compressed, if that can be had.
    pub(crate) coded: Option<Wanted>,
}

/// A body. Files are shared between requests: read at offsets (`sendfile` with one, `pread`), never by
/// the descriptor's own position. A file that turns out shorter than `length` was cut meanwhile: cut the connection.
#[derive(Debug)]
pub(crate) enum StaticBody {
    /// Nothing.
    Empty,
    /// In memory.
    Bytes(Bytes),
    /// Part of a file.
    File {
        /// Regular, open for reading.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// `multipart/byteranges`: each part's header, then its bytes; then the trailer.
    Multi {
        /// Header, offset, length.
        parts: Vec<(Vec<u8>, u64, u64)>,
        /// Regular, open for reading.
        file: Arc<File>,
        /// After the last part.
        trailer: Vec<u8>,
    },
}

impl StaticBody {
    /// Bytes on the wire.
    pub(crate) fn length(&self) -> u64 {
        match self {
            StaticBody::Empty => 0,
            StaticBody::Bytes(bytes) => bytes.len() as u64,
            StaticBody::File { length, .. } => *length,
            StaticBody::Multi { parts, trailer, .. } => parts
                .iter()
                .fold(trailer.len() as u64, |sum, (header, _, length)| {
                    sum + header.len() as u64 + length
                }),
        }
    }
}

impl Folder {
    /// `root` is absolute. It need not exist yet; without it nothing is found.
    pub(crate) fn new(root: PathBuf, has_fallback: bool) -> Folder {
        Folder {
            root,
            has_fallback,
            page: None,
            cache_control: Vec::new(),
            compress: false,
        }
    }

    /// With a page for paths without a file, and with what is said to caches by pattern.
    pub(crate) fn with(self, page: Option<&str>, cache: &[(String, String)]) -> Folder {
        let cache = cache.iter();
        let cache = cache.map(|(pattern, value)| (Pattern::new(pattern), value.clone()));
        Folder {
            page: page.map(|page| page.as_bytes().to_vec()),
            cache_control: cache.collect(),
            ..self
        }
    }

    /// Compress files, or not.
    pub(crate) fn compressed(self, compress: bool) -> Folder {
        Folder { compress, ..self }
    }

    /// What is said to caches about the file at a path.
    fn cache_control(&self, path: &[u8], immutable: bool) -> Cow<'static, str> {
        let fits = |(pattern, _): &&(Pattern, String)| pattern.fits(path);
        match self.cache_control.iter().find(fits) {
            Some((_, value)) => value.clone().into(),
            None if immutable => IMMUTABLE.into(),
            None => REVALIDATED.into(),
        }
    }
}

/// Answer a request from a folder.
pub(crate) fn serve(
    folder: &Folder,
    cache: &mut FileCache,
    request: &StaticRequest<'_, '_>,
) -> Outcome {
    let reading = matches!(request.method, "GET" | "HEAD");
    if folder.has_fallback && !reading {
        return Outcome::NotFound;
    }
    let Some(relative) = relative(request) else {
        return Outcome::NotFound;
    };
    match serve_named(folder, cache, request, relative) {
        Outcome::NotFound if reading => fall_back(folder, cache, request),
        outcome => outcome,
    }
}

/// The page of a folder that answers for every path of an app's own: one whose last part has no extension.
fn fall_back(folder: &Folder, cache: &mut FileCache, request: &StaticRequest<'_, '_>) -> Outcome {
    let name = request.path.bytes.rsplit(|&byte| byte == b'/').next();
    let is_file = name.is_some_and(|name| name.contains(&b'.'));
    let Some(page) = folder.page.as_deref().filter(|_| !is_file) else {
        return Outcome::NotFound;
    };
    if (request.header)("accept").is_some_and(prefers_json) {
        return Outcome::NotFound;
    }
    match cache.find(&folder.root, page) {
        Ok(Found::File(file)) => {
            Outcome::Response(answer(folder, &file, REVALIDATED.into(), request))
        }
        Ok(_) => Outcome::NotFound,
        Err(error) => failed(&error),
    }
}

fn serve_named(
    folder: &Folder,
    cache: &mut FileCache,
    request: &StaticRequest<'_, '_>,
    relative: Relative<'_>,
) -> Outcome {
    let found = match relative {
        Relative::Index(path) => cache.find(&folder.root, &path),
        Relative::Named(path) => match cache.find(&folder.root, path) {
            Ok(Found::Folder) => return redirect(folder, cache, request, path),
            other => other,
        },
    };
    let file = match found {
        Ok(Found::File(file)) => file,
        Ok(Found::Folder | Found::Other) => return Outcome::NotFound,
        Err(error) => return failed(&error),
    };
    Outcome::Response(match request.method {
        "GET" | "HEAD" => {
            let control = folder.cache_control(&request.path.bytes, file.immutable);
            answer(folder, &file, control, request)
        }
        "OPTIONS" => bare(204, vec![("allow", ALLOWED.into())]),
        _ => bare(405, vec![("allow", ALLOWED.into())]),
    })
}

/// What the part of the path below the route's prefix names.
enum Relative<'a> {
    /// It ends with a slash: the folder's index page.
    Index(Vec<u8>),
    /// A file, or a folder without its slash. Empty: the root itself.
    Named(&'a [u8]),
}

fn relative<'a>(request: &StaticRequest<'a, '_>) -> Option<Relative<'a>> {
    let rest = request.path.bytes.get(request.prefix_length..)?;
    if request.path.never_a_file {
        return None;
    }
    if rest.is_empty() {
        return Some(Relative::Named(b"."));
    }
    let rest = rest.strip_prefix(b"/")?;
    let hidden = |segment: &[u8]| segment.first() == Some(&b'.') && segment != b".well-known";
    if rest.split(|&byte| byte == b'/').any(hidden) {
        return None;
    }
    if rest.is_empty() || rest.ends_with(b"/") {
        return Some(Relative::Index([rest, b"index.html"].concat()));
    }
    Some(Relative::Named(rest))
}

/// A folder asked for without its slash: sent there if it has an index page, since the page's relative
/// links need it. The location begins with exactly one slash and has no backslash, so that it can
/// never lead to another host.
fn redirect(
    folder: &Folder,
    cache: &mut FileCache,
    request: &StaticRequest<'_, '_>,
    path: &[u8],
) -> Outcome {
    match cache.find(&folder.root, &[path, b"/index.html"].concat()) {
        Ok(Found::File(_)) => {}
        Ok(_) => return Outcome::NotFound,
        Err(error) => return failed(&error),
    }
    let mut location = String::with_capacity(request.path.bytes.len() + 16);
    path::encode(&request.path.bytes, &mut location);
    location.push('/');
    if let Some(query) = request.query {
        location.push('?');
        for &byte in query {
            match byte {
                b'!'..=b'~' => location.push(char::from(byte)),
                _ => path::encode(&[byte], &mut location),
            }
        }
    }
    let headers = vec![
        ("location", Cow::Owned(location)),
        ("cache-control", REVALIDATED.into()),
    ];
    Outcome::Response(StaticResponse {
        length: Some(0),
        ..bare(308, headers)
    })
}

/// What cannot be opened is not there, except when it is our own trouble.
fn failed(error: &io::Error) -> Outcome {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ACCESS
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::PERM
            | Errno::INVAL
            | Errno::NXIO
            | Errno::NODEV,
        ) => Outcome::NotFound,
        _ if cache::out_of_descriptors(error) => Outcome::Response(bare(503, Vec::new())),
        _ => Outcome::Response(bare(500, Vec::new())),
    }
}

fn bare(status: u16, headers: Vec<(&'static str, Cow<'static, str>)>) -> StaticResponse {
    StaticResponse {
        status,
        headers,
        length: None,
        body: StaticBody::Empty,
        coded: None,
    }
}

fn answer(
    folder: &Folder,
    file: &Representations,
    cache_control: Cow<'static, str>,
    request: &StaticRequest<'_, '_>,
) -> StaticResponse {
    let header = request.header;
    let there = file.encoded.iter().map(|(encoding, _)| *encoding);
    let encoding = choose(header("accept-encoding"), there);
    let chosen = encoding
        .and_then(|encoding| file.encoded(encoding))
        .unwrap_or(&file.plain);
    let mut headers = Vec::with_capacity(10);
    let may_code = folder.compress && file.compressible;
    let coding = match encoding {
        // A part is one of the plain file.
        None if may_code && header("range").is_none() => {
            choose(header("accept-encoding"), Encoding::ALL.into_iter())
        }
        _ => None,
    };
    let weak = if coding.is_some() { "W/" } else { "" };
    headers.push(("etag", Cow::Owned(format!("{weak}{}", chosen.etag))));
    headers.push(("last-modified", Cow::Owned(chosen.last_modified.clone())));
    headers.push(("cache-control", cache_control));
    if !file.encoded.is_empty() || may_code {
        headers.push(("vary", "Accept-Encoding".into()));
    }
    let validators = Validators {
        etag: &chosen.etag,
        modified: chosen.modified,
        now: date::seconds(SystemTime::now()),
    };
    match judge(validators, header) {
        Verdict::NotModified => return bare(304, headers),
        Verdict::Failed => return bare(412, headers),
        Verdict::Proceed => {}
    }
    headers.push(("accept-ranges", "bytes".into()));
    let ranges = match header("range") {
        // Defined for GET alone (RFC 9110 §14.2).
        Some(value) if request.method == "GET" => {
            let counts = header("if-range").is_none_or(|tag| conditions::if_range(tag, validators));
            if counts {
                range::parse(value, chosen.size)
            } else {
                Ranges::Whole
            }
        }
        _ => Ranges::Whole,
    };
    if ranges == Ranges::Unsatisfiable {
        headers.push(("content-range", format!("bytes */{}", chosen.size).into()));
        return bare(416, headers);
    }
    headers.push(("x-content-type-options", "nosniff".into()));
    if let Some(encoding) = encoding {
        headers.push(("content-encoding", encoding.name().into()));
    }
    let (status, content_type, body) = match ranges {
        Ranges::Parts(parts) if parts.len() > 1 => {
            let (content_type, body) = multipart(file, chosen, &parts);
            (206, content_type, body)
        }
        Ranges::Parts(parts) if !parts.is_empty() => {
            let part = parts[0];
            headers.push(("content-range", content_range(part, chosen.size).into()));
            (206, file.content_type.clone(), section(chosen, part))
        }
        _ => {
            let whole = Part {
                offset: 0,
                length: chosen.size,
            };
            (200, file.content_type.clone(), section(chosen, whole))
        }
    };
    headers.push(("content-type", content_type.into()));
    let length = Some(body.length());
    let body = if request.method == "HEAD" {
        StaticBody::Empty
    } else {
        body
    };
    StaticResponse {
        status,
        headers,
        length,
        body,
        coded: coding.filter(|_| status == 200).map(|encoding| Wanted {
            stamp: chosen.stamp,
            encoding,
            file: Arc::clone(&chosen.file),
            size: chosen.size,
        }),
    }
}

fn section(chosen: &Representation, part: Part) -> StaticBody {
    match &chosen.content {
        Some(content) => {
            // Within the content: it was read when its size was.
            let start = usize::try_from(part.offset)
                .unwrap_or(usize::MAX)
                .min(content.len());
            let end = start
                .saturating_add(usize::try_from(part.length).unwrap_or(usize::MAX))
                .min(content.len());
            StaticBody::Bytes(content.slice(start..end))
        }
        None => StaticBody::File {
            file: Arc::clone(&chosen.file),
            offset: part.offset,
            length: part.length,
        },
    }
}

fn content_range(part: Part, size: u64) -> String {
    format!(
        "bytes {}-{}/{size}",
        part.offset,
        part.offset + part.length - 1
    )
}

/// RFC 9110 §14.6. The boundary is random: who writes a file cannot know it.
fn multipart(
    file: &Representations,
    chosen: &Representation,
    parts: &[Part],
) -> (String, StaticBody) {
    let random = || RandomState::new().build_hasher().finish();
    let boundary = format!("{:016x}{:016x}", random(), random());
    let parts = parts
        .iter()
        .map(|part| {
            let header = format!(
                "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
                file.content_type,
                content_range(*part, chosen.size),
            );
            (header.into_bytes(), part.offset, part.length)
        })
        .collect();
    let body = StaticBody::Multi {
        parts,
        file: Arc::clone(&chosen.file),
        trailer: format!("\r\n--{boundary}--\r\n").into_bytes(),
    };
    (format!("multipart/byteranges; boundary={boundary}"), body)
}

#[cfg(test)]
mod tests;
