//! HAProxy before the edge: another's PROXY protocol headers, and another's `X-Forwarded-For`.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};
use stead_model::manifest::Edge;

use crate::entrance::app;
use crate::running::{PATIENCE, Running, Visitor};

/// HAProxy on a listener that it inherits; killed when dropped.
struct Before {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Before {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Before {
    /// In that mode, with these words after the edge's address and these lines in the frontend.
    fn start(edge: &Running, mode: &str, words: &str, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = folder.path().join("haproxy.cfg");
        let text = format!(
            "defaults\n mode {mode}\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n\
             frontend visitors\n bind fd@3\n{lines} default_backend edge\n\
             backend edge\n server one {} {words}\n",
            edge.address
        );
        std::fs::write(&file, text).unwrap();
        // The shell puts the listener where HAProxy looks for it.
        let inherited = rustix::io::fcntl_dupfd_cloexec(&listener, 100).unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        let line = format!(
            "PATH=$PATH:/usr/sbin; exec 3<&{}; exec haproxy -db -f \"$1\"",
            inherited.as_raw_fd()
        );
        let child = Command::new("bash")
            .args(["-c", &line, "bash"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            address: listener.local_addr().unwrap(),
            _folder: folder,
        }
    }

    /// A visitor with an address of its own, which is not HAProxy's.
    fn visit(&self) -> Visitor {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 5], 0)).into())
            .unwrap();
        socket.connect(&self.address.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Visitor::from(std::net::TcpStream::from(socket))
    }
}

fn trusting(proxy_protocol: bool) -> Edge {
    Edge {
        trusted: vec!["127.0.0.1".parse().unwrap()],
        proxy_protocol,
        ..Edge::default()
    }
}

const LIES: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a:80\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                      X-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n";

#[test]
fn haproxy_introduces_visitors_in_both_versions_of_the_proxy_protocol() {
    let (running, _worker) = app(trusting(true));
    for words in [
        "send-proxy",
        "send-proxy-v2",
        // With a checksum and further extensions.
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ] {
        let lines = if words.contains("unique-id") {
            " unique-id-format %[uuid]\n"
        } else {
            ""
        };
        let haproxy = Before::start(&running, "tcp", words, lines);
        let port = haproxy.address.port();
        for _ in 0..3 {
            let mut visitor = haproxy.visit();
            for _ in 0..2 {
                visitor.send(LIES);
                let answer = visitor.answer(false);
                assert_eq!(
                    answer.text(),
                    "127.0.0.5 http 80 127.0.0.5 for=127.0.0.5;proto=http",
                    "{words} {port}"
                );
            }
        }
    }
}

#[test]
fn haproxy_names_visitors_in_a_header_that_no_visitor_can_write() {
    let (running, _worker) = app(trusting(false));
    let lines = " option forwardfor\n http-request set-header X-Forwarded-Proto https\n";
    let haproxy = Before::start(&running, "http", "", lines);
    let mut visitor = haproxy.visit();
    for _ in 0..2 {
        visitor.send(LIES);
        let answer = visitor.answer(false);
        assert_eq!(
            answer.text(),
            "127.0.0.5 https 80 127.0.0.5 for=127.0.0.5;proto=https"
        );
    }
}
