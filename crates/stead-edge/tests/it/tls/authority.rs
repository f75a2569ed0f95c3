//! An authority of the tests, and an edge that shows its certificates.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use stead_edge::Settings;
use stead_model::certificates::{CertificateFiles, CertificateReport, CertificateTable};
use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::release::Protocol;
use stead_model::routing::RoutingTable;

use crate::running::{Running, Worker, table, upstream};

/// An app that says what it learns of its visitor.
pub(crate) const APP: &str = "
def app(environ, start_response):
    body = environ['wsgi.input'].read()
    answer = ' '.join([environ['wsgi.url_scheme'], environ['HTTP_X_FORWARDED_PROTO'], environ['HTTP_HOST'], str(len(body))])
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(answer)))])
    return [answer.encode()]
";

/// Issues certificates.
pub(crate) struct Authority {
    pub(crate) folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    /// PEM.
    pub(crate) own: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Tests");
        let certificate = params.self_signed(&key).unwrap();
        let own = folder.path().join("authority.pem");
        std::fs::write(&own, certificate.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
            own,
        }
    }

    /// PEM of a chain and its key.
    pub(crate) fn pair(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.pair_of(CertificateParams::new(names).unwrap())
    }

    pub(crate) fn pair_of(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Files with a certificate for these names.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> CertificateFiles {
        let (chain, key) = self.pair(names);
        let files = CertificateFiles {
            chain: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        std::fs::write(&files.chain, chain).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }
}

/// An edge with a listener for TLS.
pub(crate) struct Secure {
    pub(crate) running: Running,
    pub(crate) table: RoutingTable,
    pub(crate) authority: Authority,
    /// Where TLS is spoken.
    pub(crate) address: SocketAddr,
    _worker: Worker,
}

impl Secure {
    /// Every host leads to [`APP`]; `a.example` has a certificate.
    pub(crate) fn start() -> Self {
        Self::with(Settings::default(), |table| table)
    }

    pub(crate) fn with(
        settings: Settings,
        change: impl FnOnce(RoutingTable) -> RoutingTable,
    ) -> Self {
        Self::of(APP, settings, change)
    }

    /// With another app.
    pub(crate) fn of(
        app: &str,
        settings: Settings,
        change: impl FnOnce(RoutingTable) -> RoutingTable,
    ) -> Self {
        let worker = Worker::start(app, 4);
        let instances = vec![worker.instance.clone()];
        let table = change(table(upstream(Protocol::Frames, instances)));
        let mut running = Running::with(settings, table.clone());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        running.edge.listen_tls(vec![listener]).unwrap();
        let address = running.edge.tls_addresses[0];
        let mut secure = Self {
            running,
            table,
            authority: Authority::new(),
            address,
            _worker: worker,
        };
        let files = vec![secure.authority.issue("a", &["a.example"])];
        let report = secure.show(CertificateTable {
            files,
            ..CertificateTable::default()
        });
        assert_eq!(report.problems, []);
        secure
    }

    /// Put certificates in force.
    pub(crate) fn show(&mut self, table: CertificateTable) -> CertificateReport {
        let command = EdgeCommand::Certificates(table);
        self.running.edge.commands.send(command).unwrap();
        let is_report = |event: &EdgeEvent| matches!(event, EdgeEvent::Certificates(_));
        match self.running.wait_for(is_report) {
            EdgeEvent::Certificates(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// `curl` to a host that is here.
    pub(crate) fn curl(&self, host: &str, more: &[&str]) -> Output {
        let port = self.address.port();
        let resolve = format!("{host}:{port}:127.0.0.1");
        Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "20",
                "--resolve",
                &resolve,
            ])
            .arg("--cacert")
            .arg(&self.authority.own)
            .args(more)
            .arg(format!("https://{host}:{port}/"))
            .stdin(Stdio::null())
            .output()
            .expect("curl is needed: apt-get install curl")
    }

    /// `openssl s_client`, to which `input` is said.
    pub(crate) fn openssl(&self, more: &[&str], input: &str) -> String {
        use std::io::Write;
        let mut child = Command::new("timeout")
            .args([
                "20",
                "openssl",
                "s_client",
                "-connect",
                &self.address.to_string(),
            ])
            .arg("-CAfile")
            .arg(&self.authority.own)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl is needed: apt-get install openssl");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
        all.push_str(&String::from_utf8_lossy(&output.stderr));
        all
    }

    /// A Python program with `context` and `connect(host)`; what it prints.
    pub(crate) fn python(&self, program: &str) -> String {
        let prelude = format!(
            "import socket, ssl, sys, threading, time\n\
             context = ssl.create_default_context(cafile={:?})\n\
             def connect(host='a.example', context=context, session=None):\n\
             \x20   plain = socket.create_connection(('127.0.0.1', {}), 20)\n\
             \x20   return context.wrap_socket(plain, server_hostname=host, session=session)\n\
             def get(s, path='/', host='a.example'):\n\
             \x20   s.sendall(f'GET {{path}} HTTP/1.1\\r\\nHost: {{host}}\\r\\n\\r\\n'.encode())\n\
             \x20   head = b''\n\
             \x20   while b'\\r\\n\\r\\n' not in head:\n\
             \x20       more = s.recv(1)\n\
             \x20       if not more: raise EOFError(head)\n\
             \x20       head += more\n\
             \x20   length = int(head.lower().split(b'content-length: ')[1].split(b'\\r\\n')[0])\n\
             \x20   body = b''\n\
             \x20   while len(body) < length:\n\
             \x20       more = s.recv(65536)\n\
             \x20       if not more: raise EOFError(body)\n\
             \x20       body += more\n\
             \x20   return head.decode(), body\n",
            self.authority.own.display().to_string(),
            self.address.port(),
        );
        let output = Command::new("timeout")
            .args(["60", "python3", "-c", &format!("{prelude}{program}")])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What a program printed.
pub(crate) fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}
