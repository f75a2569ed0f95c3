//! Pebble and its DNS server, at the address by which a lab's machines see this one.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// An authority that looks at ports 80 and 443 of whoever has a host. Ended when dropped.
pub(super) struct Authority {
    pebble: Child,
    dns: Child,
    dir: TempDir,
    address: String,
    port: u16,
    dns_port: u16,
    management: u16,
    dns_management: u16,
}

impl Authority {
    /// Beside a machine of the lab.
    pub(super) fn beside(machine: &lab::Machine) -> Self {
        // The lab's own end of the bridge has the first address.
        let (network, _) = machine.address().rsplit_once('.').unwrap();
        let address = format!("{network}.1");
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed([address.clone()]).unwrap();
        let file = |name: &str| dir.path().join(name);
        fs::write(file("ca.pem"), made.cert.pem()).unwrap();
        fs::write(file("ca.key"), made.signing_key.serialize_pem()).unwrap();
        let [port, dns_port, management, dns_management] = [(); 4].map(|()| free_port(&address));
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("{address}:{port}"),
            "managementListenAddress": format!("{address}:{management}"),
            "certificate": file("ca.pem"),
            "privateKey": file("ca.key"),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "certificateValidityPeriod": 90 * 24 * 3600,
        }});
        fs::write(file("pebble.json"), config.to_string()).unwrap();
        let dns = Command::new("pebble-challtestsrv")
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-defaultIPv4", "", "-defaultIPv6", ""])
            .args(["-dns01", &format!("{address}:{dns_port}")])
            .args(["-management", &format!("{address}:{dns_management}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble-challtestsrv, of the Debian package pebble");
        let log = fs::File::create(file("pebble.log")).unwrap();
        let pebble = Command::new("pebble")
            .args(["-strict", "-config"])
            .arg(file("pebble.json"))
            .args(["-dnsserver", &format!("{address}:{dns_port}")])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("pebble, of the Debian package pebble");
        let authority = Self {
            pebble,
            dns,
            dir,
            address,
            port,
            dns_port,
            management,
            dns_management,
        };
        for port in [
            authority.port,
            authority.management,
            authority.dns_management,
        ] {
            let deadline = Instant::now() + Duration::from_secs(60);
            while TcpStream::connect((authority.address.as_str(), port)).is_err() {
                assert!(Instant::now() < deadline, "the authority does not start");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let said = authority.curl(&format!(
            "https://{}:{management}/roots/0",
            authority.address
        ));
        fs::write(authority.root(), said).unwrap();
        authority
    }

    /// What `[acme]` says of it; the app has its root beside stead.toml.
    pub(super) fn keys(&self) -> String {
        let Self {
            address,
            port,
            dns_port,
            ..
        } = self;
        format!(
            "directory = \"https://{address}:{port}/dir\"\nca-root = \"ca.pem\"\nresolvers = [\"{address}:{dns_port}\"]\n"
        )
    }

    /// The root by which its own directory is known.
    pub(super) fn ca(&self) -> String {
        fs::read_to_string(self.dir.path().join("ca.pem")).unwrap()
    }

    /// The root that its certificates lead to.
    pub(super) fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("root.pem")
    }

    /// Where records in its DNS are made: `ADDRESS:PORT`.
    pub(super) fn records(&self) -> String {
        format!("{}:{}", self.address, self.dns_management)
    }

    /// The host leads to this address.
    pub(super) fn lead(&self, host: &str, to: &str) {
        let body = serde_json::json!({ "host": format!("{host}."), "addresses": [to] }).to_string();
        let mut stream = TcpStream::connect((self.address.as_str(), self.dns_management)).unwrap();
        write!(
            stream,
            "POST /add-a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn curl(&self, url: &str) -> Vec<u8> {
        let said = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "20",
                "--cacert",
            ])
            .arg(self.dir.path().join("ca.pem"))
            .arg(url)
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
        said.stdout
    }

    fn count(&self, words: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("pebble.log")).unwrap();
        log.lines().filter(|line| line.contains(words)).count()
    }

    /// How many certificates it has issued.
    pub(super) fn issued(&self) -> usize {
        self.count("Issued certificate serial")
    }

    /// How many orders it was given.
    pub(super) fn orders(&self) -> usize {
        self.count("Added order")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in [&mut self.pebble, &mut self.dns] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port(address: &str) -> u16 {
    loop {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if UdpSocket::bind((address, port)).is_ok() {
            return port;
        }
    }
}
