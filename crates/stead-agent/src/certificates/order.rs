//! One order: from the names to a certificate, with the questions of the authority in between.

use std::collections::BTreeMap;
use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus,
};
use jiff::Timestamp;
use tokio::time::Instant;

use super::attempts::Kind;
use super::authority::{Authority, Trouble, is_nonce, kind_of, nonces, patiently, words};
use super::offers::{Offer, Offers};
use super::pending::{Orders, Pending};

/// For the authority to check all hosts of an order, and again to issue the certificate.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks: from, to.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// How a host is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    TlsAlpn,
    Dns,
}

/// What is ordered.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) hosts: &'a [String],
    pub(crate) ways: &'a BTreeMap<String, Way>,
    pub(crate) replaces: Option<CertificateIdentifier<'a>>,
    pub(crate) profile: Option<&'a str>,
}

/// A certificate, PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Failed {
    /// These hosts could not be proven; the others may be ordered without them.
    Hosts(Vec<(String, Trouble)>),
    /// The whole order.
    Order(Trouble),
    /// The authority does not know our account.
    NoAccount,
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Order(trouble)
    }
}

impl Way {
    fn kind(self) -> ChallengeType {
        match self {
            Self::Http => ChallengeType::Http01,
            Self::TlsAlpn => ChallengeType::TlsAlpn01,
            Self::Dns => ChallengeType::Dns01,
        }
    }
}

/// Order, prove, and fetch; or go on with an order that was begun. `before` is called before the authority is told to issue,
/// with the time at which the order began: an error of it ends the attempt. Whoever keeps the certificate forgets the order.
pub(crate) async fn order(
    authority: &Authority,
    wish: Wish<'_>,
    offers: &mut Offers<'_>,
    orders: &Orders,
    before: impl FnOnce(Timestamp) -> Result<(), Trouble>,
) -> Result<Issued, Failed> {
    let outcome = carry_on(authority, &wish, offers, orders, before).await;
    match &outcome {
        // It cannot become a certificate any more.
        Err(Failed::Hosts(_) | Failed::NoAccount) => orders.forget(wish.hosts),
        Err(Failed::Order(trouble)) if trouble.kind == Kind::Refused => orders.forget(wish.hosts),
        Ok(_) | Err(Failed::Order(_)) => {}
    }
    outcome
}

async fn carry_on(
    authority: &Authority,
    wish: &Wish<'_>,
    offers: &mut Offers<'_>,
    orders: &Orders,
    before: impl FnOnce(Timestamp) -> Result<(), Trouble>,
) -> Result<Issued, Failed> {
    let (mut order, pending) = match resume(authority, wish, orders).await? {
        Some(known) => known,
        None => begin(authority, wish, orders).await?,
    };
    if order.state().status == OrderStatus::Pending {
        let proven = prove(authority, &mut order, wish.ways, offers).await;
        // Whatever came of it, nothing is answered any more.
        offers.withdraw().await;
        proven?;
    }
    wait_until(authority, &mut order, OrderStatus::Ready).await?;
    before(pending.at)?;
    finish(authority, &mut order, &pending.key, wish.hosts).await
}

/// The order that was begun for these hosts, if the authority still has it.
async fn resume(
    authority: &Authority,
    wish: &Wish<'_>,
    orders: &Orders,
) -> Result<Option<(Order, Pending)>, Failed> {
    let Some(pending) = orders.find(wish.hosts, Timestamp::now()) else {
        return Ok(None);
    };
    let known = patiently!(authority.account.order(pending.url.clone()).await);
    let mut order = match known {
        Ok(order) => order,
        Err(error) if is_unknown(&error) => return Err(Failed::NoAccount),
        Err(error) => {
            let is_nonsense = matches!(error, instant_acme::Error::Json(_));
            let trouble = authority.trouble(error);
            // It has forgotten the order, or gave it to another account.
            if is_nonsense || trouble.kind == Kind::Refused {
                orders.forget(wish.hosts);
                return Ok(None);
            }
            return Err(trouble.into());
        }
    };
    if order.state().status == OrderStatus::Invalid {
        orders.forget(wish.hosts);
        return Ok(None);
    }
    Ok(Some((order, pending)))
}

/// A new order, and a key of its own.
async fn begin(
    authority: &Authority,
    wish: &Wish<'_>,
    orders: &Orders,
) -> Result<(Order, Pending), Failed> {
    let key = rcgen::KeyPair::generate().map_err(unmade)?.serialize_pem();
    let identifiers: Vec<Identifier> = wish.hosts.iter().cloned().map(Identifier::Dns).collect();
    let order = new_order(authority, &identifiers, wish).await?;
    let pending = Pending::new(
        orders.directory(),
        wish.hosts,
        order.url(),
        key,
        Timestamp::now(),
    );
    // What cannot be written down is not asked for: it would be lost, and asked for again.
    orders.keep(&pending).map_err(|error| {
        let why = format!("cannot keep the order: {error}");
        Trouble::new(Kind::Unavailable, why)
    })?;
    Ok((order, pending))
}

fn unmade(error: rcgen::Error) -> Trouble {
    Trouble::new(Kind::Unavailable, format!("cannot make a key: {error}"))
}

async fn new_order(
    authority: &Authority,
    identifiers: &[Identifier],
    wish: &Wish<'_>,
) -> Result<Order, Failed> {
    let new = |replaces: Option<CertificateIdentifier<'_>>| {
        let mut new = NewOrder::new(identifiers);
        if let Some(profile) = wish.profile {
            new = new.profile(profile);
        }
        match replaces {
            Some(replaces) => new.replaces(replaces.into_owned()),
            None => new,
        }
    };
    let first = new(wish.replaces.clone());
    let mut outcome = patiently!(authority.account.new_order(&first).await);
    // The authority may have forgotten the former certificate, take it for replaced, or not know what that is: that is no
    // reason for none.
    let forgotten = |error: &instant_acme::Error| wish.replaces.is_some() && !is_unknown(error);
    if outcome.as_ref().is_err_and(forgotten) {
        let plain = new(None);
        outcome = patiently!(authority.account.new_order(&plain).await);
    }
    outcome.map_err(|error| match is_unknown(&error) {
        true => Failed::NoAccount,
        false => authority.trouble(error).into(),
    })
}

/// The authority does not know our account.
fn is_unknown(error: &instant_acme::Error) -> bool {
    matches!(error, instant_acme::Error::Api(problem) if kind_of(problem) == "accountDoesNotExist")
}

/// Answer every question, and wait until the authority has asked them.
async fn prove(
    authority: &Authority,
    order: &mut Order,
    ways: &BTreeMap<String, Way>,
    offers: &mut Offers<'_>,
) -> Result<(), Failed> {
    let mut failed = Vec::new();
    let (asked, refused) = questions(authority, order, ways).await?;
    failed.extend(refused);
    failed.extend(offers.make(&asked).await);
    let offered: Vec<String> = asked
        .iter()
        .map(|offer| offer.host.clone())
        .filter(|host| !failed.iter().any(|(other, _)| other == host))
        .collect();
    ready(authority, order, ways, &offered).await?;
    failed.extend(checked(authority, order, ways, &offered).await?);
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failed::Hosts(failed)),
    }
}

/// What the authority asks of each host that it does not trust yet.
async fn questions(
    authority: &Authority,
    order: &mut Order,
    ways: &BTreeMap<String, Way>,
) -> Result<(Vec<Offer>, Vec<(String, Trouble)>), Failed> {
    // Refusals in a row: of a hundred authorizations each may be refused now and then.
    let (mut tries, mut furthest) = (0, 0);
    'again: loop {
        let (mut asked, mut failed, mut reached) = (Vec::new(), Vec::new(), 0);
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = match next {
                Ok(authorization) => authorization,
                Err(error) if is_nonce(&error) && tries < nonces() => {
                    tries += 1;
                    continue 'again;
                }
                Err(error) => return Err(authority.trouble(error).into()),
            };
            reached += 1;
            if reached > furthest {
                (tries, furthest) = (0, reached);
            }
            let host = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => {
                    let why = format!("the authority's check of it is over: {other:?}");
                    failed.push((host, Trouble::new(Kind::Refused, why.to_lowercase())));
                    continue;
                }
            }
            let way = ways.get(&host).copied().unwrap_or(Way::Http);
            match authorization.challenge(way.kind()) {
                Some(challenge) => {
                    let answer = challenge.key_authorization();
                    asked.push(Offer {
                        host,
                        way,
                        token: challenge.token.clone(),
                        digest: answer.digest().as_ref().to_vec(),
                        record: answer.dns_value(),
                        answer: answer.as_str().to_owned(),
                    });
                }
                None => {
                    let why = format!("the authority does not offer {}", name(way));
                    failed.push((host, Trouble::new(Kind::Refused, why)));
                }
            }
        }
        return Ok((asked, failed));
    }
}

/// Tell the authority that it may ask.
async fn ready(
    authority: &Authority,
    order: &mut Order,
    ways: &BTreeMap<String, Way>,
    offered: &[String],
) -> Result<(), Failed> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(|error| authority.trouble(error))?;
        let host = authorization.identifier().to_string();
        if !offered.contains(&host) {
            continue;
        }
        let way = ways.get(&host).copied().unwrap_or(Way::Http);
        let Some(mut challenge) = authorization.challenge(way.kind()) else {
            continue;
        };
        let mut told = patiently!(challenge.set_ready().await);
        if !matches!(told, Ok(()) | Err(instant_acme::Error::Api(_))) {
            // Its answer was lost; to be told twice does no harm.
            told = patiently!(challenge.set_ready().await);
        }
        match told {
            Ok(()) => {}
            // What is wrong with the host is told when it is looked at.
            Err(instant_acme::Error::Api(problem)) if problem.status.is_none_or(|s| s < 429) => {}
            Err(error) => return Err(authority.trouble(error).into()),
        }
    }
    Ok(())
}

/// Wait until every host was checked; those that failed.
async fn checked(
    authority: &Authority,
    order: &mut Order,
    ways: &BTreeMap<String, Way>,
    offered: &[String],
) -> Result<Vec<(String, Trouble)>, Failed> {
    let end = Instant::now() + PATIENCE;
    let mut look = LOOKS.0;
    loop {
        let (mut failed, mut pending) = (Vec::new(), Vec::new());
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| authority.trouble(error))?;
            let host = authorization.identifier().to_string();
            if !offered.contains(&host) {
                continue;
            }
            if authorization.status == AuthorizationStatus::Pending {
                let looked = patiently!(authorization.refresh().await.map(drop));
                looked.map_err(|error| authority.trouble(error))?;
            }
            match authorization.status {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => pending.push(host),
                _ => {
                    let way = ways.get(&host).copied().unwrap_or(Way::Http);
                    let challenge = authorization.challenge(way.kind());
                    let said = challenge.and_then(|challenge| challenge.error.as_ref().map(words));
                    let said = said.unwrap_or_else(|| "no reason".to_owned());
                    let why = format!("the authority checked it by {}: {said}", name(way));
                    failed.push((host, Trouble::new(Kind::Refused, why)));
                }
            }
        }
        if pending.is_empty() {
            return Ok(failed);
        }
        if Instant::now() >= end {
            let why = "the authority did not check it in time";
            let late = pending.into_iter();
            failed.extend(late.map(|host| (host, Trouble::new(Kind::Unavailable, why))));
            return Ok(failed);
        }
        tokio::time::sleep(look).await;
        look = (look * 3 / 2).min(LOOKS.1);
    }
}

async fn wait_until(
    authority: &Authority,
    order: &mut Order,
    wanted: OrderStatus,
) -> Result<(), Failed> {
    let end = Instant::now() + PATIENCE;
    let mut look = LOOKS.0;
    loop {
        let state = patiently!(order.refresh().await.map(drop));
        state.map_err(|error| authority.trouble(error))?;
        let state = order.state();
        let reached = |status: OrderStatus| match wanted {
            OrderStatus::Ready => matches!(
                status,
                OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid
            ),
            _ => status == wanted,
        };
        if reached(state.status) {
            return Ok(());
        }
        if state.status == OrderStatus::Invalid {
            let said = state.error.as_ref().map(words);
            let said = said.unwrap_or_else(|| "no reason".to_owned());
            let why = format!("the authority refused the order: {said}");
            return Err(Trouble::new(Kind::Refused, why).into());
        }
        if Instant::now() >= end {
            let why = "the authority did not issue the certificate in time";
            return Err(Trouble::new(Kind::Unavailable, why).into());
        }
        tokio::time::sleep(look).await;
        look = (look * 3 / 2).min(LOOKS.1);
    }
}

/// Ask for the certificate, unless that was done, and fetch it.
async fn finish(
    authority: &Authority,
    order: &mut Order,
    key: &str,
    hosts: &[String],
) -> Result<Issued, Failed> {
    if order.state().status == OrderStatus::Ready {
        let csr = request(key, hosts).map_err(unmade)?;
        let told = patiently!(order.finalize_csr(&csr).await);
        told.map_err(|error| authority.trouble(error))?;
    }
    wait_until(authority, order, OrderStatus::Valid).await?;
    let chain = patiently!(order.certificate().await);
    match chain.map_err(|error| authority.trouble(error))? {
        Some(chain) => Ok(Issued {
            chain,
            key: key.to_owned(),
        }),
        None => {
            let why = "the authority issued the certificate and did not hand it out";
            Err(Trouble::new(Kind::Unavailable, why).into())
        }
    }
}

/// A request for these names (RFC 2986), signed by a key (P-256, PEM).
fn request(key: &str, hosts: &[String]) -> Result<Vec<u8>, rcgen::Error> {
    let key = rcgen::KeyPair::from_pem(key)?;
    let mut parameters = rcgen::CertificateParams::new(hosts)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let csr = parameters.serialize_request(&key)?;
    Ok(csr.der().to_vec())
}

/// As `[acme] challenge` says.
pub(crate) fn name(way: Way) -> &'static str {
    match way {
        Way::Http => "http-01",
        Way::TlsAlpn => "tls-alpn-01",
        Way::Dns => "dns-01",
    }
}
