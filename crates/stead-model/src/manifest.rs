//! What one `stead.toml` says, after validation. Everything that may be left out is an
//! `Option` or has its default filled in; nothing in here is resolved against a machine yet.

mod acme;
mod edge;
mod hosts;
pub mod keys;
mod parse;
mod process;
mod route;
mod section;
mod syntax;
mod tls;
pub(crate) mod values;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config_error::ConfigErrors;
use crate::network::Network;
use crate::routing::{PlainHttp, TlsVersion};

pub(crate) use section::shorten;
pub(crate) use values::{name, shell_line};

/// A whole `stead.toml`: one app. Everything has a default; unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Manifest {
    /// The app's name: lower-case letters, digits and `-`, beginning with a letter, at most 32 characters.
    pub app: String,
    /// How the source becomes an environment.
    pub build: Build,
    /// Long-running programs by name; `web` is the one that visitors reach.
    pub process: BTreeMap<String, Process>,
    /// Commands run on a schedule.
    pub job: BTreeMap<String, Job>,
    /// A shell line, run once for each release before visitors reach it: a database migration, say. If
    /// it fails, nothing has changed for visitors.
    pub release_command: Option<String>,
    /// Host names and paths, in file order. Empty: every host goes to `web`.
    pub route: Vec<Route>,
    /// How visitors come in.
    pub edge: Edge,
    /// Where certificates come from, when it is not as usual.
    pub acme: Acme,
    /// How the hosts of all routes are spoken to over TLS.
    pub tls: Tls,
    /// Environment variables given to every process, job and the release command.
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are never in the file.
    pub secret: BTreeMap<String, Secret>,
    /// Directories that outlive releases.
    pub volume: BTreeMap<String, Volume>,
    /// The machines that the app is deployed to, in groups: `USER@HOST`, as to ssh.
    pub hosts: BTreeMap<String, Vec<String>>,
    /// A branch elsewhere that a host deploys when it is told of a push. `None`: it is told of none.
    pub webhook: Option<Webhook>,
}

/// A host deploys a branch when GitHub, GitLab, Gitee or a server that speaks as they do tells it of a push, with a signature. Without this table it
/// does not listen. What is deployed is the branch as the host finds it in the repository, whatever the delivery says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where deliveries come to, on every host of the app's routes. Nothing that is sent there reaches the app.
    pub path: String,
    /// Where the branch is pulled from: an `https://` or `ssh://` URL, or `git@HOST:PATH`.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// Where the app is in the repository, parts between slashes.
    pub directory: String,
    /// The file below `/var/lib/stead/apps/APP/secrets` on the host with what deliveries are signed with. It is made when it is not there. Neither it nor `key` is
    /// given to the app.
    pub secret: String,
    /// The file beside it with a private key that ssh may read the repository with.
    pub key: Option<String>,
}

/// How the source becomes an environment: code with everything that it needs to run.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Build {
    /// The Python version, `"3.11"` or with a patch number, `"3.11.4"`. 3.6 is the oldest.
    pub python: Option<String>,
    /// The directory of the repository that the app lives in. Every other path of the file is
    /// relative to it, and everything runs in it.
    pub root: Option<String>,
    /// Requirements file (or lock file) relative to the root, when it is not one of the usual names.
    pub requirements: Option<String>,
    /// System packages that the machine must have, by their Debian names.
    pub packages: Vec<String>,
    /// Shell lines, run in the source in this order after the environment is complete.
    pub commands: Vec<String>,
    /// Where Python packages come from: `"auto"`, `"pypi"`, the name of a mirror (`"aliyun"`, `"tuna"`,
    /// `"ustc"`, `"tencent"`, `"huawei"`, `"bfsu"`) or the URL of an index. It takes the place of PyPI; there is
    /// never a second index beside it.
    pub index: Option<String>,
    /// Only package versions that were uploaded before this date: keeps an old app's unpinned
    /// packages as they were.
    pub exclude_newer: Option<String>,
}

/// A long-running program, and how many instances of it run. `web` is the process that visitors
/// reach; others, like `worker`, run beside it. What is run is said by exactly one of `wsgi`, `asgi`,
/// `command`, `static` and `uwsgi`.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// What is run.
    pub program: Program,
    /// Which server runs a `wsgi` or `asgi` entry point: `"stead"` (its own WSGI worker), `"gunicorn"`,
    /// `"uwsgi"`, `"granian"` or `"uvicorn"`. The version that the app itself pins is used.
    pub server: Option<Server>,
    /// How many instances run, 0 to 1000. `"auto"`: 2 × CPUs + 1, cut down to what memory allows.
    pub count: Count,
    /// Threads of each instance of a `wsgi` process, 1 to 256. `"auto"`: up to 16, and a second one is used
    /// only when every first one is busy. 1: the app is not thread-safe.
    pub threads: Threads,
    /// Import the app once and fork the instances from it, which saves memory. Only for `wsgi` with
    /// Stead's own worker.
    pub preload: bool,
    /// Memory of one instance. Above it the instance finishes its requests and is replaced.
    pub memory: Option<u64>,
    /// How long the app may take until it begins to answer a request; then the visitor gets 504 and the instance
    /// is replaced. A route can have its own.
    pub timeout: Duration,
    /// How long opening a connection to an instance may take.
    pub connect_timeout: Duration,
    /// The longest pause within an answer; then it is cut. Given, it also ends streams of events that are silent
    /// for longer.
    pub idle_timeout: Option<Duration>,
    /// The longest time for a whole answer, however much of it has come; then it is cut, or the visitor gets
    /// 504. An upgraded connection (WebSocket) is not cut.
    pub total_timeout: Option<Duration>,
    /// A visitor's requests go to the same instance, as long as it is there: for apps that keep sessions in
    /// memory. A cookie with a random value says who comes back. Not for Stead's own worker.
    pub sticky: bool,
    /// How long an instance that is being stopped may finish its requests; for a process that visitors do not
    /// reach, how long it may take to end after SIGTERM. That signal goes to the program alone, which ends what it
    /// started in its own way, then to what it left behind. When the time is over everything of it gets SIGKILL.
    pub drain: Duration,
    /// When an instance counts as ready for visitors; see `[process.NAME.health]`.
    pub health: Health,
}

/// What a process runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// A WSGI application: `"module:attribute"` or `"module:factory()"`.
    Wsgi(String),
    /// An ASGI application: `"module:attribute"` or `"module:factory()"`.
    Asgi(String),
    /// A shell line. That of a process that visitors reach must listen on `$PORT`.
    Command(String),
    /// A folder of files that is served as it is; no instance runs.
    Static(String),
    /// The app's own uwsgi configuration, an `.ini` file. Its values are read; paths, users and sockets in
    /// it are not obeyed.
    Uwsgi(String),
}

/// `server = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Stead's own WSGI worker.
    Stead,
    /// The app's own pin of gunicorn.
    Gunicorn,
    /// The app's own pin of uWSGI, over the uwsgi protocol.
    Uwsgi,
    /// The app's own pin of granian.
    Granian,
    /// The app's own pin of uvicorn.
    Uvicorn,
}

/// `count = "auto"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// 2 × CPU + 1, cut down to what memory allows.
    Auto,
    /// As given, 1 to 1000 (0 for a process that is switched off).
    Fixed(u32),
}

/// `threads = "auto"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Up to 16, each started only when every other one is busy.
    Auto,
    /// As given, 1 to 256; 1 means that the app is not thread-safe.
    Fixed(u32),
}

/// When an instance counts as ready: it answers a GET with one of these statuses. On one line it is
/// `health = { path = "/health" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Path and query of the probe.
    pub path: String,
    /// The statuses that are good, as one status or a range with both its ends. By default even 404 and
    /// 401 are: an API may answer so at `/`.
    pub status: (u16, u16),
    /// The Host header of the probe.
    pub host: Option<String>,
    /// How long an instance may take from its start to its first good answer.
    pub within: Duration,
    /// Ask every instance this often while it serves. One that fails three times in a row (5 s without an answer
    /// are a failure) gets no more requests, if there is another, and is replaced.
    pub every: Option<Duration>,
}

/// A command that is run on a schedule, or by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Five cron fields (minute, hour, day of the month, month, day of the week), or `@hourly`, `@daily`,
    /// `@weekly`, `@monthly`, `@yearly`. Where the clock jumps, a daily job is neither lost nor run twice.
    pub schedule: Option<String>,
    /// Whose clock the schedule is read on: a name of the IANA database.
    pub timezone: Option<String>,
    /// The shell line that is run.
    pub command: String,
    /// What happens when the run before is still going: `"skip"` leaves the new one out, `"queue"` lets it
    /// wait (at most one does), `"replace"` stops the old one.
    pub overlap: Overlap,
    /// A run is stopped after this long.
    pub timeout: Duration,
}

/// `overlap = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The new run does not happen.
    #[default]
    Skip,
    /// The new run happens when the old one ended; at most one waits.
    Queue,
    /// The old run is stopped and the new one starts.
    Replace,
}

/// Which visitors go where. Without a route, every host goes to `web`. With several, each begins with
/// `[[route]]`; the most specific host and then the longest path wins.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Route {
    /// Host names; `*.example.com` stands for one more level.
    pub hosts: Vec<String>,
    /// The prefix of the paths that this route is for: `/api` is for `/api` and `/api/x`, not for `/apix`.
    pub path: String,
    /// The process that answers.
    pub process: Option<String>,
    /// Path prefixes whose files are served from a folder, without asking the process. One that is the route's own
    /// `path` leaves the process nothing of this route.
    pub static_folders: BTreeMap<String, String>,
    /// The largest request body; a larger one is answered 413.
    pub body_limit: Option<u64>,
    /// The process's `timeout`, for this route alone: a report that takes three minutes needs no higher limit
    /// anywhere else.
    pub timeout: Option<Duration>,
    /// The process's `idle-timeout`, for this route alone.
    pub idle_timeout: Option<Duration>,
    /// The process's `total-timeout`, for this route alone.
    pub total_timeout: Option<Duration>,
    /// What is sent on elsewhere: a host name to another, with the same path; or a path, with everything below it, to
    /// another path or to a URL: with `"/old" = "/new"`, `/old/x` is sent to `/new/x`. A path that is sent to one below
    /// itself, such as `"/" = "/shop"`, is meant alone. The query is kept.
    pub redirects: BTreeMap<String, String>,
    /// The status of this route's redirects: 301, 302, 303, 307 or 308. 307 and 308 keep the method.
    pub redirect_status: Option<u16>,
    /// What the process gets in place of this route's `path`. `"/"` takes it off: for `/api/x` the app then sees
    /// `/x`, and finds `/api` in `SCRIPT_NAME` (WSGI) or in the header `X-Forwarded-Prefix`.
    pub rewrite: Option<String>,
    /// Headers that every response of this route has, errors and redirects too. They take the place of the app's.
    pub headers: BTreeMap<String, String>,
    /// Headers of the app that no response of this route has.
    pub remove_headers: Vec<String>,
    /// Headers that the process gets with every request. They take the place of the visitor's.
    pub request_headers: BTreeMap<String, String>,
    /// Headers of visitors that the process does not get.
    pub remove_request_headers: Vec<String>,
    /// Who may come in, with a name and a password (basic authentication): name → bcrypt hash, as `stead password` and
    /// `htpasswd -B` write it. The process gets the name as `REMOTE_USER` (WSGI) and in the header `X-Forwarded-User`,
    /// and the password only with `pass-authorization`.
    pub users: BTreeMap<String, String>,
    /// A file with more of them, in the source or, with a path that begins with `/`, on the machine: a line for each, as
    /// `htpasswd -B` writes it. What is changed in it holds a second later. Only bcrypt is known; a line with another hash lets
    /// nobody in. A file that is gone, or broken, changes nothing but that it is said: whom it let in before still comes in,
    /// and when it was broken from the beginning, nobody. To let nobody in any more, empty it.
    pub users_file: Option<String>,
    /// `true`: the process gets the visitor's header `Authorization`, too, with the password in it: for an app that checks it a
    /// second time, or asks others in the visitor's name. Without `users` and `users-file` it gets that header in any case.
    pub pass_authorization: Option<bool>,
    /// `true`: every visitor is answered 503. A path: for as long as that file is there; what is in it is the page.
    /// Redirects are followed nevertheless.
    pub maintenance: Option<Maintenance>,
    /// Addresses and networks whose visitors are served during maintenance.
    pub maintenance_allow: Vec<Network>,
    /// Pages for the errors that Stead itself answers, such as a missing file or an app that does not answer: a status,
    /// `"404"`, or a class, `"5xx"` → an HTML file of up to 256 KB. What the app answers is never replaced, and who
    /// prefers JSON gets JSON.
    pub errors: BTreeMap<String, String>,
    /// How many requests one address may send to this route in the long run: `"10/s"`, `"300/m"`, `"1000/h"`. Whoever
    /// sends more is answered 429 and told when to come again. Files count too. IPv6 addresses count by their /64.
    pub rate: Option<Rate>,
    /// How many requests may come at once before `rate` holds them up.
    pub burst: Option<u32>,
    /// `true`: the process's responses are compressed, too, with zstd, brotli or gzip, as the visitor wants it: texts from 1 KB on that
    /// are not compressed yet and do not say `no-transform`; streams of events are not. Leave it out where a page shows a
    /// secret beside something that the visitor sent: its length would tell (the BREACH attack). `false`: neither they nor files
    /// are; precompressed ones (`.br`, `.zst`, `.gz`) are sent in any case.
    pub compress: Option<bool>,
    /// The file that answers for every path that has no file and no extension, for apps of a single page. Who prefers
    /// JSON gets 404 nevertheless.
    pub fallback: Option<String>,
    /// `Cache-Control` of files, by pattern: `"*.woff2"` is about names, `"/assets/*"` about whole paths; `*` is any text,
    /// and the first that fits counts. Else files with a hash in their names (`app.3f2a1b9c.js`) are kept for a year, and
    /// others are asked about each time.
    pub cache: Vec<(String, String)>,
}

/// `maintenance = true` or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// Now.
    Now,
    /// While this file exists.
    While(String),
}

/// `rate = "10/s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// So many requests, at least 1.
    pub count: u32,
    /// In so much time.
    pub per: Duration,
}

/// How visitors come in: what holds for all routes. A connection keeps what held when it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Edge {
    /// Proxies before Stead: addresses, networks, or `"private"` for all addresses that are not routed on the
    /// internet. What they say of the visitor (`X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`,
    /// `X-Forwarded-Port`, `Forwarded`) and their `X-Request-ID` is believed; nobody else's is. The visitor is the
    /// rightmost address that is not trusted. Each proxy must set or take out each of these headers.
    pub trusted: Vec<Network>,
    /// The one header that a trusted proxy names the visitor in: `"X-Forwarded-For"`, `"Forwarded"` or `"X-Real-IP"`. Say it
    /// when the proxy does not write `X-Forwarded-For`: else a visitor could.
    pub visitor_header: Option<VisitorHeader>,
    /// The trusted ones begin each connection with a PROXY protocol header, version 1 or 2. One who does not is
    /// not let in, and nobody else's header is read.
    pub proxy_protocol: bool,
    /// From the first byte of a request to the end of its head; then the visitor gets 408.
    pub header_timeout: Option<Duration>,
    /// How long a connection may be silent between two requests.
    pub idle_timeout: Option<Duration>,
    /// The longest pause within a request's body, or within the reading of a response. Who sends a body must send at
    /// least 4 KB of it in this time, from the first 256 KB on 64 KB; who reads a response must take 16 KB.
    pub stall_timeout: Option<Duration>,
    /// How many connections one address may have open; more are closed at once. IPv6 addresses count by their /64.
    /// Trusted proxies may have any number.
    pub connections: Option<u32>,
}

/// Where a trusted proxy says who the visitor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VisitorHeader {
    /// Addresses in a row; each proxy appends whom it saw.
    XForwardedFor,
    /// The same with more about each (RFC 7239).
    Forwarded,
    /// One address.
    XRealIp,
}

/// Where the certificates of the routes' hosts come from, and how. Without this table they come from Let's Encrypt.
/// See [certificates](certificates.md).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Acme {
    /// Where the authority writes to when something is wrong with the account. Not every authority wants one.
    pub email: Option<String>,
    /// The URL of the authority's directory (RFC 8555 section 7.1.1).
    pub directory: Option<String>,
    /// Let's Encrypt's staging environment: certificates that no browser trusts, for trying things out without limits.
    pub staging: bool,
    /// A PEM file with the roots that the directory's own certificate leads to, for an authority of your own. None
    /// but these are trusted then.
    pub ca_root: Option<String>,
    /// How a host is proven to be yours: `"http-01"` (port 80 answers), `"tls-alpn-01"` (port 443 answers), `"dns-01"` (a
    /// record in the DNS), `"auto"`: the first that works. Wildcards are always proven by `dns-01`.
    pub challenge: ChallengeChoice,
    /// Who holds the DNS records: `"cloudflare"` (`CLOUDFLARE_API_TOKEN`), `"alidns"` (`ALIBABA_CLOUD_ACCESS_KEY_ID`,
    /// `ALIBABA_CLOUD_ACCESS_KEY_SECRET`) or `"route53"` (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`). The
    /// credentials are files in `.stead/secrets` or environment variables of `stead up`, by these names; on a host, files in
    /// `/var/lib/stead/apps/APP/secrets`.
    pub dns: Option<DnsProvider>,
    /// A program that makes and removes DNS records: its path and arguments. It is run with `present` or `cleanup`, the
    /// record's name and its value after them, and must end with 0 when the record can be seen. On a host it runs as the app's user.
    pub dns_program: Vec<String>,
    /// The key identifier of an external account (RFC 8555 section 7.3.4), for authorities that want one. Its HMAC key, as the
    /// authority shows it, is the secret `ACME_EAB_HMAC_KEY`: a file in `.stead/secrets` or an environment variable.
    pub eab_kid: Option<String>,
    /// A kind of certificate that the authority offers, `"shortlived"` say.
    pub profile: Option<String>,
    /// DNS servers that are asked where a host is, in place of those of `/etc/resolv.conf`: each an IP address, with a
    /// port if it is not 53.
    pub resolvers: Vec<std::net::SocketAddr>,
    /// Certificates for domains that no route names, say those of your customers; see `[acme.on-demand]`.
    pub on_demand: Option<OnDemand>,
}

/// Certificates for domains that no route names, ordered when the first visitor comes: domains of your customers, which lead
/// here. The app is asked about each, and says yes with a status from 200 to 299. The routes without hosts serve them,
/// or else those of the app's first hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemand {
    /// Where the app is asked: a path and the beginning of a query, to which the domain is added. It must answer within five
    /// seconds.
    pub ask: String,
    /// How many new domains are ordered at most; others wait. For each registered domain it is a tenth of that, at least
    /// five.
    pub rate: Rate,
}

/// `challenge = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeChoice {
    /// The first that works.
    #[default]
    Auto,
    /// A token over plain HTTP.
    #[serde(rename = "http-01")]
    Http,
    /// A certificate over TLS.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn,
    /// A record in the DNS.
    #[serde(rename = "dns-01")]
    Dns,
}

/// `dns = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsProvider {
    /// Cloudflare, API version 4.
    Cloudflare,
    /// Alibaba Cloud DNS, API version 2015-01-09.
    Alidns,
    /// Amazon Route 53, API version 2013-04-01.
    Route53,
}

/// How visitors come over TLS. Files are absolute paths, or relative to the app's root; see [TLS](tls.md).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// A certificate of your own: a PEM file, the leaf first, then what leads to its authority. It is read again when it
    /// changes. Which hosts it is for, it says itself.
    pub certificate: Option<String>,
    /// The key of `certificate`: a PEM file, not encrypted.
    pub key: Option<String>,
    /// The oldest version that is spoken: `"1.2"` or `"1.3"`.
    pub minimum: TlsVersion,
    /// What a visitor gets who comes over plain HTTP to a host that has a certificate: `"redirect"` (308 to `https`) or
    /// `"serve"`, the same as over TLS.
    pub http: PlainHttp,
    /// How long a browser that was here over TLS is to refuse anything else (Strict-Transport-Security). What the app
    /// itself says of it goes before. It cannot be taken back: begin with a short time.
    pub hsts: Option<Duration>,
    /// `hsts` holds for every host below those of the app, too (`includeSubDomains`), whoever serves it: each of them must have a certificate
    /// then.
    pub hsts_subdomains: bool,
    /// Visitors must have a certificate that one of the authorities in this PEM file has issued. The app learns of it by
    /// the headers `Stead-Client-Subject` and `Stead-Client-Fingerprint`. A file that is missing or broken lets nobody
    /// in.
    pub client_ca: Option<String>,
    /// What a visitor of port 443 gets while a host waits for its first certificate: `"refused"`, no connection, or
    /// `"self-signed"`, a certificate of nobody's, against which browsers warn. Port 80 serves either way.
    pub until: Until,
}

/// `until = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// The handshake ends.
    #[default]
    Refused,
    /// Browsers warn.
    SelfSigned,
}

/// An environment variable whose value is never in the file.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Secret {
    /// A random value is made once, when there is none yet, and kept.
    pub generate: bool,
}

/// A directory that outlives releases: uploads, an SQLite file.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Volume {
    /// Where the app finds it, inside of its code. Volumes do not lie inside of each other.
    pub path: String,
}

impl Manifest {
    /// Read a `stead.toml`. `file_name` is how errors name it. Every problem of the file is reported
    /// at once; but where the text is not TOML, only that is.
    ///
    /// `app` is empty when the file does not give it: [`fit_app_name`] makes one of a directory's name.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        parse::manifest(text, file_name)
    }
}

/// Whether `app` accepts it.
pub fn is_app_name(text: &str) -> bool {
    values::app_name(text).is_ok()
}

/// A name that `app` accepts, as near to a directory's name as can be.
pub fn fit_app_name(directory: &str) -> String {
    values::fit_app_name(directory)
}

impl Route {
    /// Whether one of `redirects` is meant for its path alone, and not for what is below it: it leads to a path below
    /// itself.
    pub fn is_for_one_path(from: &str, to: &str) -> bool {
        from.starts_with('/') && route::is_below(from, to)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/".into(),
            status: (100, 499),
            host: None,
            within: Duration::from_secs(60),
            every: None,
        }
    }
}

impl Manifest {
    /// The longest time that a process may take until it begins to answer, on any route: what its server must
    /// allow.
    pub fn longest_timeout(&self, name: &str) -> Duration {
        let own = self.process.get(name).map(|process| process.timeout);
        let routes = self.route.iter();
        let routes = routes.filter(|route| route.process.as_deref().unwrap_or("web") == name);
        routes
            .filter_map(|route| route.timeout)
            .chain(own)
            .max()
            .unwrap_or_default()
    }
}

impl Process {
    /// A process with every default, running `program`.
    pub fn new(program: Program) -> Self {
        Self {
            program,
            server: None,
            count: Count::Auto,
            threads: Threads::Auto,
            preload: false,
            memory: None,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: None,
            total_timeout: None,
            sticky: false,
            drain: Duration::from_secs(30),
            health: Health::default(),
        }
    }
}

#[cfg(test)]
mod tests;
