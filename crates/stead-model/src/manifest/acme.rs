//! `[acme]`: where certificates come from.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::section::{Section, shorten};
use super::{Acme, ChallengeChoice, DnsProvider, OnDemand, Rate, keys, parse, values};
use crate::config_error::Problem;

/// Where a DNS server listens when nothing else is said.
const DNS_PORT: u16 = 53;
/// How many new domains get a certificate when nothing else is said: fewer than Let's Encrypt takes.
const ON_DEMAND: Rate = Rate {
    count: 60,
    per: Duration::from_secs(3600),
};

pub(super) fn read(section: &Section<'_>) -> Acme {
    let acme = Acme {
        email: section.string("email", email),
        directory: section.string("directory", url),
        staging: section.boolean("staging").unwrap_or(false),
        ca_root: section.string("ca-root", file),
        challenge: section.string("challenge", challenge).unwrap_or_default(),
        dns: section.string("dns", provider),
        dns_program: section.strings("dns-program", argument),
        eab_kid: section.string("eab-kid", word),
        profile: section.string("profile", word),
        resolvers: section.strings("resolvers", resolver),
        on_demand: on_demand(section),
    };
    if section.has("directory") && acme.staging {
        section.conflict(
            "staging",
            "`directory` names another authority",
            "take one of the two out".to_owned(),
        );
    }
    if section.has("dns") && section.has("dns-program") {
        section.conflict(
            "dns-program",
            "`dns` says who makes the records, too",
            "take one of the two out".to_owned(),
        );
    }
    if acme.challenge == ChallengeChoice::Dns && !section.has("dns") && !section.has("dns-program")
    {
        section.conflict(
            "challenge",
            "nothing says who makes the records",
            "add `dns` or `dns-program`".to_owned(),
        );
    }
    acme
}

fn on_demand(section: &Section<'_>) -> Option<OnDemand> {
    let (at, value) = section.value("on-demand")?;
    let Some(table) = value.get_ref().as_table() else {
        let mut problem = section.wrong_type(keys::ACME.key("on-demand"), value);
        if value
            .get_ref()
            .as_str()
            .is_some_and(|text| text.starts_with('/'))
        {
            let given = section.given(value.span());
            problem.hint = Some(format!("on-demand = {{ ask = {given} }}"));
        }
        section.invalid("on-demand", value.span().start, problem);
        return None;
    };
    let path = section.full_key("on-demand");
    let section = Section::open(section.file, table, path, at, &keys::ON_DEMAND);
    if !section.has_or_means("ask") {
        section.wrong(
            format!("`{}` does not say where the app is asked", section.path),
            Some(parse::missing_hint(&keys::ON_DEMAND, "ask")),
        );
    }
    Some(OnDemand {
        ask: section.string("ask", question)?,
        rate: section.string("rate", values::rate).unwrap_or(ON_DEMAND),
    })
}

/// To which a domain can be added.
fn question(text: &str) -> Result<String, Problem> {
    let path = values::url_path(text)?;
    match path.ends_with('=') || path.ends_with('/') {
        true => Ok(path),
        false => Err(Problem::new(format!(
            "the domain is put behind `{}`, which has no place for it",
            shorten(text)
        ))
        .hint("end it with `=` or `/`: \"/allowed?domain=\"")),
    }
}

fn challenge(text: &str) -> Result<ChallengeChoice, Problem> {
    values::one_of(
        text,
        &[
            ("auto", ChallengeChoice::Auto),
            ("http-01", ChallengeChoice::Http),
            ("tls-alpn-01", ChallengeChoice::TlsAlpn),
            ("dns-01", ChallengeChoice::Dns),
        ],
    )
}

fn provider(text: &str) -> Result<DnsProvider, Problem> {
    values::one_of(
        text,
        &[
            ("cloudflare", DnsProvider::Cloudflare),
            ("alidns", DnsProvider::Alidns),
            ("route53", DnsProvider::Route53),
        ],
    )
}

/// What the authority takes after `mailto:`, roughly: the rest it says itself.
fn email(text: &str) -> Result<String, Problem> {
    let plain = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && values::host(host, false).is_ok());
    if plain
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b',' && b != b'?')
    {
        return Ok(text.to_owned());
    }
    Err(
        Problem::new(format!("`{}` is not an email address", shorten(text)))
            .hint("for example: \"ops@example.com\""),
    )
}

fn url(text: &str) -> Result<String, Problem> {
    let host = text
        .strip_prefix("https://")
        .and_then(|rest| rest.split('/').next());
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'#' && b != b'@');
    match host {
        Some(host) if !host.is_empty() && plain => Ok(text.to_owned()),
        _ => Err(
            Problem::new(format!("`{}` is not the URL of a directory", shorten(text)))
                .hint("for example: \"https://acme.zerossl.com/v2/DV90\""),
        ),
    }
}

/// A file that may be anywhere on the machine: an authority's root is not the app's.
fn file(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Problem::new("it is not a path"));
    }
    Ok(text.to_owned())
}

fn argument(text: &str) -> Result<String, Problem> {
    if text.contains('\0') {
        return Err(Problem::new("an argument cannot have a NUL"));
    }
    Ok(text.to_owned())
}

fn word(text: &str) -> Result<String, Problem> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::new(format!(
            "`{}` is not a word without spaces",
            shorten(text)
        )));
    }
    Ok(text.to_owned())
}

fn resolver(text: &str) -> Result<SocketAddr, Problem> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DNS_PORT));
    }
    text.parse().map_err(|_| {
        Problem::new(format!(
            "`{}` is not the address of a server",
            shorten(text)
        ))
        .hint("an IP address, with a port if it is not 53: \"127.0.0.1:8053\"")
    })
}
