//! Another authority: Caddy's `acme_server`. It asks for hosts at ports 80 and 443, so all of it runs in a network of its own.

use std::process::Command;

use crate::running::{Running, Tree};
use crate::upgrading::count;

/// Argument 0: the tree. Names lead to this machine there, and Caddy is an authority at port 9443.
const SCRIPT: &str = r#"
set -e
ip link set lo up
mount --bind "$0/hosts" /etc/hosts
export XDG_DATA_HOME="$0/caddy" XDG_CONFIG_HOME="$0/caddy"
setpriv --pdeathsig KILL caddy run --config "$0/Caddyfile" --adapter caddyfile >> "$0/caddy.log" 2>&1 &
trap "kill $!" EXIT
for i in $(seq 600); do
    ss -Hltn 'sport = :9443' | grep -q . && break
    sleep 0.1
done
cat "$0/caddy/caddy/pki/authorities/local/root.crt" > "$0/root.pem"
setpriv --pdeathsig TERM "$@" &
stead=$!
trap "kill $stead; wait $stead; kill %1" TERM EXIT
wait $stead
"#;

const CADDYFILE: &str = "{
    admin off
    auto_https disable_redirects
    skip_install_trust
    http_port 9080
    https_port 9443
}
ca.example.com:9443 {
    tls internal
    acme_server
    log
}
";

fn start(tree: &Tree) -> Running {
    let mut command = Command::new("unshare");
    command
        .args(["-n", "-m", "sh", "-c", SCRIPT])
        .arg(tree.path());
    command.args([
        env!("CARGO_BIN_EXE_stead"),
        "up",
        "--public",
        "--host",
        "127.0.0.1",
    ]);
    command.current_dir(tree.path());
    Running::start(command, tree.path())
}

#[test]
fn another_authority_gives_certificates_in_the_same_way() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a network of its own is for root to make");
        return;
    }
    // An order of a hundred hosts takes Caddy a while: at length only.
    let count = count(2);
    let hosts = if count > 2 { 100 } else { 10 };
    let names: Vec<String> = (0..hosts)
        .map(|number| format!("h{number}.example.com"))
        .collect();
    let toml = format!(
        "app = \"site\"\n[process.web]\nstatic = \"public\"\n[route]\nhosts = {names:?}\n[acme]\n\
         directory = \"https://ca.example.com:9443/acme/local/directory\"\n\
         ca-root = \"root.pem\"\nresolvers = [\"127.0.0.1:9\"]\n"
    );
    let hosts = format!(
        "127.0.0.1 localhost ca.example.com\n127.0.0.1 {}\n",
        names.join(" ")
    );
    let files = [
        ("stead.toml", toml.as_str()),
        ("public/index.html", "hello\n"),
        ("hosts", hosts.as_str()),
        ("Caddyfile", CADDYFILE),
    ];
    let tree = Tree::new(&files);
    let mut running = start(&tree);
    running.wait_for(&format!(
        "and {} more has a certificate of `Caddy Local Authority",
        names.len() - 3
    ));
    running.stop();
    // What it gave is kept, and nothing is ordered again: its certificates last for half a day.
    for _ in 0..count {
        let mut running = start(&tree);
        running.wait_for(" serves after ");
        running.stop();
        let seen = running.seen();
        assert!(!seen.contains("ordering a certificate"), "{seen}");
    }
    let log = tree.read("caddy.log");
    assert!(!log.contains("\"level\":\"error\""), "{log}");
    let orders = log.matches("\"uri\":\"/acme/local/new-order\"").count();
    println!(
        "{} hosts at Caddy, {count} restarts: {orders} order",
        names.len()
    );
    assert_eq!(orders, 1, "{log}");
}
