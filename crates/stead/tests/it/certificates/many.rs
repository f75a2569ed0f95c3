//! Many hosts, many certificates, many restarts. `cargo xtask soak` runs these at length.

use std::process::Command;
use std::time::Instant;

use super::authority::{Authority, handshake, shown_to_visitor};
use super::{public, site};
use crate::running::wait_until;
use crate::upgrading::count;

#[test]
fn a_hundred_hosts_come_in_one_order_and_restarts_order_nothing() {
    let authority = Authority::start();
    let hosts: Vec<String> = (0..100).map(|number| format!("h{number}.test")).collect();
    for host in &hosts {
        authority.address(host);
    }
    let named: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
    let tree = site(&authority, &named.join(", "), "");
    let mut running = public(&tree, &authority);
    running.wait_for("and 97 more has a certificate of");
    let address = format!("127.0.0.1:{}", authority.tls_port);
    let shown = shown_to_visitor(&address, "h99.test");
    assert!(shown.contains("h0.test,h1.test"));
    running.stop();
    let count = count(3);
    for _ in 0..count {
        let mut running = public(&tree, &authority);
        running.wait_for(" serves after ");
        wait_until("the certificate", || handshake(&address, "h0.test").is_ok());
        assert_eq!(shown_to_visitor(&address, "h99.test"), shown);
        running.stop();
    }
    let (orders, issued) = (authority.orders(), authority.issued());
    println!("100 hosts, {count} restarts: {orders} order, {issued} certificate");
    assert_eq!((orders, issued), (1, 1));
}

#[test]
fn certificates_by_the_thousand_are_shown_from_the_start() {
    let count = count(200);
    let authority = Authority::start();
    let tree = site(&authority, "\"other.localhost\"", "");
    let facts = format!(
        "{{\"version\":1,\"directory\":\"{}\"}}",
        authority.directory()
    );
    for number in 0..count {
        let names = vec![format!("h{number}.example.com")];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let entry = format!(".stead/certificates/entries/h{number}.20260101T000000Z.00000000");
        std::fs::create_dir_all(tree.path().join(&entry)).unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(tree.path().join(&entry).join(name), text).unwrap();
        };
        file("chain.pem", &made.cert.pem());
        file("key.pem", &made.signing_key.serialize_pem());
        file("entry.json", &facts);
    }
    let began = Instant::now();
    let running = public(&tree, &authority);
    let address = format!("127.0.0.1:{}", authority.tls_port);
    let last = format!("h{}.example.com", count - 1);
    wait_until("the last certificate", || {
        handshake(&address, &last).is_ok()
    });
    let took = began.elapsed();
    for number in [0, count / 2] {
        let host = format!("h{number}.example.com");
        assert!(shown_to_visitor(&address, &host).ends_with(&format!(" {host}\n")));
    }
    // Handshakes with one of them, and with another each time: what the look-up takes is the difference.
    let shakes = count.min(2000);
    let (same, each) = (0, count / shakes);
    let [same, each] = [same, each].map(|step| {
        let before = ticks(running.pid());
        shake_hands(&address, shakes, step);
        ticks(running.pid()) - before
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let memory = status.lines().find(|line| line.starts_with("VmRSS"));
    println!(
        "{count} certificates: each shown after {took:.2?}, {}; {shakes} handshakes with one name took {same}0 ms of CPU, \
         with {shakes} names {each}0 ms",
        memory.unwrap_or_default()
    );
    assert_eq!(authority.orders(), 0);
}

/// The CPU time of a process, user and system, in hundredths of a second (proc_pid_stat(5), fields 14 and 15).
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// So many handshakes after another, each with a certificate `step` further on.
fn shake_hands(address: &str, times: usize, step: usize) {
    const SCRIPT: &str = r#"
import socket, ssl, sys
address, times, step = sys.argv[1:]
ip, port = address.rsplit(":", 1)
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
for number in range(int(times)):
    with socket.create_connection((ip, int(port)), 30) as plain:
        host = "h%d.example.com" % (number * int(step))
        with context.wrap_socket(plain, server_hostname=host) as tls:
            assert tls.version() == "TLSv1.3"
"#;
    let status = Command::new("python3")
        .args(["-c", SCRIPT, address])
        .args([times.to_string(), step.to_string()])
        .status();
    assert!(status.unwrap().success());
}
