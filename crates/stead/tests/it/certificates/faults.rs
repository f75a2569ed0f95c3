//! Authorities that fail, programs that are killed, clocks and disks that are wrong: what visitors have stays, and nothing is
//! ordered in vain.

use std::process::Command;

use super::authority::{Authority, Faulty, handshake, shown_to_visitor};
use super::{public, site};
use crate::running::{Running, Tree, get, wait_until};

fn secure(authority: &Authority) -> String {
    format!("127.0.0.1:{}", authority.tls_port)
}

fn serves_plainly(authority: &Authority, host: &str) {
    let address = format!("127.0.0.1:{}", authority.http_port);
    assert_eq!(get(&address, host, "/").unwrap().status, 200);
}

/// A site that orders through an authority which can be made to fail.
fn faulty() -> (Authority, Faulty, Tree) {
    let mut authority = Authority::start();
    authority.address("shop.test");
    let faulty = Faulty::before(&mut authority);
    let tree = site(&authority, "\"shop.test\"", "");
    (authority, faulty, tree)
}

#[test]
fn an_authority_that_limits_is_left_alone_for_as_long_as_it_asks_across_restarts() {
    let (authority, faulty, tree) = faulty();
    faulty.does("/order-plz limit-always 72000");
    for _ in 0..3 {
        let mut running = public(&tree, &authority);
        running.wait_for("no new certificate for `shop.test`:");
        running.wait_for("too many of them; visitors get plain HTTP; next attempt in 19 h");
        serves_plainly(&authority, "shop.test");
        running.stop();
    }
    assert_eq!(faulty.requests("POST /order-plz"), 1);
    assert_eq!(authority.orders(), 0);
}

#[test]
fn an_authority_that_accepts_and_never_answers_holds_up_nothing_and_is_down() {
    let (authority, faulty, tree) = faulty();
    faulty.does("/dir hang");
    let running = public(&tree, &authority);
    running.wait_for(" serves after ");
    serves_plainly(&authority, "shop.test");
    running.wait_for("no new certificate for `shop.test`: cannot reach `127.0.0.1:");
    let renewed = tree.run(&["cert", "renew"]);
    assert!(renewed.status.success(), "{}", running.seen());
}

#[test]
fn an_authority_that_answers_byte_by_byte_is_down_as_well() {
    let (authority, faulty, tree) = faulty();
    faulty.does("/dir drip");
    let running = public(&tree, &authority);
    running.wait_for("no new certificate for `shop.test`: cannot reach `127.0.0.1:");
    let renewed = tree.run(&["cert", "renew"]);
    assert!(renewed.status.success(), "{}", running.seen());
}

#[test]
fn an_order_whose_answer_was_lost_is_taken_up_again() {
    let (authority, faulty, tree) = faulty();
    let mut issued = 0;
    for (path, orders) in [("/finalize-order", 1), ("/certZ", 1), ("/order-plz", 2)] {
        let _ = std::fs::remove_dir_all(tree.path().join(".stead"));
        let before = authority.orders();
        faulty.does(&format!("{path} lose"));
        let mut running = public(&tree, &authority);
        running.wait_for("no new certificate for `shop.test`: cannot reach");
        let renewed = tree.run(&["cert", "renew"]);
        assert!(renewed.status.success(), "{path}: {}", running.seen());
        issued += 1;
        assert_eq!(authority.issued(), issued, "{path}");
        assert_eq!(authority.orders() - before, orders, "{path}");
        let left = std::fs::read_dir(tree.path().join(".stead/certificates/orders"));
        assert_eq!(left.unwrap().count(), 0, "{path}");
        running.stop();
    }
    // That it may look, the authority is told once more at once.
    let _ = std::fs::remove_dir_all(tree.path().join(".stead"));
    let before = authority.orders();
    faulty.does("/chalZ lose");
    let running = public(&tree, &authority);
    running.wait_for("`shop.test` has a certificate of");
    assert_eq!(authority.orders() - before, 1);
}

#[test]
fn whenever_the_program_is_killed_there_is_one_certificate_afterwards() {
    let (authority, faulty, _) = faulty();
    let steps = [
        "/sign-me-up",
        "/order-plz",
        "/chalZ",
        "/finalize-order",
        "/certZ",
    ];
    let moments = ["kill-before", "kill-after"];
    for (number, (step, moment)) in steps
        .into_iter()
        .flat_map(|step| moments.map(|moment| (step, moment)))
        .enumerate()
    {
        let host = format!("h{number}.test");
        authority.address(&host);
        let tree = site(&authority, &format!("\"{host}\""), "");
        let (issued, orders) = (authority.issued(), authority.orders());
        faulty.does(&format!("{step} {moment}"));
        let mut running = public(&tree, &authority);
        faulty.kills(running.pid());
        running.ended();
        faulty.kills_nobody();
        let running = public(&tree, &authority);
        wait_until("a certificate", || {
            handshake(&secure(&authority), &host).is_ok()
        });
        let at = format!("{step} {moment}: {}", running.seen());
        assert_eq!(authority.issued() - issued, 1, "{at}");
        let made = authority.orders() - orders;
        // An order is lost when its answer is, and when the authority has begun to look and finds nobody.
        let may_be_lost = moment == "kill-after" && matches!(step, "/order-plz" | "/chalZ");
        assert!(made == 1 || made == 2 && may_be_lost, "{made} orders, {at}");
    }
}

#[test]
fn certificates_that_were_lost_are_ordered_twice_a_week_and_sites_start() {
    let authority = Authority::start();
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\"", "");
    for times in 1..=4 {
        let mut running = public(&tree, &authority);
        match times {
            1 | 2 => running.wait_for("`shop.test` has a certificate of"),
            _ => running.wait_for("within a week"),
        }
        serves_or_redirects(&authority);
        running.stop();
        std::fs::remove_dir_all(tree.path().join(".stead/certificates/entries")).unwrap();
    }
    assert_eq!(authority.issued(), 2);
}

fn serves_or_redirects(authority: &Authority) {
    let address = format!("127.0.0.1:{}", authority.http_port);
    let status = get(&address, "shop.test", "/").unwrap().status;
    assert!(matches!(status, 200 | 308), "{status}");
}

#[test]
fn a_broken_certificate_costs_only_itself_and_an_expired_one_is_shown_while_the_authority_is_down()
{
    let mut authority = Authority::start();
    authority.address("shop.test");
    let tree = site(&authority, "\"old.test\", \"shop.test\"", "");
    let mut params = rcgen::CertificateParams::new(vec!["old.test".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 4, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    tree.write("old.pem", &params.self_signed(&key).unwrap().pem());
    tree.write("old.key", &key.serialize_pem());
    assert!(
        tree.run(&["cert", "import", "old.pem", "old.key"])
            .status
            .success()
    );
    authority.stop();
    let running = public(&tree, &authority);
    running.wait_for("cannot reach");
    let shown = shown_to_visitor(&secure(&authority), "old.test");
    assert!(shown.ends_with(" old.test\n"), "{shown}");
    running.wait_for("it has expired");
    let listed = tree.run(&["cert", "ls"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("it has ended: visitors are warned of it"),
        "{listed}"
    );
    drop(running);

    // The directory of another entry is none.
    let broken = tree
        .path()
        .join(".stead/certificates/entries/shop.test.20260101T000000Z.00000000");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("chain.pem"), "half").unwrap();
    authority.run();
    let running = public(&tree, &authority);
    running.wait_for("cannot be used: cannot read `entry.json`");
    // Until a release serves, no host is wanted.
    running.wait_for("serves after");
    let renewed = tree.run(&["cert", "renew", "shop.test"]);
    let said = String::from_utf8_lossy(&renewed.stdout);
    assert!(renewed.status.success(), "{said}{}", running.seen());
    assert_eq!(shown_to_visitor(&secure(&authority), "old.test"), shown);
}

#[test]
fn a_clock_that_jumps_by_a_year_or_a_day_orders_nothing() {
    let authority = Authority::start();
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\"", "");
    let mut running = public(&tree, &authority);
    running.wait_for("`shop.test` has a certificate of");
    let shown = shown_to_visitor(&secure(&authority), "shop.test");
    running.stop();
    // Where it is, differs from machine to machine; the program itself would stand between.
    let library = Command::new("faketime")
        .args(["-f", "+0", "sh", "-c", "printf %s \"$LD_PRELOAD\""])
        .output()
        .expect("faketime is needed: apt-get install faketime");
    let library = String::from_utf8(library.stdout).unwrap();
    for jump in ["+366d", "-366d", "+1d", "-1d"] {
        let mut command = tree.command(&["up", "--public", "--host", "127.0.0.1"]);
        command.args(["--port", &authority.http_port.to_string()]);
        command.args(["--tls-port", &authority.tls_port.to_string()]);
        command
            .env("LD_PRELOAD", &library)
            .env("FAKETIME", jump)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let mut running = Running::start(command, tree.path());
        running.wait_for(" serves after ");
        if jump == "+366d" {
            running.wait_for("this host's clock says");
        }
        assert_eq!(
            shown_to_visitor(&secure(&authority), "shop.test"),
            shown,
            "{jump}"
        );
        running.stop();
    }
    assert_eq!((authority.orders(), authority.issued()), (1, 1));
}

#[test]
fn a_disk_that_is_full_loses_no_certificate() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a small disk is for root to make");
        return;
    }
    let authority = Authority::start();
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\"", "");
    let entries = tree.path().join(".stead/certificates/entries");
    std::fs::create_dir_all(&entries).unwrap();
    // Room for a directory and for one file of the three.
    let script = "mount -t tmpfs -o size=8k none \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(&entries);
    command.arg(env!("CARGO_BIN_EXE_stead"));
    command.args(["up", "--public", "--host", "127.0.0.1"]);
    command.args(["--port", &authority.http_port.to_string()]);
    command.args(["--tls-port", &authority.tls_port.to_string()]);
    command.current_dir(tree.path());
    let running = Running::start(command, tree.path());
    running.wait_for("no new certificate for `shop.test`: cannot write");
    serves_plainly(&authority, "shop.test");
    let grown = Command::new("nsenter")
        .args(["-m", "-t", &running.pid().to_string()])
        .args(["mount", "-o", "remount,size=1m"])
        .arg(&entries)
        .status();
    assert!(grown.unwrap().success());
    // It is fetched, not issued again.
    let renewed = tree.run(&["cert", "renew"]);
    assert!(renewed.status.success(), "{}", running.seen());
    assert_eq!((authority.orders(), authority.issued()), (1, 1));
    assert!(shown_to_visitor(&secure(&authority), "shop.test").contains("shop.test"));
}

#[test]
fn an_authority_that_wants_an_external_account_gets_it() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let authority = Authority::that_knows("kid-1", key);
    authority.address("shop.test");
    let tree = site(&authority, "\"shop.test\"", "");
    let mut running = public(&tree, &authority);
    running.wait_for("no new certificate for `shop.test`:");
    running.stop();
    let toml = tree.read("stead.toml") + "eab-kid = \"kid-1\"\n";
    tree.write("stead.toml", &toml);
    std::fs::create_dir_all(tree.path().join(".stead/secrets")).unwrap();
    tree.write(".stead/secrets/ACME_EAB_HMAC_KEY", key);
    let _running = public(&tree, &authority);
    wait_until("a certificate", || {
        let _ = tree.run(&["cert", "renew"]);
        handshake(&secure(&authority), "shop.test").is_ok()
    });
}

#[test]
fn a_certificate_that_the_authority_wants_renewed_is_renewed_at_once_and_only_that() {
    let (authority, faulty, tree) = faulty();
    faulty.takes_back_the_first();
    let mut running = public(&tree, &authority);
    running.wait_for_times("`shop.test` has a certificate of", 2);
    // The question is written down by the authority before it is answered, the answer by the program after.
    wait_until("the answer about the second one", || {
        let attempts = tree.read(".stead/certificates/attempts.json");
        let attempts: serde_json::Value = serde_json::from_str(&attempts).unwrap();
        attempts["windows"].as_object().map(serde_json::Map::len) == Some(2)
    });
    assert_eq!(faulty.requests("GET /renewal/"), 2);
    running.stop();
    let mut running = public(&tree, &authority);
    running.wait_for(" serves after ");
    assert!(tree.run(&["cert", "ls"]).status.success());
    running.stop();
    assert_eq!((authority.orders(), authority.issued()), (2, 2));
    // Nor is the authority asked again before it said so.
    assert_eq!(faulty.requests("GET /renewal/"), 2);
}
