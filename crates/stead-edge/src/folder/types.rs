//! Media types by file name, and which names never change their content.

/// Sent for names that say nothing. With `nosniff` no browser guesses on.
const UNKNOWN: &str = "application/octet-stream";

/// The longest extension in the table.
const LONGEST: usize = 11;

/// The media type of a file, by its name's extension, without a charset.
pub(crate) fn of(path: &[u8]) -> &'static str {
    let name = file_name(path);
    let Some(dot) = memchr::memrchr(b'.', name) else {
        // Files without extension that protocols ask for: ACME's tokens, Apple's association file.
        let well_known = path.starts_with(b".well-known/");
        return match name {
            b"apple-app-site-association" => "application/json",
            _ if well_known => "text/plain",
            b"LICENSE" | b"README" | b"COPYING" | b"NOTICE" | b"AUTHORS" => "text/plain",
            _ => UNKNOWN,
        };
    };
    let extension = &name[dot + 1..];
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..extension.len()) else {
        return UNKNOWN;
    };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    TABLE
        .binary_search_by(|(extension, _)| extension.as_bytes().cmp(lower))
        .map_or(UNKNOWN, |index| TABLE[index].1)
}

/// The last segment.
fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// Whether a charset belongs to the type. JSON and XML name theirs in themselves.
pub(crate) fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
}

/// Whether files of the type are worth compressing, so that siblings are looked for.
pub(crate) fn is_compressible(media_type: &str) -> bool {
    is_text(media_type)
        || media_type.ends_with("+xml")
        || media_type.ends_with("json")
        || matches!(
            media_type,
            "application/xml"
                | "application/wasm"
                | "application/yaml"
                | "application/toml"
                | "application/sql"
                | "application/rtf"
                | "application/vnd.ms-fontobject"
                | "application/vnd.apple.mpegurl"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
                | "image/vnd.microsoft.icon"
                | "model/obj"
                | "model/stl"
                | UNKNOWN
        )
}

/// Whether a build tool put a hash of the content into the name, so that the content behind this
/// name never changes. Doubtful names are not: a wrong yes keeps visitors on old content for a year.
///
/// - eight or more lower-case hexadecimal digits between dots, dashes or underscores, with both digits
///   and letters among them, which a date (`20240131`) has not: webpack, Django, Rails, Parcel, esbuild;
/// - in a folder `assets`, a dash and eight characters that are a mix of digits, lower and upper case before
///   the extension: Vite.
///
/// Pages are never: people type their names.
pub(crate) fn is_fingerprinted(path: &[u8]) -> bool {
    if matches!(of(path), "text/html" | "application/xhtml+xml") {
        return false;
    }
    let name = file_name(path);
    let Some(dot) = memchr::memrchr(b'.', name) else {
        return false;
    };
    let stem = &name[..dot];
    let hexadecimal = |part: &[u8]| {
        part.len() >= 8
            && part
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && part.iter().any(u8::is_ascii_digit)
            && part.iter().any(u8::is_ascii_lowercase)
    };
    let mut parts = stem.split(|byte| matches!(byte, b'.' | b'-' | b'_'));
    let alone = !stem.iter().any(|byte| matches!(byte, b'.' | b'-' | b'_'));
    // A name that is nothing but a hash counts only if it is long: `deadbee1.js` may be a name.
    if parts.any(|part| hexadecimal(part) && (!alone || part.len() >= 16)) {
        return true;
    }
    let folder = path.len() - name.len();
    let in_assets = path[..folder].ends_with(b"/assets/") || &path[..folder] == b"assets/";
    let Some((_, [b'-', hash @ ..])) = stem.len().checked_sub(9).map(|at| stem.split_at(at)) else {
        return false;
    };
    in_assets
        && hash
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && hash.iter().any(u8::is_ascii_digit)
        && hash.iter().any(u8::is_ascii_lowercase)
        && hash.iter().any(u8::is_ascii_uppercase)
}

/// Extension, lower case → media type; sorted. After IANA's registry, and RFC 9239 for JavaScript.
const TABLE: &[(&str, &str)] = &[
    ("3g2", "video/3gpp2"),
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("ai", "application/postscript"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("asc", "text/plain"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("br", "application/octet-stream"),
    ("bz2", "application/x-bzip2"),
    ("cjs", "text/javascript"),
    ("conf", "text/plain"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("deb", "application/vnd.debian.binary-package"),
    ("dll", "application/octet-stream"),
    ("dmg", "application/octet-stream"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("eot", "application/vnd.ms-fontobject"),
    ("eps", "application/postscript"),
    ("epub", "application/epub+zip"),
    ("exe", "application/octet-stream"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("gpx", "application/gpx+xml"),
    ("gz", "application/gzip"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar"),
    ("ini", "text/plain"),
    ("iso", "application/octet-stream"),
    ("jar", "application/java-archive"),
    ("jfif", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("json5", "application/json5"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("log", "text/plain"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown"),
    ("md", "text/markdown"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("msi", "application/octet-stream"),
    ("obj", "model/obj"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-pem-file"),
    ("pgp", "application/pgp-encrypted"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("ps", "application/postscript"),
    ("rar", "application/vnd.rar"),
    ("rdf", "application/rdf+xml"),
    ("rpm", "application/x-rpm"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("sh", "application/x-sh"),
    ("sig", "application/pgp-signature"),
    ("sql", "application/sql"),
    ("srt", "application/x-subrip"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("svgz", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("torrent", "application/x-bittorrent"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcf", "text/vcard"),
    ("vtt", "text/vtt"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("wmv", "video/x-ms-wmv"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("xsd", "application/xml"),
    ("xsl", "application/xslt+xml"),
    ("xslt", "application/xslt+xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests;
