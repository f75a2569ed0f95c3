//! The edge beside other proxies and file servers: no app, no Python.

use super::{Bound, GOALS, Goal, Load, NGINX, Peer, Program, STEAD, Work, goal};

/// The app of the works of proxies: one server at a unix socket, which answers everything with 1 KB.
pub(crate) const PROXIED: &str = "proxied";
/// The app of the work of tables of many hosts: the same server behind it.
pub(crate) const HOSTS: &str = "hosts";
/// The app of the works of file servers: three files, made before they are needed.
pub(crate) const FILES: &str = "files";
/// The same files, with a certificate whose key is RSA 2048.
pub(crate) const FILES_RSA: &str = "files-rsa";

const MANY: &[u32] = &[64];
/// Of 10 MB each a few fill this machine's loopback.
const FEW: &[u32] = &[8];

const fn work(
    name: &'static str,
    label: &'static str,
    app: &'static str,
    path: &'static str,
    load: Load,
) -> Work {
    Work {
        name,
        label,
        app,
        path,
        load,
        connections: if matches!(path.as_bytes(), b"/10m") {
            FEW
        } else {
            MANY
        },
    }
}

/// Works of the edge alone.
pub(crate) const WORKS: [Work; 16] = [
    work("proxy-1k", "1 KB proxied", PROXIED, "/1k", Load::Kept),
    work(
        "proxy-1k-new",
        "1 KB proxied, a new connection each",
        PROXIED,
        "/1k",
        Load::New,
    ),
    work(
        "proxy-1k-tls",
        "1 KB proxied, TLS 1.3",
        PROXIED,
        "/1k",
        Load::Tls,
    ),
    work(
        "proxy-1k-h2",
        "1 KB proxied, HTTP/2, 10 streams each",
        PROXIED,
        "/1k",
        Load::Http2(10),
    ),
    work(
        "proxy-1k-h2c",
        "1 KB proxied, HTTP/2 without TLS, 10 streams each",
        PROXIED,
        "/1k",
        Load::Http2Clear(10),
    ),
    work(
        "proxy-1k-hosts",
        "1 KB proxied, a table of many hosts, each request to another",
        HOSTS,
        "/1k",
        Load::Hosts,
    ),
    work("static-1k", "file of 1 KB", FILES, "/1k", Load::Kept),
    work("static-100k", "file of 100 KB", FILES, "/100k", Load::Kept),
    work("static-10m", "file of 10 MB", FILES, "/10m", Load::Kept),
    work(
        "static-1k-tls",
        "file of 1 KB, TLS 1.3",
        FILES,
        "/1k",
        Load::Tls,
    ),
    work(
        "handshake",
        "file of 1 KB, a new connection and a whole TLS 1.3 handshake each, ECDSA P-256",
        FILES,
        "/1k",
        Load::TlsNew,
    ),
    work(
        "handshake-rsa",
        "file of 1 KB, a new connection and a whole TLS 1.3 handshake each, RSA 2048",
        FILES_RSA,
        "/1k",
        Load::TlsNew,
    ),
    work(
        "static-100k-tls",
        "file of 100 KB, TLS 1.3",
        FILES,
        "/100k",
        Load::Tls,
    ),
    work(
        "static-10m-tls",
        "file of 10 MB, TLS 1.3",
        FILES,
        "/10m",
        Load::Tls,
    ),
    work(
        "static-1k-h2",
        "file of 1 KB, HTTP/2, 10 streams each",
        FILES,
        "/1k",
        Load::Http2(10),
    ),
    work(
        "static-1k-h2c",
        "file of 1 KB, HTTP/2 without TLS, 10 streams each",
        FILES,
        "/1k",
        Load::Http2Clear(10),
    ),
];

/// The server behind the proxies.
const UPSTREAM: Program = Program {
    arguments: &[
        "nginx",
        "-p",
        "{run}",
        "-e",
        "{run}/upstream.log",
        "-c",
        "{run}/upstream.conf",
    ],
    files: &[("edge-upstream.conf", "upstream.conf")],
    counted: false,
};

const CADDY: &[&str] = &["caddy", "run", "--config", "{run}/Caddyfile"];

/// Before one server at a unix socket.
pub(crate) const PROXIES: [Peer; 4] = [
    Peer {
        name: STEAD,
        label: "Stead",
        setting: "the edge alone with default settings (`crates/stead-edge/examples/proxy.rs`)",
        programs: &[
            UPSTREAM,
            Program {
                arguments: &[
                    "{proxy}",
                    "127.0.0.1:{port}",
                    "{run}/app.sock",
                    "--tls",
                    "127.0.0.1:{tls}",
                    "{certificate}",
                    "{key}",
                ],
                files: &[],
                counted: true,
            },
        ],
        reloads: 0,
        tls: true,
    },
    Peer {
        name: "nginx",
        label: "nginx",
        setting: "a worker for each CPU, 64 kept connections to the server, the same headers added",
        programs: &[
            UPSTREAM,
            Program {
                arguments: NGINX,
                files: &[
                    ("edge-nginx.conf", "nginx.conf"),
                    ("edge-nginx-proxy.conf", "place.conf"),
                ],
                counted: true,
            },
        ],
        reloads: 0,
        tls: true,
    },
    Peer {
        name: "haproxy",
        label: "HAProxy",
        setting: "a thread for each CPU, `http-reuse always`, the same headers added",
        programs: &[
            UPSTREAM,
            Program {
                arguments: &["haproxy", "-db", "-f", "{run}/haproxy.cfg"],
                files: &[("edge-haproxy.cfg", "haproxy.cfg")],
                counted: true,
            },
        ],
        reloads: 0,
        tls: true,
    },
    Peer {
        name: "caddy",
        label: "Caddy",
        setting: "`reverse_proxy` to the unix socket",
        programs: &[
            UPSTREAM,
            Program {
                arguments: CADDY,
                files: &[("edge-Caddyfile-proxy", "Caddyfile")],
                counted: true,
            },
        ],
        reloads: 0,
        tls: true,
    },
];

/// Before the same server, with tables of different sizes.
pub(crate) const TABLES: [Peer; 2] = [
    Peer {
        name: STEAD,
        label: "Stead, 10,000 hosts",
        setting: "the edge alone, a route for each host",
        programs: &[
            UPSTREAM,
            Program {
                arguments: &["{proxy}", "127.0.0.1:{port}", "{run}/app.sock", "10000"],
                files: &[],
                counted: true,
            },
        ],
        reloads: 0,
        tls: false,
    },
    Peer {
        name: "stead-10-hosts",
        label: "Stead, 10 hosts",
        setting: "the edge alone, a route for each host",
        programs: &[
            UPSTREAM,
            Program {
                arguments: &["{proxy}", "127.0.0.1:{port}", "{run}/app.sock", "10"],
                files: &[],
                counted: true,
            },
        ],
        reloads: 0,
        tls: false,
    },
];

/// Of a folder.
pub(crate) const FILE_SERVERS: [Peer; 3] = [
    Peer {
        name: STEAD,
        label: "Stead",
        setting: "the edge alone with default settings (`crates/stead-edge/examples/proxy.rs`)",
        programs: &[Program {
            arguments: &[
                "{proxy}",
                "127.0.0.1:{port}",
                "{app}/public",
                "--tls",
                "127.0.0.1:{tls}",
                "{certificate}",
                "{key}",
            ],
            files: &[],
            counted: true,
        }],
        reloads: 0,
        tls: true,
    },
    Peer {
        name: "nginx",
        label: "nginx",
        setting: "a worker for each CPU, `sendfile`, `open_file_cache`",
        programs: &[Program {
            arguments: NGINX,
            files: &[
                ("edge-nginx.conf", "nginx.conf"),
                ("edge-nginx-files.conf", "place.conf"),
            ],
            counted: true,
        }],
        reloads: 0,
        tls: true,
    },
    Peer {
        name: "caddy",
        label: "Caddy",
        setting: "`file_server`",
        programs: &[Program {
            arguments: CADDY,
            files: &[("edge-Caddyfile-files", "Caddyfile")],
            counted: true,
        }],
        reloads: 0,
        tls: true,
    },
];

/// Of the works above.
const EDGE_GOALS: [Goal; 18] = [
    goal("proxy-1k", 64, Bound::CpuBest(1.0)),
    goal("proxy-1k", 64, Bound::P99("nginx")),
    goal("proxy-1k-new", 64, Bound::CpuBest(1.0)),
    goal("proxy-1k-new", 64, Bound::P99("nginx")),
    goal("proxy-1k-tls", 64, Bound::CpuBest(1.0)),
    goal("proxy-1k-h2", 64, Bound::CpuBest(1.0)),
    goal("proxy-1k-h2c", 64, Bound::CpuBest(1.0)),
    // Constant time, but for what ten thousand names take of the processor's caches.
    goal("proxy-1k-hosts", 64, Bound::CpuShare(1.1, "stead-10-hosts")),
    goal("static-1k", 64, Bound::CpuShare(1.0, "nginx")),
    goal("static-100k", 64, Bound::CpuShare(1.0, "nginx")),
    goal("static-10m", 8, Bound::CpuShare(1.0, "nginx")),
    goal("static-1k-tls", 64, Bound::CpuShare(1.0, "nginx")),
    goal("static-1k-h2", 64, Bound::CpuShare(1.0, "nginx")),
    goal("handshake", 64, Bound::CpuShare(1.0, "nginx")),
    goal("handshake-rsa", 64, Bound::CpuShare(1.0, "nginx")),
    goal("static-100k-tls", 64, Bound::CpuShare(1.0, "nginx")),
    goal("static-10m-tls", 8, Bound::CpuShare(1.0, "nginx")),
    goal("static-1k-h2c", 64, Bound::CpuShare(1.0, "nginx")),
];

/// Of all works under wrk, ab and h2load.
pub(crate) fn goals() -> impl Iterator<Item = &'static Goal> {
    GOALS.iter().chain(&EDGE_GOALS)
}
