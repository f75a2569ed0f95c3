//! What is shown to an authority while it checks hosts, and taken back after.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use simple_dns::TYPE;
use stead_model::certificates::TlsAlpnChallenge;
use tokio::time::Instant;

use super::attempts::Kind;
use super::authority::Trouble;
use super::dns::{self, Resolver};
use super::link::Link;
use super::order::Way;
use super::reach::Sign;
use super::records::Records;

/// Until all of a zone's servers have a record. Some providers take minutes.
const SPREADING: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// What one host's question is answered with, in each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) host: String,
    pub(crate) way: Way,
    pub(crate) token: String,
    /// The key authorization.
    pub(crate) answer: String,
    /// Its SHA-256.
    pub(crate) digest: Vec<u8>,
    /// That as a TXT record has it.
    pub(crate) record: String,
}

/// Everything that is shown at present.
pub(crate) struct Offers<'a> {
    link: &'a mut Link,
    records: Option<Arc<Records>>,
    resolver: Resolver,
    /// Answered as well: by it, this host is recognized.
    sign: Sign,
    /// Records that were made.
    made: Vec<(String, String)>,
    /// Authorities are greeted over TLS.
    greeted: bool,
    /// What could not be taken back.
    pub(crate) left: Vec<String>,
}

impl<'a> Offers<'a> {
    pub(crate) fn new(
        link: &'a mut Link,
        records: Option<Arc<Records>>,
        resolver: Resolver,
        sign: Sign,
    ) -> Self {
        Self {
            link,
            records,
            resolver,
            sign,
            made: Vec::new(),
            greeted: false,
            left: Vec::new(),
        }
    }

    /// Only the sign.
    pub(crate) async fn show_sign(&mut self) -> Result<(), Trouble> {
        self.link.answer(self.answers(&[])).await
    }

    /// Show all of it. Returns what could not be shown.
    pub(crate) async fn make(&mut self, offers: &[Offer]) -> Vec<(String, Trouble)> {
        let mut failed = Vec::new();
        if let Err(trouble) = self.link.answer(self.answers(offers)).await {
            let http = offers.iter().filter(|offer| offer.way == Way::Http);
            failed.extend(http.map(|offer| (offer.host.clone(), trouble.clone())));
        }
        failed.extend(self.greet(offers).await);
        for offer in offers.iter().filter(|offer| offer.way == Way::Dns) {
            if let Err(why) = self.record(offer).await {
                failed.push((offer.host.clone(), Trouble::new(Kind::Refused, why)));
            }
        }
        failed
    }

    /// Greet the authority, and nobody else, with certificates that say what it wants to hear.
    async fn greet(&mut self, offers: &[Offer]) -> Vec<(String, Trouble)> {
        let mut failed = Vec::new();
        let mut challenges = Vec::new();
        for offer in offers.iter().filter(|offer| offer.way == Way::TlsAlpn) {
            match greeting(offer) {
                Ok(challenge) => challenges.push(challenge),
                Err(error) => {
                    let why = format!("cannot make a certificate for the check: {error}");
                    failed.push((offer.host.clone(), Trouble::new(Kind::Unavailable, why)));
                }
            }
        }
        if challenges.is_empty() {
            return failed;
        }
        let hosts: Vec<String> = challenges.iter().map(|one| one.host.clone()).collect();
        self.greeted = true;
        match self.link.challenge(challenges).await {
            Ok(report) => {
                let problems = report.problems.into_iter();
                let own = problems.filter(|problem| hosts.contains(&problem.subject));
                failed.extend(own.map(|problem| {
                    (
                        problem.subject,
                        Trouble::new(Kind::Unavailable, problem.why),
                    )
                }));
            }
            Err(trouble) => failed.extend(hosts.into_iter().map(|host| (host, trouble.clone()))),
        }
        failed
    }

    fn answers(&self, offers: &[Offer]) -> BTreeMap<String, String> {
        let http = offers.iter().filter(|offer| offer.way == Way::Http);
        http.map(|offer| (offer.token.clone(), offer.answer.clone()))
            .chain([(self.sign.token.clone(), self.sign.answer.clone())])
            .collect()
    }

    async fn record(&mut self, offer: &Offer) -> Result<(), String> {
        let Some(records) = self.records.clone() else {
            return Err("nothing says who makes records in the DNS".to_owned());
        };
        let bare = offer.host.strip_prefix("*.").unwrap_or(&offer.host);
        let name = format!("_acme-challenge.{bare}");
        let (at, value) = (name.clone(), offer.record.clone());
        // Whatever comes of it: a record may be there.
        self.made.push((name.clone(), offer.record.clone()));
        let made = tokio::task::spawn_blocking(move || records.present(&at, &value)).await;
        made.unwrap_or_else(|_| Err("the program is ending".to_owned()))?;
        spread(&self.resolver, &name, &offer.record).await;
        Ok(())
    }

    /// Take everything back.
    pub(crate) async fn withdraw(&mut self) {
        let _ = self.link.answer(BTreeMap::new()).await;
        if std::mem::take(&mut self.greeted) {
            let _ = self.link.challenge(Vec::new()).await;
        }
        let Some(records) = self.records.clone() else {
            return;
        };
        for (name, value) in std::mem::take(&mut self.made) {
            let records = Arc::clone(&records);
            let removed = tokio::task::spawn_blocking(move || records.cleanup(&name, &value)).await;
            if let Ok(Err(why)) = removed {
                self.left.push(why);
            }
        }
    }
}

/// The certificate for one check over TLS (RFC 8737 section 3).
fn greeting(offer: &Offer) -> Result<TlsAlpnChallenge, rcgen::Error> {
    let mut parameters = rcgen::CertificateParams::new(vec![offer.host.clone()])?;
    let identifier = rcgen::CustomExtension::new_acme_identifier(&offer.digest);
    parameters.custom_extensions = vec![identifier];
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok(TlsAlpnChallenge {
        host: offer.host.clone(),
        chain_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// Wait until all servers of the zone have the record, or it has taken too long: the authority then says what it finds.
/// The zone's own servers are asked, so that nobody remembers that there was none.
async fn spread(resolver: &Resolver, name: &str, value: &str) {
    let end = Instant::now() + SPREADING;
    let servers = servers(resolver, name).await;
    loop {
        let mut everywhere = true;
        for server in &servers {
            // A server that cannot be asked from here is no reason to wait.
            if let Ok(records) = dns::ask(*server, name, TYPE::TXT, false).await {
                everywhere &= records.texts.iter().any(|text| text == value);
            }
        }
        if everywhere || Instant::now() >= end {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The addresses of the servers of the zone that a name is in.
async fn servers(resolver: &Resolver, name: &str) -> Vec<SocketAddr> {
    let mut zone = name;
    while let Some((_, above)) = zone.split_once('.') {
        zone = above;
        let Ok(records) = resolver.ask(zone, TYPE::NS).await else {
            return Vec::new();
        };
        if records.servers.is_empty() {
            continue;
        }
        let mut servers = Vec::new();
        for server in &records.servers {
            if let Ok(addresses) = resolver.addresses(server).await {
                servers.extend(
                    addresses
                        .into_iter()
                        .map(|address| SocketAddr::new(address, 53)),
                );
            }
        }
        return servers;
    }
    Vec::new()
}
