//! Another authority: Caddy's `acme_server`. It asks for hosts at ports 80 and 443, so all of it runs in a network of its own.

use std::process::Command;

use crate::running::{Running, Tree};

/// Argument 0: the tree. Names lead to this machine there, and Caddy is an authority at port 9443.
const SCRIPT: &str = r#"
set -e
ip link set lo up
mount --bind "$0/hosts" /etc/hosts
export XDG_DATA_HOME="$0/caddy" XDG_CONFIG_HOME="$0/caddy"
caddy run --config "$0/Caddyfile" --adapter caddyfile > "$0/caddy.log" 2>&1 &
trap "kill $!" EXIT
for i in $(seq 100); do
    [ -e "$0/caddy/caddy/pki/authorities/local/root.crt" ] && break
    sleep 0.1
done
cat "$0/caddy/caddy/pki/authorities/local/root.crt" > "$0/root.pem"
"$@" &
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
    let toml = "app = \"site\"\n[process.web]\nstatic = \"public\"\n\
                [route]\nhosts = [\"shop.example.com\", \"www.shop.example.com\"]\n[acme]\n\
                directory = \"https://ca.example.com:9443/acme/local/directory\"\n\
                ca-root = \"root.pem\"\nresolvers = [\"127.0.0.1:9\"]\n";
    let hosts = "127.0.0.1 localhost ca.example.com shop.example.com www.shop.example.com\n";
    let files = [
        ("stead.toml", toml),
        ("public/index.html", "hello\n"),
        ("hosts", hosts),
        ("Caddyfile", CADDYFILE),
    ];
    let tree = Tree::new(&files);
    let done =
        "`shop.example.com`, `www.shop.example.com` has a certificate of `Caddy Local Authority";
    let mut running = start(&tree);
    running.wait_for(done);
    running.stop();
    // What it gave is kept, and nothing is ordered again: its certificates last for half a day.
    let mut running = start(&tree);
    running.wait_for(" serves after ");
    running.stop();
    assert!(
        !running.seen().contains("ordering a certificate"),
        "{}",
        running.seen()
    );
    let log = tree.read("caddy.log");
    assert!(!log.contains("\"level\":\"error\""), "{log}");
}
