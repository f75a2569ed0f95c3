//! Alibaba Cloud DNS, API version 2015-01-09, with requests signed by ACS3-HMAC-SHA256:
//! <https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>.

use jiff::Timestamp;
use serde_json::Value;

use super::signing::{hex, hmac256, sha256};
use super::{query, zones};
use crate::certificates::http::{self, Reply};
use crate::listener;

pub(crate) const ENDPOINT: &str = "https://alidns.aliyuncs.com";
const VERSION: &str = "2015-01-09";
/// The least that an account without a plan may ask for, seconds.
const TTL: &str = "600";

/// An access key that may change records.
#[derive(Clone)]
pub(crate) struct Alidns {
    pub(crate) agent: ureq::Agent,
    pub(crate) endpoint: String,
    pub(crate) key_id: String,
    pub(crate) key_secret: String,
}

impl std::fmt::Debug for Alidns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Alidns")
    }
}

/// What is signed.
pub(super) struct Signed<'a> {
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) version: &'a str,
    pub(super) query: &'a str,
    pub(super) time: Timestamp,
    pub(super) nonce: &'a str,
}

impl Signed<'_> {
    /// `x-acs-date`.
    fn date(&self) -> String {
        self.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The header `Authorization` for a POST without a body.
    pub(super) fn authorization(&self, key_id: &str, key_secret: &str) -> String {
        const NAMES: &str =
            "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
        let body = sha256(b"");
        let canonical = format!(
            "POST\n/\n{}\nhost:{}\nx-acs-action:{}\nx-acs-content-sha256:{body}\nx-acs-date:{}\nx-acs-signature-nonce:{}\nx-acs-version:{}\n\n{NAMES}\n{body}",
            self.query,
            self.host,
            self.action,
            self.date(),
            self.nonce,
            self.version
        );
        let text = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
        let signature = hex(&hmac256(key_secret.as_bytes(), text.as_bytes()));
        format!("ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={NAMES},Signature={signature}")
    }
}

impl Alidns {
    pub(super) fn present(
        &self,
        name: &str,
        value: &str,
        now: fn() -> Timestamp,
    ) -> Result<(), String> {
        let (zone, label) = self.zone(name, now)?;
        let record = [
            ("DomainName", zone.as_str()),
            ("RR", label.as_str()),
            ("Type", "TXT"),
            ("Value", value),
            ("TTL", TTL),
        ];
        match self.ask("AddDomainRecord", &record, now) {
            Err(why) if why.contains("DomainRecordDuplicate") => Ok(()),
            done => done.map(drop),
        }
    }

    pub(super) fn cleanup(
        &self,
        name: &str,
        value: &str,
        now: fn() -> Timestamp,
    ) -> Result<(), String> {
        let wanted = [("SubDomain", name), ("Type", "TXT"), ("PageSize", "100")];
        let found = self.ask("DescribeSubDomainRecords", &wanted, now)?;
        let records = found["DomainRecords"]["Record"].as_array();
        for record in records.into_iter().flatten() {
            let id = record["RecordId"].as_str();
            if record["Value"].as_str() == Some(value)
                && let Some(id) = id
            {
                self.ask("DeleteDomainRecord", &[("RecordId", id)], now)?;
            }
        }
        Ok(())
    }

    /// The zone, and what of the name is before it.
    fn zone(&self, name: &str, now: fn() -> Timestamp) -> Result<(String, String), String> {
        for zone in zones(name).filter(|zone| *zone != name) {
            let wanted = [("KeyWord", zone), ("SearchMode", "EXACT")];
            let found = self.ask("DescribeDomains", &wanted, now)?;
            let domains = found["Domains"]["Domain"].as_array();
            let known = domains
                .into_iter()
                .flatten()
                .any(|domain| domain["DomainName"].as_str() == Some(zone));
            if known {
                let label = name[..name.len() - zone.len()].trim_end_matches('.');
                return Ok((zone.to_owned(), label.to_owned()));
            }
        }
        Err(format!(
            "Alibaba Cloud DNS has no domain for `{name}` that this key may see"
        ))
    }

    fn ask(
        &self,
        action: &str,
        pairs: &[(&str, &str)],
        now: fn() -> Timestamp,
    ) -> Result<Value, String> {
        let query = query(pairs);
        let nonce = listener::random::<16>().map_err(|error| error.to_string())?;
        let nonce = hex(&nonce);
        let host = self.endpoint.split("://").nth(1).unwrap_or_default();
        let signed = Signed {
            host,
            action,
            version: VERSION,
            query: &query,
            time: now(),
            nonce: &nonce,
        };
        let authorization = signed.authorization(&self.key_id, &self.key_secret);
        let date = signed.date();
        let body = sha256(b"");
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-acs-action", action),
            ("x-acs-version", VERSION),
            ("x-acs-date", date.as_str()),
            ("x-acs-signature-nonce", nonce.as_str()),
            ("x-acs-content-sha256", body.as_str()),
        ];
        let url = format!("{}/?{query}", self.endpoint);
        let Reply { status, body } = http::send(&self.agent, "POST", &url, &headers, "")?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let code = answer["Code"].as_str().unwrap_or("no code");
        let message = answer["Message"].as_str().unwrap_or("no message");
        Err(format!(
            "Alibaba Cloud DNS refused `{action}` with {status}: {message} ({code})"
        ))
    }
}
