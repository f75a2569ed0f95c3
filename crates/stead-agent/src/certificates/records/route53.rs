//! Amazon Route 53, API version 2013-04-01, with requests signed by AWS Signature Version 4:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::time::Duration;

use jiff::Timestamp;

use super::signing::{hex, hmac256, sha256};
use super::{query, zones};
use crate::certificates::http::{self, Reply};

pub(crate) const ENDPOINT: &str = "https://route53.amazonaws.com";
/// Route 53 is one for the world, and signs for this one.
const REGION: &str = "us-east-1";
const API: &str = "/2013-04-01";
const TTL: u32 = 60;
/// A change is in all its servers after a minute, usually.
const LOOKS: u32 = 60;
const BETWEEN: Duration = Duration::from_secs(3);

/// An access key that may change records.
#[derive(Clone)]
pub(crate) struct Route53 {
    pub(crate) agent: ureq::Agent,
    pub(crate) endpoint: String,
    pub(crate) key_id: String,
    pub(crate) key_secret: String,
    pub(crate) session: Option<String>,
}

impl std::fmt::Debug for Route53 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Route53")
    }
}

/// What is signed.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a str,
    pub(super) session: Option<&'a str>,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) time: Timestamp,
}

impl Signed<'_> {
    /// `x-amz-date`.
    pub(super) fn date(&self) -> String {
        self.time.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// The header `Authorization`.
    pub(super) fn authorization(&self, key_id: &str, key_secret: &str) -> String {
        let date = self.date();
        let (session_line, session_name) = match self.session {
            Some(session) => (
                format!("x-amz-security-token:{session}\n"),
                ";x-amz-security-token",
            ),
            None => (String::new(), ""),
        };
        let names = format!("host;x-amz-date{session_name}");
        let canonical = format!(
            "{}\n{}\n{}\nhost:{}\nx-amz-date:{date}\n{session_line}\n{names}\n{}",
            self.method,
            self.path,
            self.query,
            self.host,
            sha256(self.body.as_bytes())
        );
        let day = &date[..8];
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            sha256(canonical.as_bytes())
        );
        let mut key = format!("AWS4{key_secret}").into_bytes();
        for part in [day, self.region, self.service, "aws4_request"] {
            key = hmac256(&key, part.as_bytes());
        }
        let signature = hex(&hmac256(&key, text.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }
}

impl Route53 {
    pub(super) fn present(
        &self,
        name: &str,
        value: &str,
        now: fn() -> Timestamp,
    ) -> Result<(), String> {
        let zone = self.zone(name, now)?;
        let mut values = self.values(&zone, name, now)?;
        if values.iter().any(|other| other == value) {
            return Ok(());
        }
        // All values of a name are one set of records, and change together.
        values.push(value.to_owned());
        let change = self.change(&zone, "UPSERT", name, &values, now)?;
        for _ in 0..LOOKS {
            let state = self.ask("GET", &format!("{API}/change/{change}"), "", "", now)?;
            if element(&state, "Status") == Some("INSYNC") {
                return Ok(());
            }
            std::thread::sleep(BETWEEN);
        }
        Err("Route 53 did not bring the record to its servers in three minutes".to_owned())
    }

    pub(super) fn cleanup(
        &self,
        name: &str,
        value: &str,
        now: fn() -> Timestamp,
    ) -> Result<(), String> {
        let zone = self.zone(name, now)?;
        let before = self.values(&zone, name, now)?;
        let after: Vec<String> = before
            .iter()
            .filter(|other| *other != value)
            .cloned()
            .collect();
        if after.len() == before.len() {
            return Ok(());
        }
        match after.is_empty() {
            true => self.change(&zone, "DELETE", name, &before, now),
            false => self.change(&zone, "UPSERT", name, &after, now),
        }
        .map(drop)
    }

    /// The identifier of the public zone that a name is in.
    fn zone(&self, name: &str, now: fn() -> Timestamp) -> Result<String, String> {
        for zone in zones(name) {
            let wanted = query(&[("dnsname", zone), ("maxitems", "10")]);
            let found = self.ask("GET", &format!("{API}/hostedzonesbyname"), &wanted, "", now)?;
            let own = found.split("<HostedZone>").skip(1).find(|part| {
                let same =
                    element(part, "Name").map(|name| name.trim_end_matches('.')) == Some(zone);
                same && element(part, "PrivateZone") != Some("true")
            });
            if let Some(id) = own.and_then(|part| element(part, "Id")) {
                return Ok(id.trim_start_matches("/hostedzone/").to_owned());
            }
        }
        Err(format!(
            "Route 53 has no zone for `{name}` that this key may see"
        ))
    }

    /// The TXT values of a name.
    fn values(
        &self,
        zone: &str,
        name: &str,
        now: fn() -> Timestamp,
    ) -> Result<Vec<String>, String> {
        let wanted = query(&[("name", name), ("type", "TXT"), ("maxitems", "1")]);
        let path = format!("{API}/hostedzone/{zone}/rrset");
        let found = self.ask("GET", &path, &wanted, "", now)?;
        let same = element(&found, "Name").map(|name| name.trim_end_matches('.')) == Some(name)
            && element(&found, "Type") == Some("TXT");
        if !same {
            return Ok(Vec::new());
        }
        let values = found.split("<Value>").skip(1);
        let values = values.filter_map(|part| part.split("</Value>").next());
        Ok(values
            .map(|value| value.replace("&quot;", "\"").trim_matches('"').to_owned())
            .collect())
    }

    /// The identifier of the change.
    fn change(
        &self,
        zone: &str,
        act: &str,
        name: &str,
        values: &[String],
        now: fn() -> Timestamp,
    ) -> Result<String, String> {
        let records: String = values
            .iter()
            .map(|value| {
                let value = escaped(value);
                format!("<ResourceRecord><Value>\"{value}\"</Value></ResourceRecord>")
            })
            .collect();
        let name = escaped(name);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change><Action>{act}</Action><ResourceRecordSet><Name>{name}</Name><Type>TXT</Type><TTL>{TTL}</TTL><ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        let path = format!("{API}/hostedzone/{zone}/rrset");
        let answer = self.ask("POST", &path, "", &body, now)?;
        element(&answer, "Id")
            .map(|id| id.trim_start_matches("/change/").to_owned())
            .ok_or_else(|| "Route 53 did not say which change it made".to_owned())
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &str,
        now: fn() -> Timestamp,
    ) -> Result<String, String> {
        let host = self.endpoint.split("://").nth(1).unwrap_or_default();
        let signed = Signed {
            method,
            host,
            path,
            query,
            body,
            session: self.session.as_deref(),
            region: REGION,
            service: "route53",
            time: now(),
        };
        let authorization = signed.authorization(&self.key_id, &self.key_secret);
        let date = signed.date();
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("x-amz-date", date.as_str()),
        ];
        if let Some(session) = &self.session {
            headers.push(("x-amz-security-token", session));
        }
        if !body.is_empty() {
            headers.push(("content-type", "application/xml"));
        }
        let url = match query.is_empty() {
            true => format!("{}{path}", self.endpoint),
            false => format!("{}{path}?{query}", self.endpoint),
        };
        let Reply { status, body } = http::send(&self.agent, method, &url, &headers, body)?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let message = element(&body, "Message").unwrap_or("no message");
        Err(format!(
            "Route 53 refused `{method} {path}` with {status}: {message}"
        ))
    }
}

/// The text of the first element of this name. The answers are flat, and come from whom we trust with our records.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
