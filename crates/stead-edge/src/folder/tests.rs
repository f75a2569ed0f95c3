use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A site in a folder of its own, with a secret beside its root.
struct Site {
    place: TempDir,
    folder: Folder,
    cache: FileCache,
}

const HELLO: &str = "inside: hello, world";

impl Site {
    fn new() -> Site {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("root");
        fs::create_dir_all(root.join("docs/deep")).expect("folders");
        let mut site = Site {
            folder: Folder::new(root, false),
            place,
            cache: FileCache::new(Duration::ZERO),
        };
        // So that files made just now count as settled.
        site.cache.unsettled = i64::MIN;
        site.write("hello.txt", HELLO);
        site.write("index.html", "inside: <h1>home</h1>");
        site.write("docs/index.html", "inside: docs");
        site.write("docs/a.css", "inside: css");
        site.write("docs/deep/b.txt", "inside: deep");
        fs::write(site.place.path().join("secret.txt"), "SECRET").expect("a file");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.root.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("a file");
    }

    fn outcome(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Outcome {
        let parts = path::split(target.as_bytes()).expect("a target");
        let clean = path::clean(parts.path).expect("a clean path");
        let header = |name: &str| {
            let own = headers.iter().find(|(own, _)| *own == name);
            own.map(|(_, value)| value.as_bytes())
        };
        let request = StaticRequest {
            method,
            path: &clean,
            prefix_length: 0,
            query: parts.query,
            header: &header,
        };
        serve(&self.folder, &mut self.cache, &request)
    }

    fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> StaticResponse {
        match self.outcome(method, target, headers) {
            Outcome::Response(response) => response,
            Outcome::NotFound => panic!("{target} is not found"),
        }
    }

    fn get(&mut self, target: &str) -> StaticResponse {
        self.ask("GET", target, &[])
    }

    fn is_found(&mut self, target: &str) -> bool {
        matches!(self.outcome("GET", target, &[]), Outcome::Response(response) if response.status == 200)
    }
}

impl StaticResponse {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().filter(|(own, _)| *own == name);
        let values: Vec<&str> = found.map(|(_, value)| value.as_ref()).collect();
        assert!(values.len() <= 1, "{name} is there twice");
        values.first().copied()
    }

    fn bytes(&self) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let piece = |file: &File, offset, length| {
            let mut bytes = vec![0; usize::try_from(length).expect("small")];
            file.read_exact_at(&mut bytes, offset).expect("readable");
            bytes
        };
        match &self.body {
            StaticBody::Empty => Vec::new(),
            StaticBody::Bytes(bytes) => bytes.to_vec(),
            StaticBody::File {
                file,
                offset,
                length,
            } => piece(file, *offset, *length),
            StaticBody::Multi {
                parts,
                file,
                trailer,
            } => {
                let mut bytes = Vec::new();
                for (header, offset, length) in parts {
                    bytes.extend_from_slice(header);
                    bytes.extend(piece(file, *offset, *length));
                }
                bytes.extend_from_slice(trailer);
                bytes
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("text")
    }
}

#[test]
fn a_file_is_served_with_its_type_and_validators() {
    let mut site = Site::new();
    let response = site.get("/hello.txt");
    assert_eq!((response.status, response.text().as_str()), (200, HELLO));
    assert_eq!(response.length, Some(20));
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("accept-ranges"), Some("bytes"));
    assert_eq!(response.header("cache-control"), Some("no-cache"));
    assert_eq!(response.header("vary"), None);
    let etag = response.header("etag").expect("an etag");
    assert!(etag.starts_with("\"14-") && etag.ends_with('"'), "{etag}");
    let modified = response.header("last-modified").expect("a date");
    assert!(date::parse(modified.as_bytes(), 0).is_some());
    assert_eq!(site.get("/docs/deep/b.txt?v=1").text(), "inside: deep");
}

#[test]
fn small_and_large_files_have_the_same_content() {
    let mut site = Site::new();
    let large: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    site.write("large.bin", &large);
    let response = site.get("/large.bin");
    assert!(matches!(
        response.body,
        StaticBody::File {
            offset: 0,
            length: 200_000,
            ..
        }
    ));
    assert_eq!(response.bytes(), large);
    let response = site.ask("GET", "/large.bin", &[("range", "bytes=100000-100009")]);
    assert_eq!(response.bytes(), large[100_000..100_010]);
    assert!(matches!(site.get("/hello.txt").body, StaticBody::Bytes(_)));
    site.write("empty.txt", "");
    let response = site.get("/empty.txt");
    assert_eq!((response.status, response.length), (200, Some(0)));
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let mut site = Site::new();
    let (get, head) = (
        site.get("/hello.txt"),
        site.ask("HEAD", "/hello.txt", &[("range", "bytes=0-1")]),
    );
    assert_eq!(
        (head.status, head.length, &head.headers),
        (200, get.length, &get.headers)
    );
    assert!(head.bytes().is_empty());
}

#[test]
fn other_methods_are_told_which_there_are() {
    let mut site = Site::new();
    let response = site.ask("OPTIONS", "/hello.txt", &[]);
    assert_eq!(
        (response.status, response.header("allow")),
        (204, Some("GET, HEAD, OPTIONS"))
    );
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", ""] {
        let response = site.ask(method, "/hello.txt", &[]);
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some("GET, HEAD, OPTIONS"))
        );
    }
    assert!(matches!(
        site.outcome("POST", "/nothing", &[]),
        Outcome::NotFound
    ));
}

#[test]
fn a_fallback_gets_what_the_folder_has_not_and_every_other_method() {
    let mut site = Site::new();
    site.folder.has_fallback = true;
    assert!(site.is_found("/hello.txt"));
    assert!(matches!(
        site.outcome("GET", "/api", &[]),
        Outcome::NotFound
    ));
    for method in ["POST", "OPTIONS", "DELETE"] {
        assert!(matches!(site.outcome(method, "/", &[]), Outcome::NotFound));
    }
}

#[test]
fn a_folder_shows_its_index_page_and_nothing_else() {
    let mut site = Site::new();
    assert_eq!(site.get("/").text(), "inside: <h1>home</h1>");
    assert_eq!(site.get("/docs/").text(), "inside: docs");
    for missing in [
        "/docs/deep/",
        "/docs/deep",
        "/hello.txt/",
        "/docs/index.html/",
        "/nothing",
        "/docs/nothing/x",
    ] {
        assert!(
            matches!(site.outcome("GET", missing, &[]), Outcome::NotFound),
            "{missing}"
        );
    }
    fs::create_dir_all(site.path("odd/index.html")).expect("a folder");
    assert!(matches!(
        site.outcome("GET", "/odd/", &[]),
        Outcome::NotFound
    ));
    assert!(matches!(
        site.outcome("GET", "/odd", &[]),
        Outcome::NotFound
    ));
}

#[test]
fn a_folder_without_its_slash_is_redirected_within_this_host() {
    let mut site = Site::new();
    for odd in ["evil.example", "\u{fc} b", "a\nb"] {
        fs::create_dir_all(site.path(odd)).expect("a folder");
        site.write(&format!("{odd}/index.html"), "inside");
    }
    for (target, location) in [
        ("/docs", "/docs/"),
        ("/docs?a=b&c", "/docs/?a=b&c"),
        ("/docs?", "/docs/?"),
        ("//evil.example", "/evil.example/"),
        ("///evil.example?x", "/evil.example/?x"),
        ("/%C3%BC%20b", "/%C3%BC%20b/"),
        ("/a%0Ab", "/a%0Ab/"),
        ("/docs?\u{fc}", "/docs/?%C3%BC"),
    ] {
        let response = site.get(target);
        assert_eq!(
            (response.status, response.header("location")),
            (308, Some(location)),
            "{target}"
        );
        assert_eq!((response.length, response.bytes().len()), (Some(0), 0));
    }
}

#[test]
fn the_routes_prefix_is_taken_off() {
    let mut site = Site::new();
    let ask = |site: &mut Site, target: &str| {
        let clean = path::clean(target.as_bytes()).expect("a clean path");
        let request = StaticRequest {
            method: "GET",
            path: &clean,
            prefix_length: "/static".len(),
            query: None,
            header: &|_| None,
        };
        match serve(&site.folder, &mut site.cache, &request) {
            Outcome::Response(response) => response
                .header("location")
                .map_or(response.text(), str::to_owned),
            Outcome::NotFound => "not found".to_owned(),
        }
    };
    assert_eq!(ask(&mut site, "/static/hello.txt"), HELLO);
    assert_eq!(ask(&mut site, "/static/"), "inside: <h1>home</h1>");
    assert_eq!(ask(&mut site, "/static"), "/static/");
    assert_eq!(ask(&mut site, "/static/docs"), "/static/docs/");
    assert_eq!(ask(&mut site, "/statichello.txt"), "not found");
    assert_eq!(ask(&mut site, "/st"), "not found");
}

#[test]
fn names_that_begin_with_a_dot_are_not_there() {
    let mut site = Site::new();
    for name in [".git", ".well-known/.hidden", "docs/.svn"] {
        fs::create_dir_all(site.path(name)).expect("a folder");
        site.write(&format!("{name}/config"), "inside");
        assert!(!site.is_found(&format!("/{name}/config")), "{name}");
    }
    for name in [".env", "docs/.htpasswd", "..a", "..."] {
        site.write(name, "inside");
        assert!(!site.is_found(&format!("/{name}")), "{name}");
    }
    assert!(!site.is_found("/%2egit/config"));
    site.write(".well-known/security.txt", "inside");
    assert!(site.is_found("/.well-known/security.txt"));
}

#[test]
fn a_name_with_an_encoded_slash_or_a_backslash_is_not_there() {
    let mut site = Site::new();
    site.write("a\\b", "inside");
    for target in ["/docs%2Fa.css", "/a\\b", "/a%5Cb", "/docs%2f"] {
        assert!(!site.is_found(target), "{target}");
    }
    site.write("%2e%2e", "inside");
    assert!(path::clean(b"/%252e%252e").is_err());
}

#[test]
fn only_regular_files_are_served() {
    let mut site = Site::new();
    let pipe = site.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(site.path("socket")).expect("a socket");
    for missing in [false, true] {
        site.cache.opener.openat2_missing = missing;
        assert!(!site.is_found("/pipe"));
        assert!(!site.is_found("/socket"));
    }
}

fn add_links(site: &Site) {
    let outside = site.place.path().to_owned();
    let absolute = |path: PathBuf| path.to_string_lossy().into_owned();
    for (name, target) in [
        ("in", "hello.txt".to_owned()),
        ("docs/up", "..".to_owned()),
        ("docs/in", "../docs/./deep/../deep/b.txt".to_owned()),
        ("absolute_in", absolute(site.path("hello.txt"))),
        ("absolute_root", absolute(site.path(""))),
        ("chain_in", "docs/in".to_owned()),
        ("out", "../secret.txt".to_owned()),
        ("absolute_out", absolute(outside.join("secret.txt"))),
        ("out_and_in", "../root/hello.txt".to_owned()),
        (
            "absolute_trick",
            format!("{}/../secret.txt", absolute(site.path(""))),
        ),
        ("chain_out", "docs/upup/secret.txt".to_owned()),
        ("docs/upup", "../..".to_owned()),
        ("folder_out", absolute(outside)),
        ("loop", "loop".to_owned()),
        ("ping", "pong".to_owned()),
        ("pong", "ping".to_owned()),
        ("proc", "/proc/self/root".to_owned()),
        ("dangling", "nothing".to_owned()),
    ] {
        symlink(target, site.path(name)).expect("a link");
    }
}

#[test]
fn links_are_followed_inside_and_never_outside() {
    let mut site = Site::new();
    add_links(&site);
    for missing in [false, true] {
        site.cache.opener.openat2_missing = missing;
        for target in [
            "/in",
            "/docs/up/hello.txt",
            "/docs/in",
            "/absolute_in",
            "/absolute_root/hello.txt",
            "/chain_in",
        ] {
            assert!(
                site.get(target).text().starts_with("inside"),
                "{target} {missing}"
            );
        }
        for target in [
            "/out",
            "/absolute_out",
            "/absolute_trick",
            "/chain_out",
            "/docs/upup/secret.txt",
            "/docs/up/out",
            "/folder_out/secret.txt",
            "/out_and_in",
            "/loop",
            "/ping",
            "/proc/etc/passwd",
            "/dangling",
            "/in/x",
        ] {
            assert!(
                matches!(site.outcome("GET", target, &[]), Outcome::NotFound),
                "{target} {missing}"
            );
        }
    }
}

#[test]
fn a_root_reached_by_a_link_is_a_root() {
    let mut site = Site::new();
    add_links(&site);
    let alias = site.place.path().join("alias");
    symlink("root", &alias).expect("a link");
    site.folder.root = alias;
    assert!(site.is_found("/hello.txt"));
    assert!(site.is_found("/absolute_in"));
    assert!(!site.is_found("/out"));
}

#[test]
fn a_root_that_is_missing_has_no_files_until_it_is_there() {
    let mut site = Site::new();
    site.folder.root = site.place.path().join("dist");
    assert!(matches!(site.outcome("GET", "/", &[]), Outcome::NotFound));
    fs::create_dir(&site.folder.root).expect("a folder");
    site.write("index.html", "inside: built");
    assert_eq!(site.get("/").text(), "inside: built");
    fs::rename(&site.folder.root, site.place.path().join("old")).expect("renamed");
    assert!(matches!(site.outcome("GET", "/", &[]), Outcome::NotFound));
}

#[test]
fn a_visitor_who_has_the_file_gets_304() {
    let mut site = Site::new();
    let first = site.get("/hello.txt");
    let etag = first.header("etag").expect("an etag");
    let date = first.header("last-modified").expect("a date");
    for condition in [("if-none-match", etag), ("if-modified-since", date)] {
        let response = site.ask("GET", "/hello.txt", &[condition]);
        assert_eq!((response.status, response.length), (304, None));
        assert!(response.bytes().is_empty());
        for name in ["etag", "cache-control", "last-modified"] {
            assert_eq!(response.header(name), first.header(name));
        }
        assert_eq!(response.header("content-type"), None);
    }
    let response = site.ask("GET", "/hello.txt", &[("if-match", "\"x\"")]);
    assert_eq!(response.status, 412);
}

#[test]
fn a_changed_file_has_another_entity_tag() {
    let mut site = Site::new();
    let before = site.get("/hello.txt").header("etag").map(str::to_owned);
    assert_eq!(
        site.get("/hello.txt").header("etag").map(str::to_owned),
        before
    );
    let (path, other) = (site.path("hello.txt"), site.path("other"));
    let modified = fs::metadata(&path)
        .and_then(|meta| meta.modified())
        .expect("a time");
    // The same size and the same time stamp: as when a build tool sets all times to zero.
    fs::write(&other, HELLO.to_uppercase()).expect("a file");
    File::options()
        .write(true)
        .open(&other)
        .and_then(|file| file.set_modified(modified))
        .expect("set");
    fs::rename(other, path).expect("renamed");
    let after = site.get("/hello.txt");
    assert_ne!(after.header("etag").map(str::to_owned), before);
    assert_eq!(after.text(), HELLO.to_uppercase());
}

#[test]
fn a_file_changed_just_now_has_a_weak_entity_tag_and_is_not_kept() {
    let mut site = Site::new();
    site.cache = FileCache::new(Duration::from_secs(3_600));
    site.cache.unsettled = i64::MAX;
    let response = site.get("/hello.txt");
    let etag = response.header("etag").expect("an etag");
    assert!(etag.starts_with("W/\""), "{etag}");
    assert!(matches!(response.body, StaticBody::File { .. }));
    let response = site.ask(
        "GET",
        "/hello.txt",
        &[("range", "bytes=0-1"), ("if-range", etag)],
    );
    assert_eq!(response.status, 200);
    assert_eq!(
        site.ask("GET", "/hello.txt", &[("if-none-match", etag)])
            .status,
        304
    );
}

#[test]
fn parts_of_a_file_are_served() {
    let mut site = Site::new();
    let response = site.ask("GET", "/hello.txt", &[("range", "bytes=8-12")]);
    assert_eq!((response.status, response.text().as_str()), (206, "hello"));
    assert_eq!(response.header("content-range"), Some("bytes 8-12/20"));
    assert_eq!(response.length, Some(5));
    let response = site.ask("GET", "/hello.txt", &[("range", "bytes=-5")]);
    assert_eq!(response.text(), "world");
    let response = site.ask("GET", "/hello.txt", &[("range", "bytes=20-")]);
    assert_eq!(
        (response.status, response.header("content-range")),
        (416, Some("bytes */20"))
    );
    assert_eq!(response.length, None);
    let response = site.ask("GET", "/hello.txt", &[("range", "nonsense")]);
    assert_eq!((response.status, response.text().as_str()), (200, HELLO));
}

#[test]
fn several_parts_are_sent_as_multipart() {
    let mut site = Site::new();
    let response = site.ask("GET", "/hello.txt", &[("range", "bytes=0-5, 8-12")]);
    assert_eq!(response.status, 206);
    assert_eq!(response.header("content-range"), None);
    let boundary = response
        .header("content-type")
        .and_then(|value| value.strip_prefix("multipart/byteranges; boundary="))
        .expect("a boundary");
    let part = |range, content| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/20\r\n\r\n{content}"
        )
    };
    let expected = format!(
        "{}{}\r\n--{boundary}--\r\n",
        part("0-5", "inside"),
        part("8-12", "hello")
    );
    assert_eq!(response.text(), expected);
    assert_eq!(response.length, Some(expected.len() as u64));
}

#[test]
fn a_range_counts_only_for_the_same_file() {
    let mut site = Site::new();
    let etag = site
        .get("/hello.txt")
        .header("etag")
        .expect("an etag")
        .to_owned();
    let range = ("range", "bytes=0-1");
    assert_eq!(
        site.ask("GET", "/hello.txt", &[range, ("if-range", &etag)])
            .status,
        206
    );
    for other in ["\"x\"", "W/\"x\"", "Sun, 06 Nov 1994 08:49:37 GMT", ""] {
        assert_eq!(
            site.ask("GET", "/hello.txt", &[range, ("if-range", other)])
                .status,
            200,
            "{other}"
        );
    }
}

#[test]
fn a_precompressed_sibling_is_sent_to_who_can_read_it() {
    let mut site = Site::new();
    site.write("docs/a.css.br", "inside: brotli");
    site.write("docs/a.css.gz", "inside: gzip");
    let plain = site.get("/docs/a.css");
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    assert_eq!(plain.header("content-encoding"), None);
    let brotli = site.ask("GET", "/docs/a.css", &[("accept-encoding", "gzip, br")]);
    assert_eq!(
        (brotli.text().as_str(), brotli.header("content-encoding")),
        ("inside: brotli", Some("br"))
    );
    assert_eq!(
        brotli.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    assert_eq!(brotli.header("vary"), Some("Accept-Encoding"));
    assert_ne!(brotli.header("etag"), plain.header("etag"));
    let gzip = site.ask("GET", "/docs/a.css", &[("accept-encoding", "gzip, zstd")]);
    assert_eq!(gzip.text(), "inside: gzip");
    let part = site.ask(
        "GET",
        "/docs/a.css",
        &[("accept-encoding", "gzip"), ("range", "bytes=8-")],
    );
    assert_eq!((part.status, part.text().as_str()), (206, "gzip"));
    let etag = brotli.header("etag").expect("an etag");
    let again = site.ask(
        "GET",
        "/docs/a.css",
        &[("accept-encoding", "br"), ("if-none-match", etag)],
    );
    assert_eq!(
        (again.status, again.header("vary")),
        (304, Some("Accept-Encoding"))
    );
    assert_eq!(
        site.get("/docs/a.css.gz").header("content-type"),
        Some("application/gzip")
    );
}

#[test]
fn a_sibling_that_leads_outside_is_not_sent() {
    let mut site = Site::new();
    symlink("../../secret.txt", site.path("docs/a.css.gz")).expect("a link");
    let response = site.ask("GET", "/docs/a.css", &[("accept-encoding", "gzip")]);
    assert_eq!(
        (response.text().as_str(), response.header("vary")),
        ("inside: css", None)
    );
}

#[test]
fn names_with_a_content_hash_are_kept_for_ever() {
    let mut site = Site::new();
    site.write("app.3f2a9c1d.js", "inside");
    let response = site.get("/app.3f2a9c1d.js");
    assert_eq!(
        response.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
}

#[test]
fn text_in_another_encoding_gets_no_charset() {
    let mut site = Site::new();
    site.write("gbk.html", b"<meta charset=gbk>\xc4\xe3\xba\xc3");
    assert_eq!(
        site.get("/gbk.html").header("content-type"),
        Some("text/html")
    );
    let long = "\u{4f60}".repeat(40_000);
    for shift in 0..3 {
        site.write("long.html", [&"x".repeat(shift), long.as_str()].concat());
        assert_eq!(
            site.get("/long.html").header("content-type"),
            Some("text/html; charset=utf-8")
        );
    }
    site.write("cut.txt", b"\xe4\xbd");
    assert_eq!(
        site.get("/cut.txt").header("content-type"),
        Some("text/plain")
    );
}

#[test]
fn a_cached_file_is_served_until_it_is_looked_at_again() {
    let mut site = Site::new();
    site.cache = FileCache::new(Duration::from_secs(3_600));
    site.cache.unsettled = i64::MIN;
    assert_eq!(site.get("/hello.txt").text(), HELLO);
    fs::remove_file(site.path("hello.txt")).expect("removed");
    assert_eq!(site.get("/hello.txt").text(), HELLO);
    site.cache = FileCache::new(Duration::ZERO);
    assert!(!site.is_found("/hello.txt"));
    // What was missing is not remembered.
    site.cache = FileCache::new(Duration::from_secs(3_600));
    assert!(!site.is_found("/new.txt"));
    site.write("new.txt", "inside");
    assert!(site.is_found("/new.txt"));
}

#[test]
fn the_cache_holds_a_bounded_number_of_files_and_bytes() {
    let mut site = Site::new();
    site.cache = FileCache::new(Duration::from_secs(3_600));
    site.cache.unsettled = i64::MIN;
    let content = vec![b'x'; 30_000];
    for number in 0..600 {
        let name = format!("f{number}.bin");
        site.write(&name, &content);
        assert_eq!(site.get(&format!("/{name}")).bytes(), content);
        let (files, bytes, entries) = site.cache.held();
        assert!(
            files <= 260 && entries <= 257 && bytes <= 1_100_000,
            "{files} {bytes} {entries}"
        );
    }
    let mut short = FileCache::new(Duration::ZERO);
    std::mem::swap(&mut short, &mut site.cache);
    site.get("/f0.bin");
    assert_eq!(site.cache.held().2, 1);
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "docs",
        "deep",
        "hello.txt",
        "a.css",
        "b.txt",
        "index.html",
        "in",
        "up",
        "absolute_in",
        "absolute_root",
        "chain_in",
        "out",
        "absolute_out",
        "out_and_in",
        "absolute_trick",
        "chain_out",
        "upup",
        "folder_out",
        "loop",
        "proc",
        "dangling",
        "root",
        "secret.txt",
        "self",
        "..",
        ".",
        "",
        "%2e%2e",
        "%252e%252e",
        "..%2f",
        "..\\",
        "%00",
        "..;",
        "%c0%ae%c0%ae",
        "\u{2025}",
        "%e0%80%ae",
    ])
}

proptest! {
    #[test]
    fn no_path_leads_outside(segments in prop::collection::vec(segment(), 0..7), slash: bool) {
        thread_local! {
            static SITE: std::cell::RefCell<Site> = std::cell::RefCell::new({
                let site = Site::new();
                add_links(&site);
                site
            });
        }
        let target = format!("/{}{}", segments.join("/"), if slash { "/" } else { "" });
        let Ok(clean) = path::clean(target.as_bytes()) else {
            return Ok(());
        };
        SITE.with_borrow_mut(|site| {
            let mut statuses = [0; 2];
            for (place, missing) in [false, true].into_iter().enumerate() {
                site.cache.opener.openat2_missing = missing;
                let request = StaticRequest { method: "GET", path: &clean, prefix_length: 0, query: None, header: &|_| None };
                if let Outcome::Response(response) = serve(&site.folder, &mut site.cache, &request) {
                    statuses[place] = response.status;
                    if response.status == 200 {
                        prop_assert!(response.text().starts_with("inside"), "{target}");
                    } else {
                        prop_assert_eq!(response.status, 308);
                        let location = response.header("location").expect("a location");
                        prop_assert!(location.starts_with('/') && !location.starts_with("//"));
                    }
                }
            }
            prop_assert_eq!(statuses[0], statuses[1], "{}", target);
            Ok(())
        })?;
    }
}
