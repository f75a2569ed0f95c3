//! What is measured, as data: works, and the peers that do them.

pub(crate) mod edge;

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// On the command line.
    pub(crate) name: &'static str,
    /// In the results.
    pub(crate) label: &'static str,
    /// A directory of `bench/apps`.
    pub(crate) app: &'static str,
    /// What is asked for.
    pub(crate) path: &'static str,
    /// How it is asked for.
    pub(crate) load: Load,
    /// How many ask at once; one measurement for each.
    pub(crate) connections: &'static [u32],
}

/// How a load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// By wrk, over kept connections.
    Kept,
    /// By wrk with a script of `bench/wrk`, for requests with a body.
    Script(&'static str),
    /// By wrk, with a connection for each request.
    New,
    /// By wrk, over kept connections with TLS.
    Tls,
    /// By ab, with a connection and a whole handshake for each request: wrk would take its sessions up again.
    TlsNew,
    /// By wrk, each request to one of so many hosts as the peer's name says (`stead-10-hosts`), else 10,000.
    Hosts,
    /// By h2load, HTTP/2 over TLS, so many streams at once on each connection.
    Http2(u32),
    /// The same without TLS, with prior knowledge.
    Http2Clear(u32),
}

impl Load {
    /// Peers must have a certificate.
    pub(crate) fn needs_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsNew | Self::Http2(_))
    }
}

const FEW_AND_MANY: &[u32] = &[32, 256];
/// 256 bodies of 10 MB at once would measure this machine's memory, not the peers.
const FEW: &[u32] = &[32];

/// The works under `wrk`.
pub(crate) const WORKS: [Work; 6] = [
    Work {
        name: "hello",
        label: "bare WSGI, 14 bytes",
        app: "bare",
        path: "/",
        load: Load::Kept,
        connections: FEW_AND_MANY,
    },
    Work {
        name: "flask",
        label: "Flask, small JSON",
        app: "flask",
        path: "/",
        load: Load::Kept,
        connections: FEW_AND_MANY,
    },
    Work {
        name: "megabyte",
        label: "1 MB response",
        app: "bare",
        path: "/megabyte",
        load: Load::Kept,
        connections: FEW_AND_MANY,
    },
    Work {
        name: "upload-64k",
        label: "64 KB upload",
        app: "bare",
        path: "/upload",
        load: Load::Script("upload-64k.lua"),
        connections: FEW_AND_MANY,
    },
    Work {
        name: "upload-10m",
        label: "10 MB upload",
        app: "bare",
        path: "/upload",
        load: Load::Script("upload-10m.lua"),
        connections: FEW,
    },
    Work {
        name: "sleep",
        label: "20 ms sleep",
        app: "bare",
        path: "/sleep",
        load: Load::Kept,
        connections: FEW_AND_MANY,
    },
];

/// What a user might pick. Its programs listen on `127.0.0.1:{port}` together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// On the command line.
    pub(crate) name: &'static str,
    /// In the results.
    pub(crate) label: &'static str,
    /// How it is set up, in a few words.
    pub(crate) setting: &'static str,
    /// Started in this order.
    pub(crate) programs: &'static [Program],
    /// Which of the programs reloads the app at SIGHUP.
    pub(crate) reloads: usize,
    /// It listens with TLS on `{tls}`, too.
    pub(crate) tls: bool,
}

/// One program of a peer. In arguments and files `{run}` is the directory for sockets and
/// the like, `{app}` the app's, `{venv}` the peers' environment, `{stead}` the binary,
/// `{port}` the port, `{tls}` and `{h2c}` others, `{user}` who runs all this, `{proxy}` the edge alone (an example of its crate),
/// `{certificate}` and `{key}` files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    /// The argument vector.
    pub(crate) arguments: &'static [&'static str],
    /// Files of `bench/peers` that are filled in and written to `{run}`, under the second name.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Its CPU and memory are the peer's. Not so for the server behind a proxy, which is the same for all.
    pub(crate) counted: bool,
}

const GUNICORN: Program = Program {
    arguments: &["{venv}/bin/gunicorn", "--config", "{run}/gunicorn.conf.py"],
    files: &[("gunicorn.conf.py", "gunicorn.conf.py")],
    counted: true,
};

const NGINX: &[&str] = &[
    "nginx",
    "-p",
    "{run}",
    "-e",
    "{run}/nginx.log",
    "-c",
    "{run}/nginx.conf",
];

/// Stead's own name among the peers.
pub(crate) const STEAD: &str = "stead";

/// Stead as its users start it.
const STEAD_UP: Program = Program {
    arguments: &[
        "{stead}",
        "up",
        "{app}",
        "--port",
        "{port}",
        "--access-log",
        "off",
    ],
    files: &[],
    counted: true,
};

/// Stead and those beside it.
pub(crate) const PEERS: [Peer; 5] = [
    Peer {
        name: STEAD,
        label: "Stead",
        setting: "`stead up --access-log off`, else default settings",
        programs: &[STEAD_UP],
        reloads: 0,
        tls: false,
    },
    Peer {
        name: "nginx-uwsgi",
        label: "nginx → uwsgi",
        setting: "2 processes, unix socket, uwsgi protocol",
        programs: &[
            Program {
                arguments: &["uwsgi", "--ini", "{run}/uwsgi.ini"],
                files: &[("uwsgi.ini", "uwsgi.ini")],
                counted: true,
            },
            Program {
                arguments: NGINX,
                files: &[
                    ("nginx.conf", "nginx.conf"),
                    ("nginx-uwsgi.conf", "upstream.conf"),
                ],
                counted: true,
            },
        ],
        reloads: 0,
        tls: false,
    },
    Peer {
        name: "nginx-gunicorn",
        label: "nginx → gunicorn",
        setting: "3 sync workers, unix socket, HTTP",
        programs: &[
            GUNICORN,
            Program {
                arguments: NGINX,
                files: &[
                    ("nginx.conf", "nginx.conf"),
                    ("nginx-gunicorn.conf", "upstream.conf"),
                ],
                counted: true,
            },
        ],
        reloads: 0,
        tls: false,
    },
    Peer {
        name: "caddy-gunicorn",
        label: "caddy → gunicorn",
        setting: "3 sync workers, unix socket, HTTP",
        programs: &[
            GUNICORN,
            Program {
                arguments: &["caddy", "run", "--config", "{run}/Caddyfile"],
                files: &[("Caddyfile", "Caddyfile")],
                counted: true,
            },
        ],
        reloads: 0,
        tls: false,
    },
    Peer {
        name: "granian",
        label: "granian alone",
        setting: "2 workers, nothing in front",
        programs: &[Program {
            arguments: &[
                "{venv}/bin/granian",
                "--interface",
                "wsgi",
                "--workers",
                "2",
                "--host",
                "127.0.0.1",
                "--port",
                "{port}",
                "--no-access-log",
                "--working-dir",
                "{app}",
                "app:application",
            ],
            files: &[],
            counted: true,
        }],
        reloads: 0,
        tls: false,
    },
];

/// What must be reached: Stead's figure beside a peer's, in the same run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// A work's name.
    pub(crate) work: &'static str,
    /// How many connections.
    pub(crate) connections: u32,
    /// What is held against what.
    pub(crate) bound: Bound,
}

/// A bound on a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// CPU seconds are at most this share of the peer's.
    CpuShare(f64, &'static str),
    /// CPU seconds are at most this share of the best peer's.
    CpuBest(f64),
    /// At least so many requests a second.
    Rate(f64),
    /// p99 is at most the peer's.
    P99(&'static str),
}

const UWSGI: &str = "nginx-uwsgi";

/// Of the works under `wrk`; the others judge themselves.
pub(crate) const GOALS: [Goal; 6] = [
    goal("hello", 32, Bound::CpuShare(0.65, UWSGI)),
    goal("flask", 32, Bound::CpuShare(0.85, UWSGI)),
    goal("megabyte", 32, Bound::CpuShare(0.5, UWSGI)),
    goal("upload-64k", 32, Bound::CpuShare(0.65, UWSGI)),
    goal("sleep", 32, Bound::Rate(1300.0)),
    goal("hello", 256, Bound::P99(UWSGI)),
];

const fn goal(work: &'static str, connections: u32, bound: Bound) -> Goal {
    Goal {
        work,
        connections,
        bound,
    }
}

/// Those who do the works of `app`.
pub(crate) fn peers_of(app: &str) -> &'static [Peer] {
    match app {
        edge::PROXIED => &edge::PROXIES,
        edge::HOSTS => &edge::TABLES,
        edge::FILES | edge::FILES_RSA => &edge::FILE_SERVERS,
        _ => &PEERS,
    }
}

/// Every work.
pub(crate) fn works() -> impl Iterator<Item = &'static Work> {
    WORKS.iter().chain(&edge::WORKS)
}

/// Every name of a peer, some of them several times.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let edge = edge::PROXIES.iter().chain(&edge::FILE_SERVERS);
    let edge = edge.chain(&edge::TABLES);
    PEERS.iter().chain(edge).map(|peer| peer.name)
}

/// A peer that runs apps, by its name.
pub(crate) fn peer(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}
