//! TLS: which certificate a visitor is shown, and the session that its bytes come over.
//!
//! ```text
//! EdgeCommand::Certificates ─► Set (files read, checked, by name) ─► swapped in
//!                                               │ name
//! listen ─► accept (handshake) ─► a config ◄────┘
//!              └─► Session, below a Visitor ─► connection, as over a plain socket
//! ```
//!
//! Invariant: what is in force was whole when it was read. A pair of files that is broken, torn or gone changes
//! nothing for visitors; the agent is told.

mod accept;
mod clients;
mod demand;
pub(crate) mod pair;
mod policy;
mod session;
mod set;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use stead_model::certificates::{CertificateReport, CertificateTable};

pub(crate) use self::accept::{Failed, Greeted, accept};
use self::clients::{Authorities, Client};
pub(crate) use self::demand::Demand;
pub(crate) use self::policy::{Greeting, Policy};
pub(crate) use self::session::Session;
use self::set::Set;

/// How often files are looked at, in case a program other than Stead has replaced them.
pub(crate) const LOOKING: Duration = Duration::from_secs(15);
/// By what an authority says that it checks a host (RFC 8737 section 6.2).
const ACME: &[u8] = b"acme-tls/1";
/// Tickets for each visitor. Browsers use one for their next connection, and get another one there.
const TICKETS: usize = 1;

/// What is known of a visitor's handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `TLSv1.3` or `TLSv1.2`.
    pub(crate) version: &'static str,
    /// As the registry of IANA names it.
    pub(crate) cipher: &'static str,
    /// The host that the visitor asked for (SNI), in lower case.
    pub(crate) host: Option<Box<str>>,
    /// No certificate was shown: the visitor had a ticket of an earlier connection.
    pub(crate) resumed: bool,
    /// HTTP/2 was agreed upon (RFC 9113 section 3.2).
    pub(crate) http2: bool,
    /// Of the visitor's own certificate, where one is asked for.
    pub(crate) client: Option<Box<Client>>,
}

/// The place where certificates are replaced, and what visitors are greeted with.
#[derive(Debug)]
pub(crate) struct Certificates {
    current: Arc<ArcSwap<Set>>,
    /// Held while they are replaced, and by nothing that serves visitors.
    replacing: Mutex<()>,
    provider: Arc<CryptoProvider>,
    /// For visitors in general.
    general: Arc<ServerConfig>,
    /// Where TLS 1.3 is asked for.
    strict: Arc<ServerConfig>,
    authorities: ArcSwap<Authorities>,
    /// Names for which there may be a certificate in a moment.
    pub(crate) demand: Demand,
}

impl Certificates {
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let current: Arc<ArcSwap<Set>> = Arc::default();
        let provider = Arc::new(aws_lc_rs::default_provider());
        // Stateless, so that a ticket of one thread is good for the others. The keys change every six hours.
        let ticketer = Ticketer::new()?;
        let named = Arc::new(ByName(Arc::clone(&current)));
        let tickets = || Some(Arc::clone(&ticketer));
        let greeting = |strict| Greeting {
            strict,
            client_ca: None,
        };
        let no_client = || Arc::new(NoClientAuth);
        let general = config(&provider, &greeting(false), no_client(), tickets(), &named)?;
        let strict = config(&provider, &greeting(true), no_client(), tickets(), &named)?;
        Ok(Self {
            current,
            replacing: Mutex::new(()),
            provider,
            general: Arc::new(general),
            strict: Arc::new(strict),
            authorities: ArcSwap::default(),
            demand: Demand::new().map_err(rustls::Error::General)?,
        })
    }

    /// Put a table in force. To be called where no visitor waits: it reads files.
    pub(crate) fn replace(&self, table: CertificateTable) -> CertificateReport {
        let _alone = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let set = Set::new(table, &self.current.load());
        self.current.store(Arc::new(set));
        self.demand.look(|host| self.has(host));
        self.report()
    }

    /// Read who may issue the certificates of visitors. `Some`: there is something to tell. To be called before the
    /// table that names these is in force, where no visitor waits.
    pub(crate) fn ask_for<'a>(
        &self,
        paths: impl Iterator<Item = &'a Arc<Path>>,
    ) -> Option<CertificateReport> {
        let _alone = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.read_authorities(paths);
        let is_bad = self.authorities.load().problems().next().is_some();
        is_bad.then(|| self.report())
    }

    fn read_authorities<'a>(&self, paths: impl Iterator<Item = &'a Arc<Path>>) {
        let former = self.authorities.load_full();
        let read = Authorities::read(paths, &former, &self.provider);
        self.authorities.store(Arc::new(read));
    }

    fn report(&self) -> CertificateReport {
        let mut report = self.current.load().report(now());
        report.problems.extend(self.authorities.load().problems());
        report
    }

    /// Read again what has changed on disk; `None`: nothing has. To be called where no visitor waits.
    pub(crate) fn refresh(&self) -> Option<CertificateReport> {
        let current = self.current.load_full();
        let authorities = self.authorities.load_full();
        let other_authorities = authorities.are_outdated();
        if other_authorities {
            self.read_authorities(authorities.paths());
        }
        if !current.is_outdated() {
            return other_authorities.then(|| self.report());
        }
        Some(self.replace(current.table().clone()))
    }

    /// When certificates end, by their first host: see [`Set::ends`].
    pub(crate) fn ends(&self) -> BTreeMap<String, i64> {
        self.current.load().ends()
    }

    /// There is a certificate for `host`, in lower case.
    pub(crate) fn has(&self, host: &str) -> bool {
        self.current.load().named(host).is_some()
    }

    /// How whoever asks for `host`, in lower case, is greeted.
    pub(crate) fn for_visitor(
        &self,
        host: Option<&str>,
        greeting: &Greeting,
    ) -> Result<Arc<ServerConfig>, Failed> {
        if self.current.load().find(host).is_none() {
            return Err(Failed::Name);
        }
        let Some(path) = &greeting.client_ca else {
            return Ok(Arc::clone(match greeting.strict {
                true => &self.strict,
                false => &self.general,
            }));
        };
        // Without tickets: who was let in once is checked again, since the authority may be another one by now.
        let verifier = self.authorities.load().verifier(path);
        let verifier = verifier.ok_or(Failed::Client)?;
        let named = Arc::new(ByName(Arc::clone(&self.current)));
        config(&self.provider, greeting, verifier, None, &named)
            .map(Arc::new)
            .map_err(|_| Failed::Protocol)
    }

    /// How an authority that checks `host`, in lower case, is greeted.
    pub(crate) fn for_challenge(&self, host: Option<&str>) -> Result<Arc<ServerConfig>, Failed> {
        let current = self.current.load();
        let shown = host.and_then(|host| current.challenge(host));
        let shown = shown.cloned().ok_or(Failed::Name)?;
        let shown = Arc::new(SingleCertAndKey::from(shown));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let mut config = builder
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(|_| Failed::Protocol)?
            .with_no_client_auth()
            .with_cert_resolver(shown);
        config.alpn_protocols = vec![ACME.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    greeting: &Greeting,
    clients: Arc<dyn ClientCertVerifier>,
    ticketer: Option<Arc<dyn ProducesTickets>>,
    named: &Arc<ByName>,
) -> Result<ServerConfig, rustls::Error> {
    let versions = match greeting.strict {
        true => &[&rustls::version::TLS13][..],
        false => rustls::ALL_VERSIONS,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
    let mut config = builder
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::<ByName>::clone(named));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // All of them are good; a visitor who puts an odd one first is no reason to take it.
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if let Some(ticketer) = ticketer {
        config.ticketer = ticketer;
        config.send_tls13_tickets = TICKETS;
    }
    // Said once more, since it must not change: what comes before the handshake is over may come again (RFC 8446
    // section 8).
    config.max_early_data_size = 0;
    Ok(config)
}

/// Chooses by the name that a visitor asks for, among the certificates of the moment.
#[derive(Debug)]
struct ByName(Arc<ArcSwap<Set>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        self.0.load().find(host.as_deref()).cloned()
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}
