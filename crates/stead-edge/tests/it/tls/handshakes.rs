//! Handshakes while certificates are replaced. `cargo xtask soak handshakes` runs it at length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stead_model::certificates::{CertificateFiles, CertificateTable};
use stead_model::messages::EdgeCommand;

use super::authority::Secure;

/// Visitors at the same time.
const VISITORS: usize = 4;

fn client(secure: &Secure) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let own = CertificateDer::from_pem_file(&secure.authority.own).unwrap();
    roots.add(own).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A new connection, one request.
fn visit(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let socket = TcpStream::connect(address).map_err(told)?;
    let patience = Some(Duration::from_secs(30));
    socket.set_read_timeout(patience).map_err(told)?;
    let name = "a.example".try_into().unwrap();
    let tls = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(tls, socket);
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    match answer.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(answer),
    }
}

#[test]
fn no_handshake_fails_while_certificates_are_replaced() {
    let asked = std::env::var("STEAD_SOAK_COUNT").ok();
    let count = asked.map_or(500, |count| count.parse().unwrap());
    let mut secure = Secure::start();
    let files = secure.authority.issue("a", &["a.example"]);
    let table = |others: &[CertificateFiles]| CertificateTable {
        files: [std::slice::from_ref(&files), others].concat(),
        ..CertificateTable::default()
    };
    secure.show(table(&[]));
    let pairs: Vec<_> = (0..4)
        .map(|_| secure.authority.pair(&["a.example"]))
        .collect();
    let renewed: Vec<_> = (0..4)
        .map(|number| {
            secure
                .authority
                .issue(&format!("r{number}"), &["a.example"])
        })
        .collect();
    let commands = secure.running.edge.commands.clone();
    let config = client(&secure);
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    let address = secure.address;
    let (failed, replaced) = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS)
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = Vec::new();
                    while begun.fetch_add(1, Ordering::Relaxed) < count {
                        failed.extend(visit(address, &config).err());
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    failed
                })
            })
            .collect();
        let mut replaced = 0;
        while done.load(Ordering::Relaxed) < VISITORS {
            let (chain, key) = &pairs[replaced % pairs.len()];
            // In place, in two steps, as people do it: in between the pair is torn. Then with another one beside it, as an agent does.
            for (path, text) in [(&files.chain, chain), (&files.key, key)] {
                std::fs::write(path, text).unwrap();
                let _ = commands.send(EdgeCommand::Certificates(table(&[])));
                std::thread::sleep(Duration::from_millis(5));
            }
            let other = &renewed[replaced % renewed.len()];
            let _ = commands.send(EdgeCommand::Certificates(table(std::slice::from_ref(
                other,
            ))));
            std::thread::sleep(Duration::from_millis(5));
            replaced += 1;
        }
        let failed = visitors.into_iter();
        let failed: Vec<String> = failed.flat_map(|one| one.join().unwrap()).collect();
        (failed, replaced)
    });
    println!(
        "{count} whole handshakes in {:.1?}, certificates replaced {} times: {} failed",
        began.elapsed(),
        replaced * 3,
        failed.len()
    );
    assert!(
        failed.is_empty(),
        "{:?}",
        failed.iter().take(3).collect::<Vec<_>>()
    );
}
