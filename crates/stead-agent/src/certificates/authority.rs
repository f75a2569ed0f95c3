//! A certificate authority: its directory, our account there, and what its errors mean.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt;
use instant_acme::{
    Account, AccountCredentials, BodyWrapper, BytesResponse, CertificateIdentifier, Error,
    ExternalAccountKey, HttpClient, NewAccount, Problem,
};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use ureq::http::{Method, Request};

use super::attempts::{Kind, Window};
use super::http;
use super::store::write_whole;

/// A clock that is off by more than this makes valid certificates look expired, and orders that are of no use.
const CLOCK: SignedDuration = SignedDuration::from_hours(1);
/// How many times in a row an authority may refuse its own nonces; each is three times for the library below.
const NONCES: usize = 20;

/// From one question when to renew to the next: at least, at most (RFC 9773 section 4.3).
const ASK: (SignedDuration, SignedDuration) = (
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(24),
);

/// How to reach an authority, and who we are there.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// The URL of its directory.
    pub(crate) directory: String,
    pub(crate) email: Option<String>,
    /// Trust these roots alone.
    pub(crate) roots: Option<PathBuf>,
    /// An external account: its key identifier and its HMAC key.
    pub(crate) external: Option<(String, Vec<u8>)>,
}

/// Why something did not work, and what follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    /// For a person.
    pub(crate) why: String,
    /// The authority asks to wait so long.
    pub(crate) at_least: Option<SignedDuration>,
}

impl Trouble {
    pub(crate) fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self {
            kind,
            why: why.into(),
            at_least: None,
        }
    }
}

/// An authority that answers, and our account there.
pub(crate) struct Authority {
    pub(crate) account: Account,
    seen: Arc<Mutex<Seen>>,
}

/// What headers of the last answers said.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How far the authority's clock is ahead of ours.
    ahead: Option<SignedDuration>,
    retry_after: Option<SignedDuration>,
}

impl Authority {
    /// Reach it, with the account that is kept in `accounts` or a new one.
    pub(crate) async fn open(terms: &Terms, accounts: &Path) -> Result<Self, Trouble> {
        let path = accounts.join(format!("{}.json", account_name(terms)));
        let kept = std::fs::read(&path).ok();
        let kept = kept.and_then(|text| serde_json::from_slice::<AccountCredentials>(&text).ok());
        let authority = match kept {
            Some(kept) => {
                let (builder, seen) = builder(terms)?;
                let account = builder.from_credentials(kept).await;
                let account = account.map_err(|error| trouble(error, &seen))?;
                Self { account, seen }
            }
            None => Self::register(terms, accounts, &path).await?,
        };
        authority.check_clock()?;
        Ok(authority)
    }

    /// Forget the kept account: the authority does not know it.
    pub(crate) fn forget(terms: &Terms, accounts: &Path) {
        let _ = std::fs::remove_file(accounts.join(format!("{}.json", account_name(terms))));
    }

    async fn register(terms: &Terms, accounts: &Path, path: &Path) -> Result<Self, Trouble> {
        let contact = terms.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = terms
            .external
            .as_ref()
            .map(|(kid, key)| ExternalAccountKey::new(kid.clone(), key));
        let mut tries = 0;
        let (account, credentials, seen) = loop {
            let (builder, seen) = builder(terms)?;
            let directory = terms.directory.clone();
            match builder.create(&new, directory, external.as_ref()).await {
                Ok((account, credentials)) => break (account, credentials, seen),
                Err(error) if is_nonce(&error) && tries < NONCES => tries += 1,
                Err(error) => return Err(trouble(error, &seen)),
            }
        };
        let kept = serde_json::to_vec(&credentials)
            .map_err(std::io::Error::other)
            .and_then(|text| {
                use std::os::unix::fs::DirBuilderExt;
                std::fs::DirBuilder::new()
                    .mode(0o700)
                    .recursive(true)
                    .create(accounts)?;
                write_whole(path, &text)
            });
        // Without its key, the account would be made anew at each start, which authorities limit.
        kept.map_err(|error| {
            let why = format!("cannot keep the account in `{}`: {error}", path.display());
            Trouble::new(Kind::Unavailable, why)
        })?;
        Ok(Self { account, seen })
    }

    /// With a clock that is wrong, orders would be wasted.
    fn check_clock(&self) -> Result<(), Trouble> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.ahead {
            Some(ahead) if ahead.abs() > CLOCK => {
                let now = Timestamp::now();
                let why = format!(
                    "this host's clock says {}, the authority's {}: set the clock, nothing is ordered until then",
                    minute(now),
                    minute(now + ahead)
                );
                Err(Trouble::new(Kind::Unavailable, why))
            }
            _ => Ok(()),
        }
    }

    /// When it would like a certificate (DER) to be renewed; `None`: it does not say.
    pub(crate) async fn window(&self, leaf: &[u8], now: Timestamp) -> Option<Window> {
        let identifier = identifier(leaf)?;
        let (info, wait) = self.account.renewal_info(&identifier).await.ok()?;
        let window = info.suggested_window;
        let time = |seconds| Timestamp::from_second(seconds).ok();
        let wait = SignedDuration::try_from(wait).unwrap_or(ASK.1);
        Some(Window {
            begins: time(window.start.unix_timestamp())?,
            ends: time(window.end.unix_timestamp())?,
            ask: now + wait.clamp(ASK.0, ASK.1),
        })
    }

    /// What an error of this authority means.
    pub(crate) fn trouble(&self, error: Error) -> Trouble {
        trouble(error, &self.seen)
    }
}

/// Ask again as long as the authority refuses its own nonces (RFC 8555 section 6.5.1).
macro_rules! patiently {
    ($attempt:expr) => {{
        let mut tries = 0;
        loop {
            match $attempt {
                Err(error)
                    if $crate::certificates::authority::is_nonce(&error)
                        && tries < $crate::certificates::authority::nonces() =>
                {
                    tries += 1;
                }
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use patiently;

pub(crate) const fn nonces() -> usize {
    NONCES
}

/// The authority refused a nonce.
pub(crate) fn is_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind_of(problem) == "badNonce")
}

/// What a problem is about: the last part of its type (RFC 8555 section 6.7).
pub(crate) fn kind_of(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.rsplit(':').next().unwrap_or_default()
}

/// What a problem says, for a person.
pub(crate) fn words(problem: &Problem) -> String {
    let mut words = problem
        .detail
        .clone()
        .unwrap_or_else(|| format!("no reason, only `{}`", kind_of(problem)));
    for part in problem.subproblems.iter().take(3) {
        if let Some(detail) = &part.detail {
            words.push_str("; ");
            words.push_str(detail);
        }
    }
    // It goes to a terminal.
    words.retain(|c| !c.is_control());
    words.chars().take(500).collect()
}

fn trouble(error: Error, seen: &Mutex<Seen>) -> Trouble {
    let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    match error {
        Error::Api(problem) => {
            let failed = problem.status.is_some_and(|status| status >= 500);
            let kind = match kind_of(&problem) {
                "rateLimited" => Kind::Limited,
                "serverInternal" | "badNonce" | "accountDoesNotExist" => Kind::Unavailable,
                _ if problem.status == Some(429) => Kind::Limited,
                _ if failed => Kind::Unavailable,
                _ => Kind::Refused,
            };
            Trouble {
                kind,
                why: format!("the authority says: {}", words(&problem)),
                at_least: seen.retry_after,
            }
        }
        Error::Json(_) => Trouble {
            kind: Kind::Unavailable,
            why: "the authority's answer is none".to_owned(),
            at_least: seen.retry_after,
        },
        Error::Unsupported(what) => {
            Trouble::new(Kind::Refused, format!("the authority does not know {what}"))
        }
        other => Trouble {
            kind: Kind::Unavailable,
            why: other.to_string(),
            at_least: seen.retry_after,
        },
    }
}

/// How an authority knows a certificate (RFC 9773 section 4.1).
pub(super) fn identifier(leaf: &[u8]) -> Option<CertificateIdentifier<'static>> {
    let der = CertificateDer::from(leaf);
    let identifier = CertificateIdentifier::try_from(&der).ok()?;
    Some(identifier.into_owned())
}

fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// One file for each authority and external account.
fn account_name(terms: &Terms) -> String {
    let external = terms.external.as_ref().map_or("", |(kid, _)| kid);
    let text = format!("{}\n{external}", terms.directory);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hash.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn builder(terms: &Terms) -> Result<(instant_acme::AccountBuilder, Arc<Mutex<Seen>>), Trouble> {
    let agent =
        http::agent(terms.roots.as_deref()).map_err(|why| Trouble::new(Kind::Unavailable, why))?;
    let seen = Arc::default();
    let client = Client {
        agent,
        seen: Arc::clone(&seen),
    };
    Ok((Account::builder_with_http(Box::new(client)), seen))
}

/// The HTTP client below the library: the one that the rest of the house has, in a thread for what blocks.
struct Client {
    agent: ureq::Agent,
    seen: Arc<Mutex<Seen>>,
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let agent = self.agent.clone();
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let sent = tokio::task::spawn_blocking(move || exchange(&agent, parts, &body));
            let (parts, body) = match sent.await {
                Ok(answer) => answer.map_err(|why| Error::Other(why.into()))?,
                Err(_) => return Err(Error::Str("the program is ending")),
            };
            note(&parts, &seen);
            Ok(BytesResponse {
                parts,
                body: Box::new(bytes::Bytes::from(body)),
            })
        })
    }
}

type Parts = ureq::http::response::Parts;

fn exchange(
    agent: &ureq::Agent,
    parts: ureq::http::request::Parts,
    body: &[u8],
) -> Result<(Parts, Vec<u8>), String> {
    use std::io::Read;
    let server = parts.uri.authority().map_or("", |server| server.as_str());
    let because = format!("cannot reach `{server}`");
    let sent = match parts.method {
        Method::GET | Method::HEAD => agent.run(Request::from_parts(parts.clone(), ())),
        _ => agent.run(Request::from_parts(parts.clone(), body)),
    };
    let answer = sent.map_err(|error| format!("{because}: {error}"))?;
    let (head, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    body.as_reader()
        .take(http::LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{because}: {error}"))?;
    Ok((head, bytes))
}

/// Remember what the headers say of time.
fn note(parts: &Parts, seen: &Mutex<Seen>) {
    let header = |name: &str| parts.headers.get(name)?.to_str().ok();
    let now = Timestamp::now();
    let date = |text: &str| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(date.timestamp().duration_since(now))
    };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ahead) = header("date").and_then(date) {
        seen.ahead = Some(ahead);
    }
    seen.retry_after = header("retry-after").and_then(|text| match text.parse::<u32>() {
        Ok(seconds) => Some(SignedDuration::from_secs(i64::from(seconds))),
        Err(_) => date(text),
    });
}
