//! Whether a delivery is signed, in the ways of those who send them.
//!
//! | server | header | what is compared | source |
//! |---|---|---|---|
//! | GitHub, Gitea, Forgejo | `X-Hub-Signature-256: sha256=HEX` | HMAC-SHA256 of the body | "Validating webhook deliveries", docs.github.com |
//! | GitLab | `webhook-signature: v1,BASE64 …` with `webhook-id`, `webhook-timestamp` | HMAC-SHA256 of `ID.TIMESTAMP.BODY` by the key behind `whsec_` | merge request 230944 of gitlab-org/gitlab; Standard Webhooks |
//! | GitLab | `X-Gitlab-Token` | the secret itself | "Webhooks", docs.gitlab.com |
//! | Gitee | `X-Gitee-Token` with `X-Gitee-Timestamp`, milliseconds | HMAC-SHA256 of `TIMESTAMP LF SECRET` in base64, or the secret itself | help.gitee.com, "WebHook 密钥验证和验证算法" |
//!
//! Gitee's signature does not cover the body. What is deployed is the branch as it is found, so a forged body can ask for no more than a pull.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::request::Request;

/// How old a time in a signature may be, and how far ahead, seconds: five minutes, as Standard Webhooks advises; of Gitee an hour, as it says itself.
const GITLAB_TOLERANCE: i64 = 300;
const GITEE_TOLERANCE: i64 = 3600;

/// A delivery of somebody who knows the secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// As the server calls it.
    pub(super) event: String,
    /// The same when the same comes again: of what is signed, since a header that is not can be changed by whoever has seen one.
    pub(super) id: String,
}

/// `None`: it is not signed, or not as it should be. Nothing about how long this takes depends on the secret.
pub(super) fn verify(request: &Request, secret: &str, now: i64) -> Option<Signed> {
    let header = |name: &str| request.header(name);
    let body = request.body.as_slice();
    let event = |name: &str| header(name).unwrap_or_default().to_owned();
    if let Some(given) = header("x-hub-signature-256") {
        let mac = hexadecimal(given.strip_prefix("sha256=")?)?;
        is_mac(secret.as_bytes(), &[body], &mac).then_some(())?;
        let id = id(&[b"github", body]);
        let event = event("x-github-event");
        return Some(Signed { event, id });
    }
    // Who was given a key to sign with sends no plain token.
    if let Some(key) = secret.strip_prefix("whsec_") {
        let (sent, at) = (header("webhook-id")?, header("webhook-timestamp")?);
        is_near(at.parse().ok()?, now, GITLAB_TOLERANCE).then_some(())?;
        let key = STANDARD
            .decode(key)
            .ok()
            .filter(|key| key.len() >= super::SHORTEST_SECRET)?;
        let parts: [&[u8]; 5] = [sent.as_bytes(), b".", at.as_bytes(), b".", body];
        let mut given = header("webhook-signature")?.split(' ').filter_map(|one| {
            let text = one.strip_prefix("v1,")?;
            STANDARD.decode(text).ok()
        });
        given.any(|mac| is_mac(&key, &parts, &mac)).then_some(())?;
        let id = id(&[b"gitlab", sent.as_bytes()]);
        return Some(Signed {
            event: event("x-gitlab-event"),
            id,
        });
    }
    if let Some(given) = header("x-gitlab-token") {
        is_same(given, secret).then_some(())?;
        let id = id(&[b"gitlab", body]);
        return Some(Signed {
            event: event("x-gitlab-event"),
            id,
        });
    }
    let given = header("x-gitee-token")?;
    let at = header("x-gitee-timestamp")?;
    is_near(
        at.parse::<i64>().ok()?.checked_div(1000)?,
        now,
        GITEE_TOLERANCE,
    )
    .then_some(())?;
    // Its page has the signature encoded for an URL, its servers send it as it is.
    let plain = given
        .replace("%2B", "+")
        .replace("%2F", "/")
        .replace("%3D", "=");
    let signed = STANDARD.decode(plain).is_ok_and(|mac| {
        is_mac(
            secret.as_bytes(),
            &[at.as_bytes(), b"\n", secret.as_bytes()],
            &mac,
        )
    });
    (signed | is_same(given, secret)).then_some(())?;
    let id = id(&[b"gitee", at.as_bytes()]);
    Some(Signed {
        event: event("x-gitee-event"),
        id,
    })
}

/// Seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn is_near(at: i64, now: i64, tolerance: i64) -> bool {
    now.abs_diff(at) <= tolerance.unsigned_abs()
}

fn is_mac(key: &[u8], parts: &[&[u8]], mac: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    constant_time::verify_slices_are_equal(context.sign().as_ref(), mac).is_ok()
}

/// Of their digests: neither length nor content shows in the time that it takes.
fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    constant_time::verify_slices_are_equal(&one, &other).is_ok()
}

fn id(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(
        digits
            .chunks_exact(2)
            .map(|two| two[0] << 4 | two[1])
            .collect(),
    )
}
