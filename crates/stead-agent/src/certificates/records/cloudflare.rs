//! Cloudflare's API, version 4: <https://developers.cloudflare.com/api/>.

use serde_json::{Value, json};

use super::{query, zones};
use crate::certificates::http::{self, Reply};

pub(crate) const ENDPOINT: &str = "https://api.cloudflare.com/client/v4";
/// The least that it takes, seconds.
const TTL: u32 = 60;

/// A token with the permission to edit the zone's records.
#[derive(Clone)]
pub(crate) struct Cloudflare {
    pub(crate) agent: ureq::Agent,
    pub(crate) endpoint: String,
    pub(crate) token: String,
}

impl std::fmt::Debug for Cloudflare {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Cloudflare")
    }
}

impl Cloudflare {
    pub(super) fn present(&self, name: &str, value: &str) -> Result<(), String> {
        let zone = self.zone(name)?;
        if !self.records(&zone, name, value)?.is_empty() {
            return Ok(());
        }
        let record = json!({
            "type": "TXT",
            "name": name,
            "content": format!("\"{value}\""),
            "ttl": TTL,
            "comment": "made by Stead, and removed in a moment",
        });
        let path = format!("/zones/{zone}/dns_records");
        self.ask("POST", &path, Some(&record)).map(drop)
    }

    pub(super) fn cleanup(&self, name: &str, value: &str) -> Result<(), String> {
        let zone = self.zone(name)?;
        for id in self.records(&zone, name, value)? {
            self.ask("DELETE", &format!("/zones/{zone}/dns_records/{id}"), None)?;
        }
        Ok(())
    }

    fn zone(&self, name: &str) -> Result<String, String> {
        for zone in zones(name) {
            let found = self.ask("GET", &format!("/zones?{}", query(&[("name", zone)])), None)?;
            if let Some(id) = found[0]["id"].as_str() {
                return Ok(id.to_owned());
            }
        }
        Err(format!(
            "Cloudflare has no zone for `{name}` that this token may see"
        ))
    }

    /// The identifiers of records with this value.
    fn records(&self, zone: &str, name: &str, value: &str) -> Result<Vec<String>, String> {
        let wanted = query(&[("type", "TXT"), ("name", name), ("per_page", "100")]);
        let found = self.ask("GET", &format!("/zones/{zone}/dns_records?{wanted}"), None)?;
        let same = |record: &&Value| {
            let content = record["content"].as_str().unwrap_or_default();
            content.trim_matches('"') == value
        };
        let records = found.as_array().into_iter().flatten().filter(same);
        Ok(records
            .filter_map(|record| record["id"].as_str().map(str::to_owned))
            .collect())
    }

    /// The `result` of an answer.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let act = |why: String| format!("Cloudflare refused `{method} {}`: {why}", bare(path));
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str())];
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        let url = format!("{}{path}", self.endpoint);
        let Reply { status, body } = http::send(&self.agent, method, &url, &headers, &body)?;
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if answer["success"] == true {
            return Ok(answer["result"].take());
        }
        let error = &answer["errors"][0];
        Err(act(match error["message"].as_str() {
            Some(message) => format!("{message} ({})", error["code"]),
            None => format!("status {status}"),
        }))
    }
}

fn bare(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}
