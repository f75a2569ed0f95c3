//! Certificates for an app on a host, by themselves, from a real authority: ordered, shown, kept through everything, renewed.

mod authority;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::{Lab, Machine};
use tempfile::TempDir;

use self::authority::Authority;
use crate::laptop::{Laptop, Said};

/// A server that needs nothing that the machines of a lab do not have. It allows one domain of a customer's.
const SERVE: &str = r#"#!/usr/bin/env python3
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = not self.path.startswith("/allowed") or self.path.endswith("=www.customer-one.com")
        body = (os.environ["STEAD_RELEASE"] + " " + self.headers["Host"]).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Makes records, as the app's user alone.
const RECORDS: &str = r#"
import getpass, json, sys, urllib.request
assert getpass.getuser() == "stead-shop", getpass.getuser()
act, name, value = sys.argv[2:]
path = {"present": "set-txt", "cleanup": "clear-txt"}[act]
body = json.dumps({"host": name + ".", "value": value}).encode()
urllib.request.urlopen(f"http://{sys.argv[1]}/{path}", data=body).read()
"#;

/// An authority needs a few seconds; two busy CPUs more.
const PATIENCE: Duration = Duration::from_secs(90);

/// An app on a host, and who looks after it.
struct Shop<'a> {
    machine: &'a Machine,
    laptop: &'a Laptop,
    authority: &'a Authority,
    app: &'static str,
    dir: &'a TempDir,
}

impl Shop<'_> {
    fn deploy(&self, hosts: &str, further: &str) {
        let write = |name: &str, text: &str| {
            let path = self.dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("serve", SERVE);
        write("records.py", RECORDS);
        write("ca.pem", &self.authority.ca());
        write(
            "stead.toml",
            &format!(
                "app = \"{}\"\n[process.web]\ncommand = \"./serve\"\ncount = 1\n\
                 health = {{ path = \"/\", status = \"200\", within = \"10s\" }}\n\
                 [route]\nhosts = [{hosts}]\n[acme]\n{}{further}",
                self.app,
                self.authority.keys()
            ),
        );
        self.says(&["deploy", "--dirty", "--to", "h1"]).good();
    }

    fn says(&self, words: &[&str]) -> Said {
        let mut command = self.laptop.verb(words);
        Said::of(command.current_dir(self.dir.path()).output().unwrap())
    }

    /// How the app is, from when it is so.
    fn status_with(&self, words: &str) -> Said {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.says(&["status", "--on", "h1"]);
            if said.out.contains(words) {
                return said;
            }
            let log = || {
                self.machine
                    .sh("journalctl --no-pager --output=cat -u stead-agent | tail -n 30")
            };
            assert!(
                Instant::now() < deadline,
                "{words}: {}{}{:?}",
                said.out,
                said.err,
                log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What a visitor gets who trusts the authority, and the serial of the certificate.
    fn visit(&self, host: &str) -> Result<(String, String), String> {
        let said = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "30",
                "--cacert",
            ])
            .arg(self.authority.root())
            .arg("--resolve")
            .arg(format!("{host}:443:{}", self.machine.address()))
            .args(["--write-out", "\n%{certs}", &format!("https://{host}/")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let serial = text
            .lines()
            .find_map(|line| line.strip_prefix("Serial Number:"));
        match (said.status.success(), serial) {
            (true, Some(serial)) => {
                let body = text.lines().next().unwrap_or_default();
                Ok((body.to_owned(), serial.to_owned()))
            }
            _ => Err(format!("{text}{}", String::from_utf8_lossy(&said.stderr))),
        }
    }

    #[track_caller]
    fn serial(&self, host: &str) -> String {
        self.visit(host).unwrap().1
    }
}

#[test]
fn an_app_on_a_host_has_certificates_and_keeps_them_through_everything() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let mut machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let authority = Authority::beside(&machine);
    laptop.host("add", "h1", &["--yes"]).good();
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop {
        machine: &machine,
        laptop: &laptop,
        authority: &authority,
        app: "shop",
        dir: &dir,
    };
    authority.lead("shop.test", machine.address());
    it_comes_by_itself(&shop);
    only_the_edge_reads_keys(&machine);
    a_renewal_loses_nobody(&shop);
    nothing_is_ordered_twice(&shop);
    another_app_has_its_own(&shop);
    wildcards_and_domains_of_customers_come_too(&shop);
    let (orders, before) = (authority.orders(), shop.serial("shop.test"));
    machine.reboot().unwrap();
    let shop = Shop {
        machine: &machine,
        laptop: &laptop,
        authority: &authority,
        app: "shop",
        dir: &dir,
    };
    let deadline = Instant::now() + PATIENCE;
    while let Err(why) = shop.visit("shop.test") {
        assert!(Instant::now() < deadline, "{why}");
    }
    assert_eq!(shop.serial("shop.test"), before);
    shop.status_with("shop.test: of Pebble");
    assert_eq!(authority.orders(), orders);
    a_certificate_of_one_s_own_takes_its_place(&shop);
}

fn it_comes_by_itself(shop: &Shop<'_>) {
    shop.deploy("\"shop.test\", \"missing.test\"", "");
    let said = shop.status_with("shop.test: of Pebble");
    assert!(said.out.contains("89 days left"), "{}", said.out);
    let missing = "missing.test: none yet; `missing.test` has no address in the DNS";
    let said = shop.status_with(missing);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert_eq!(shop.visit("shop.test").unwrap().0, "1 shop.test");
    // Who comes over plain HTTP is sent to it.
    let plain = Command::new("curl")
        .args(["--silent", "--include", "--header", "Host: shop.test"])
        .arg(format!("http://{}/a", shop.machine.address()))
        .output()
        .unwrap();
    let plain = String::from_utf8_lossy(&plain.stdout).to_lowercase();
    assert!(plain.starts_with("http/1.1 308"), "{plain}");
    assert!(plain.contains("location: https://shop.test/a"), "{plain}");

    let listed = shop.says(&["cert", "ls", "--on", "h1"]).good();
    assert!(listed.contains("shop.test\n  until "), "{listed}");
    assert!(
        listed.contains("missing.test  no new certificate\n"),
        "{listed}"
    );
    let listed = shop.says(&["cert", "ls", "--on", "h1", "--json"]).good();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["host"], "h1");
    assert_eq!(listed[0]["certificates"][0]["hosts"][0], "shop.test");
    assert_eq!(listed[0]["pending"][0]["host"], "missing.test");
    assert_eq!(shop.authority.orders(), 1);

    // A name that is wanted no more is not waited for.
    shop.deploy("\"shop.test\"", "");
    let said = shop.status_with("shop.test: of Pebble");
    assert!(!said.out.contains("missing.test"), "{}", said.out);
    said.good();
}

/// Keys are root's, and the edge's to read; nobody else comes as far as their names.
fn only_the_edge_reads_keys(machine: &Machine) {
    let state = "/var/lib/stead/certificates";
    let modes = machine
        .sh(&format!(
            "stat -c '%a %U %G' {state} {state}/entries {state}/entries/* {state}/entries/*/*.pem {state}/attempts.json {state}/accounts"
        ))
        .unwrap();
    let (edge, own) = ("root stead-edge", "root root");
    let expected = [
        format!("710 {edge}\n").repeat(3),
        format!("640 {edge}\n").repeat(2),
        format!("600 {own}\n700 {own}\n"),
    ];
    assert_eq!(modes, expected.concat());
    let refused = machine.sh(&format!(
        "setpriv --reuid=nobody --clear-groups cat {state}/entries/*/key.pem"
    ));
    assert!(refused.unwrap_err().contains("Permission denied"));
}

fn a_renewal_loses_nobody(shop: &Shop<'_>) {
    let first = shop.serial("shop.test");
    let gone = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let visitors = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut lost = Vec::new();
                while !gone.load(Ordering::Relaxed) {
                    lost.extend(shop.visit("shop.test").err());
                }
                lost
            })
        });
        let renewed = shop.says(&["cert", "renew", "--on", "h1"]);
        let deadline = Instant::now() + PATIENCE;
        while shop.serial("shop.test") == first {
            assert!(Instant::now() < deadline, "{}", renewed.out);
        }
        gone.store(true, Ordering::Relaxed);
        let renewed = renewed.good();
        assert!(
            renewed.contains("     ok  shop.test: a certificate until "),
            "{renewed}"
        );
        for visitor in visitors {
            assert_eq!(visitor.join().unwrap(), Vec::<String>::new());
        }
    });
    assert_eq!(shop.authority.issued(), 2);
    // Two a week are enough, whoever asks.
    let refused = shop.says(&["cert", "renew", "--on", "h1", "shop.test", "other.test"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .out
            .contains("failed  shop.test: 2 certificates for exactly these names"),
        "{}",
        refused.out
    );
    assert!(
        refused
            .out
            .contains("failed  other.test: no route of the release that serves"),
        "{}",
        refused.out
    );
}

/// The agent is killed, does not run, comes back; edges come and go.
fn nothing_is_ordered_twice(shop: &Shop<'_>) {
    let (orders, serial) = (shop.authority.orders(), shop.serial("shop.test"));
    let machine = shop.machine;
    machine
        .sh("kill -KILL $(systemctl show --property=MainPID --value stead-agent.service)")
        .unwrap();
    assert_eq!(shop.serial("shop.test"), serial);
    machine.sh("systemctl stop stead-agent.service").unwrap();
    machine.sh("stead edge upgrade").unwrap();
    assert_eq!(shop.serial("shop.test"), serial);
    // One that begins anew has what it was given on its disk, and is given it again when the agent comes.
    machine
        .sh("kill -KILL $(systemctl show --property=MainPID --value stead-edge.service)")
        .unwrap();
    machine
        .sh("until systemctl is-active --quiet stead-edge.service; do sleep 0.1; done")
        .unwrap();
    assert_eq!(shop.serial("shop.test"), serial);
    machine.sh("systemctl start stead-agent.service").unwrap();
    shop.status_with("shop.test: of Pebble").good();
    assert_eq!(shop.serial("shop.test"), serial);
    // One that has lost what it kept gets it from the agent.
    machine
        .sh("rm /var/lib/stead/edge/certificates.json; kill -KILL $(systemctl show --property=MainPID --value stead-edge.service)")
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while let Err(why) = shop.visit("shop.test") {
        assert!(Instant::now() < deadline, "{why}");
    }
    assert_eq!(shop.serial("shop.test"), serial);
    assert_eq!(shop.authority.orders(), orders);
}

/// It comes and goes, and the shop keeps what it has.
fn another_app_has_its_own(shop: &Shop<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let blog = Shop {
        app: "blog",
        dir: &dir,
        ..*shop
    };
    let serial = shop.serial("shop.test");
    shop.authority.lead("blog.test", shop.machine.address());
    blog.deploy("\"blog.test\"", "");
    blog.status_with("blog.test: of Pebble").good();
    assert_eq!(blog.visit("blog.test").unwrap().0, "1 blog.test");
    let (its, shops) = (
        blog.says(&["cert", "ls", "--on", "h1"]).good(),
        shop.says(&["cert", "ls", "--on", "h1"]).good(),
    );
    assert!(
        its.contains("blog.test\n") && !its.contains("shop.test"),
        "{its}"
    );
    assert!(
        shops.contains("shop.test\n") && !shops.contains("blog.test"),
        "{shops}"
    );
    shop.machine
        .sh(r#"echo '{"protocol":1,"detached":true,"wish":{"remove":{"app":"blog","data":true}}}' | timeout 60 stead api"#)
        .unwrap();
    assert_eq!(shop.serial("shop.test"), serial);
}

fn wildcards_and_domains_of_customers_come_too(shop: &Shop<'_>) {
    let address = shop.machine.address();
    for host in ["www.customer-one.com", "www.stranger.com"] {
        shop.authority.lead(host, address);
    }
    let further = format!(
        "dns-program = [\"python3\", \"records.py\", \"{}\"]\n[acme.on-demand]\nask = \"/allowed?domain=\"\n",
        shop.authority.records()
    );
    shop.deploy("\"shop.test\", \"*.shop.test\"", &further);
    shop.status_with("*.shop.test: of Pebble").good();
    assert!(
        shop.visit("a.shop.test")
            .unwrap()
            .0
            .ends_with(" a.shop.test")
    );
    let visited = shop.visit("www.customer-one.com").unwrap();
    assert!(visited.0.ends_with(" www.customer-one.com"), "{visited:?}");
    let refused = shop.visit("www.stranger.com").unwrap_err();
    assert!(refused.contains("unrecognized name"), "{refused}");
    let listed = shop.says(&["cert", "ls", "--on", "h1"]).good();
    assert!(listed.contains("www.customer-one.com\n"), "{listed}");
}

fn a_certificate_of_one_s_own_takes_its_place(shop: &Shop<'_>) {
    let mut params = rcgen::CertificateParams::new(vec!["shop.test".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let write = |name: &str, text: &str| fs::write(shop.dir.path().join(name), text).unwrap();
    write("own.pem", &chain);
    write("own.key", &key.serialize_pem());
    write(
        "other.key",
        &rcgen::KeyPair::generate().unwrap().serialize_pem(),
    );
    let refused = shop.says(&["cert", "import", "own.pem", "other.key", "--on", "h1"]);
    let refused = refused.refused();
    assert!(
        refused.contains("cause: the key does not belong to the certificate"),
        "{refused}"
    );
    let imported = shop
        .says(&["cert", "import", "own.pem", "own.key", "--on", "h1"])
        .good();
    assert!(imported.contains("imported: not renewed"), "{imported}");
    // The authority's root does not lead to it.
    let deadline = Instant::now() + PATIENCE;
    while shop.visit("shop.test").is_ok() {
        assert!(Instant::now() < deadline);
    }
    let said = shop.says(&["status", "--on", "h1", "--json"]).out;
    let status: serde_json::Value = serde_json::from_str(&said).unwrap();
    let certificates = status[0]["status"]["certificates"].as_array().unwrap();
    let own = certificates
        .iter()
        .find(|one| one["host"] == "shop.test")
        .unwrap();
    assert_eq!(own["renewed"], serde_json::Value::Null);
}
