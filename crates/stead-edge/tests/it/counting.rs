//! Upstreams of each protocol that write down what reaches them, strictly: a byte that is no part of a whole
//! request, a request without the edge's stamp, or a stamp that came before is a fault.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stead_edge::fuzzing::reference::{self, Reading};
use stead_model::manifest::Edge;
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId, RoutingTable};

use crate::running::{PATIENCE, Running, Worker, table, upstream};

/// A request as an upstream understood it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    pub(crate) stamps: Vec<String>,
    /// Names as the upstream sees them, in lower case, `HTTP_` taken off.
    pub(crate) fields: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(other, _)| other == name);
        same.map(|(_, value)| value.as_str()).collect()
    }
}

/// What came.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    pub(crate) faults: Vec<String>,
    stamps: HashSet<String>,
}

impl Seen {
    fn take(&mut self, request: Request) {
        match request.stamps.as_slice() {
            [stamp] if stamp.len() == 32 && self.stamps.insert(stamp.clone()) => {}
            stamps => self
                .faults
                .push(format!("{} has the stamps {stamps:?}", request.target)),
        }
        self.requests.push(request);
    }
}

/// An edge before an upstream that counts.
pub(crate) struct Counting {
    pub(crate) running: Running,
    seen: Arc<Mutex<Seen>>,
    /// What an app has written down.
    journal: Option<PathBuf>,
    _worker: Option<Worker>,
    _node: Option<Node>,
    _folder: tempfile::TempDir,
}

/// Where the worker's app writes its requests, one line of JSON each.
const APP: &str = r#"
import json
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    fields = [(k[5:].lower().replace("_", "-"), v) for k, v in environ.items() if k.startswith("HTTP_")]
    line = json.dumps([environ["REQUEST_METHOD"], environ["REQUEST_URI"], body.decode("latin-1"), fields])
    with open(JOURNAL, "a") as journal:
        journal.write(line + "\n")
    start_response("200 OK", [])
    return [b"counted"]
"#;

/// The same on Node, whose parser is as strict as any and was written by others. What it refuses of the edge is
/// written down, too; not so that a visitor has left in the middle of a body.
const NODE: &str = r#"
const fs = require("fs"), http = require("http");
const [journal, socket] = process.argv.slice(1);
const write = (line) => fs.appendFileSync(journal, JSON.stringify(line) + "\n");
const server = http.createServer((request, response) => {
  const pieces = [], raw = request.rawHeaders, fields = [];
  for (let at = 0; at < raw.length; at += 2) fields.push([raw[at].toLowerCase(), raw[at + 1]]);
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    write([request.method, request.url, Buffer.concat(pieces).toString("latin1"), fields]);
    response.end("counted");
  });
});
server.on("clientError", (error, connection) => {
  if (/^HPE_/.test(error.code) && error.code !== "HPE_INVALID_EOF_STATE") write([error.code, "", "", []]);
  connection.destroy();
});
server.listen(socket);
"#;

/// A server on Node; killed when dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Counting {
    /// Before a server on Node.
    pub(crate) fn node() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (journal, socket) = (
            folder.path().join("journal"),
            folder.path().join("node.sock"),
        );
        std::fs::write(&journal, "").unwrap();
        let child = Command::new("node")
            .args(["-e", NODE])
            .args([&journal, &socket])
            .spawn()
            .expect("`node` is installed");
        let node = Node(child);
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "Node does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        let instance = Instance {
            id: InstanceId(1),
            address: Address::Unix(socket),
            capacity: 100,
        };
        Self {
            running: Running::start(table(upstream(Protocol::Http, vec![instance]))),
            seen: Arc::default(),
            journal: Some(journal),
            _worker: None,
            _node: Some(node),
            _folder: folder,
        }
    }

    pub(crate) fn start(protocol: Protocol) -> Self {
        Self::with(protocol, Edge::default())
    }

    /// Visitors come in as `edge` says.
    pub(crate) fn with(protocol: Protocol, edge: Edge) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (mut worker, mut journal) = (None, None);
        let instance = if protocol == Protocol::Frames {
            let path = folder.path().join("journal");
            std::fs::write(&path, "").unwrap();
            let app = format!("JOURNAL = {:?}\n{APP}", path.display().to_string());
            let started = Worker::start(&app, 4);
            let instance = started.instance.clone();
            (worker, journal) = (Some(started), Some(path));
            instance
        } else {
            listen(folder.path(), protocol, &seen)
        };
        let running = Running::start(RoutingTable {
            edge,
            ..table(upstream(protocol, vec![instance]))
        });
        Self {
            running,
            seen,
            journal,
            _worker: worker,
            _node: None,
            _folder: folder,
        }
    }

    /// Everything that has come by now.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let Some(path) = &self.journal else {
            return seen;
        };
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, "").unwrap();
        for line in text.lines() {
            let (method, target, body, fields): (String, String, String, Vec<(String, String)>) =
                serde_json::from_str(line).unwrap();
            let stamp =
                |(name, value): &(String, String)| (name == "stead-request").then(|| value.clone());
            seen.take(Request {
                method,
                target,
                body: body.chars().map(|character| character as u8).collect(),
                stamps: fields.iter().filter_map(stamp).collect(),
                fields,
            });
        }
        seen
    }
}

fn listen(folder: &Path, protocol: Protocol, seen: &Arc<Mutex<Seen>>) -> Instance {
    let socket = folder.join("web.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let seen = Arc::clone(seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), seen) = (stream, Arc::clone(&seen)) else {
                return;
            };
            std::thread::spawn(move || match protocol {
                Protocol::Uwsgi => serve_uwsgi(stream, &seen),
                _ => serve_http(stream, &seen),
            });
        }
    });
    Instance {
        id: InstanceId(1),
        address: Address::Unix(socket),
        capacity: 100,
    }
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";

fn serve_http(mut stream: UnixStream, seen: &Mutex<Seen>) {
    let (mut read, mut buffer) = (Vec::new(), [0; 65536]);
    loop {
        let (messages, rest) = reference::read_all(&read);
        for message in messages {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let fields = message.fields.iter();
            let request = Request {
                stamps: message
                    .values("stead-request")
                    .into_iter()
                    .map(text)
                    .collect(),
                fields: fields
                    .map(|(name, value)| (name.to_ascii_lowercase(), text(value)))
                    .collect(),
                method: message.method,
                target: message.target,
                body: message.body,
            };
            read.drain(..message.used);
            let body = if request.method == "HEAD" {
                ""
            } else {
                "counted"
            };
            seen.lock().unwrap().take(request);
            if stream
                .write_all(format!("{ANSWER}{body}").as_bytes())
                .is_err()
            {
                return;
            }
        }
        if let Reading::Invalid(why) = rest {
            let text = String::from_utf8_lossy(&read).into_owned();
            seen.lock().unwrap().faults.push(format!("{why}: {text:?}"));
            return;
        }
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => read.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
}

/// The uwsgi protocol: a packet of variables, a body as long as `CONTENT_LENGTH` says, and nothing else.
fn serve_uwsgi(mut stream: UnixStream, seen: &Mutex<Seen>) {
    let mut header = [0; 4];
    if stream.read_exact(&mut header).is_err() {
        return;
    }
    let mut packet = vec![0; usize::from(u16::from_le_bytes([header[1], header[2]]))];
    stream.read_exact(&mut packet).unwrap();
    let (mut variables, mut rest) = (Vec::<(String, String)>::new(), packet.as_slice());
    let text = |rest: &mut &[u8]| {
        let (length, after) = rest.split_at(2);
        let (text, after) = after.split_at(usize::from(u16::from_le_bytes([length[0], length[1]])));
        *rest = after;
        String::from_utf8_lossy(text).into_owned()
    };
    while !rest.is_empty() {
        variables.push((text(&mut rest), text(&mut rest)));
    }
    let one = |name: &str| -> String {
        let mut same = variables.iter().filter(|(other, _)| other == name);
        let value = same.next().map(|(_, value)| value.clone());
        assert!(same.next().is_none(), "{name} comes twice");
        value.unwrap_or_default()
    };
    let mut body = vec![0; one("CONTENT_LENGTH").parse().unwrap_or(0)];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let fields = variables.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("HTTP_")?;
        Some((name.to_ascii_lowercase().replace('_', "-"), value.clone()))
    });
    let request = Request {
        method: one("REQUEST_METHOD"),
        target: one("REQUEST_URI"),
        body,
        stamps: vec![one("HTTP_STEAD_REQUEST")],
        fields: fields.collect(),
    };
    let answered = if request.method == "HEAD" {
        ""
    } else {
        "counted"
    };
    let target = request.target.clone();
    seen.lock().unwrap().take(request);
    let _ = stream.write_all(format!("{ANSWER}{answered}").as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut more = Vec::new();
    let _ = stream.read_to_end(&mut more);
    if !more.is_empty() {
        let fault = format!("{} bytes follow {target}", more.len());
        seen.lock().unwrap().faults.push(fault);
    }
}
