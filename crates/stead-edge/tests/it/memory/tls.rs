//! The same over TLS.

use std::net::TcpListener;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use stead_model::certificates::CertificateTable;
use stead_model::messages::{EdgeCommand, EdgeEvent};

use super::*;
use crate::running::Running;
use crate::tls::authority::Authority;

/// Takes any certificate: who it is does not matter for what it costs.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn config() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

/// A visitor whose handshake is done, after it has said something and, unless it asks for `/silent`, has an answer.
fn say(edge: &Apart, config: &Arc<ClientConfig>, bytes: &[u8]) -> Kept {
    let name = ServerName::try_from("a.example").unwrap();
    let client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(client, edge.connect());
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    if !bytes.starts_with(b"GET /silent") {
        let _ = stream.read(&mut [0; 1024]).unwrap();
    }
    Box::new(stream)
}

#[test]
fn tls_costs_no_more_than_is_said_beside_that() {
    if std::env::var_os("STEAD_TEST_EDGE").is_some() {
        let worker = Worker::start(APP, 16);
        let mut running = Running::with(one_thread(), both(&worker));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        running.edge.listen_tls(vec![listener]).unwrap();
        let authority = Authority::new();
        let certificates = CertificateTable {
            files: vec![authority.issue("a", &["a.example"])],
            ..CertificateTable::default()
        };
        let command = EdgeCommand::Certificates(certificates);
        running.edge.commands.send(command).unwrap();
        running.wait_for(|event| matches!(event, EdgeEvent::Certificates(_)));
        stay(running.edge.tls_addresses[0]);
        return;
    }
    let config = config();
    check(
        "memory::tls::tls_costs_no_more_than_is_said_beside_that",
        &[
            ("handshake not begun", MANY, 10 << 10, &|edge| {
                Box::new(edge.connect())
            }),
            ("idle", MANY, 15 << 10, &|edge| {
                say(edge, &config, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            }),
            ("forwarded", MANY, 40 << 10, &|edge| {
                say(
                    edge,
                    &config,
                    b"GET /silent HTTP/1.1\r\nHost: a.example\r\n\r\n",
                )
            }),
        ],
    );
}
