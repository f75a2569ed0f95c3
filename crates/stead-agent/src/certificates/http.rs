//! HTTPS to authorities and providers: one blocking client, with limits for everything.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// From the connection to the end of the answer: an authority that hangs is one that is down.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer, bytes.
pub(super) const LONGEST: u64 = 1 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A client that trusts these roots (a PEM file), or those of the machine. Redirects are not followed: neither
/// authorities nor providers need them.
pub(crate) fn agent(roots: Option<&Path>) -> Result<Agent, String> {
    let roots: Vec<Certificate<'static>> = match roots {
        Some(path) => {
            let because = |why: String| format!("cannot use `{}`: {why}", path.display());
            let text = super::store::text(path).map_err(because)?;
            use rustls::pki_types::CertificateDer;
            use rustls::pki_types::pem::PemObject;
            let roots: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
                .filter_map(Result::ok)
                .map(|der| Certificate::from_der(&der).to_owned())
                .collect();
            if roots.is_empty() {
                return Err(because("it has no certificate".to_owned()));
            }
            roots
        }
        // What cannot be read of the system's store is left out; if nothing can, the handshake's error says so.
        None => rustls_native_certs::load_native_certs()
            .certs
            .into_iter()
            .map(|der| Certificate::from_der(&der).to_owned())
            .collect(),
    };
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    Ok(Agent::config_builder()
        .tls_config(tls)
        .proxy(ureq::Proxy::try_from_env())
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent())
}

/// Send a request and read the whole answer.
pub(crate) fn send(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply, String> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let server = url.split('/').nth(2).unwrap_or_default();
    let because = |why: String| format!("cannot reach `{server}`: {why}");
    let sent = match body.is_empty() && method != "POST" {
        true => agent.run(request.body(()).map_err(|error| error.to_string())?),
        false => agent.run(
            request
                .body(body.to_owned())
                .map_err(|error| error.to_string())?,
        ),
    };
    let mut answer = sent.map_err(|error| because(error.to_string()))?;
    let mut text = String::new();
    answer
        .body_mut()
        .as_reader()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| because(error.to_string()))?;
    Ok(Reply {
        status: answer.status().as_u16(),
        body: text,
    })
}
