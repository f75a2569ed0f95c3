//! What `stead cert` says.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};
use stead_model::certificates::{Listed, Listing, Renewal};

use super::text::{ERROR, FAINT, GOOD, STRONG, WARNING, shown, styled};

/// For a person.
pub(crate) fn certificates_text(listing: &Listing, now: Timestamp) -> String {
    let mut text = String::new();
    for listed in listing
        .certificates
        .iter()
        .filter(|listed| !listed.replaced)
    {
        text.push_str(&certificate(listed, now));
    }
    for pending in &listing.pending {
        let _ = writeln!(
            text,
            "{}  {}",
            styled(STRONG, &shown(&pending.host)),
            styled(ERROR, "no new certificate")
        );
        let _ = writeln!(text, "  {}", shown(&pending.why));
        let times = match pending.times {
            1 => "once".to_owned(),
            times => format!("{times} times in a row"),
        };
        let _ = writeln!(
            text,
            "  failed {times}; next attempt {}",
            until(pending.next, now)
        );
    }
    for (path, why) in &listing.broken {
        let _ = writeln!(
            text,
            "{}  {}: {}",
            styled(WARNING, "unusable"),
            path.display(),
            shown(why)
        );
    }
    if text.is_empty() {
        text.push_str("no certificates\n");
    }
    text
}

/// The same of hosts.
pub(crate) fn certificates_of_hosts(all: &[(String, Listing)], now: Timestamp) -> String {
    on_each(all, |listing| certificates_text(listing, now))
}

/// Each host's text below its name.
fn on_each<T>(all: &[(String, T)], text: impl Fn(&T) -> String) -> String {
    let mut whole = String::new();
    for (host, one) in all {
        let _ = writeln!(whole, "{}:", shown(host));
        whole.push_str(&text(one));
    }
    whole
}

/// What was imported.
pub(crate) fn imported(listed: &Listed, now: Timestamp) -> String {
    certificate(listed, now)
}

fn certificate(listed: &Listed, now: Timestamp) -> String {
    let mut text = String::new();
    let hosts: Vec<String> = listed.hosts.iter().map(|host| shown(host)).collect();
    let _ = writeln!(text, "{}", styled(STRONG, &hosts.join(", ")));
    let hours = listed.ends.duration_since(now).as_hours();
    let days = hours.div_euclid(24);
    let (style, left) = match days {
        ..=-1 => (ERROR, "ended".to_owned()),
        0 | 1 => (WARNING, format!("{hours} h left")),
        days if listed.ending => (WARNING, format!("{days} days left")),
        days => (GOOD, format!("{days} days left")),
    };
    let _ = writeln!(
        text,
        "  until {} ({}), from {}",
        day(listed.ends),
        styled(style, &left),
        shown(&listed.issuer)
    );
    let renewal = match &listed.directory {
        Some(directory) => format!("renewed on {} by {directory}", day(listed.renewed)),
        None => "imported: not renewed as long as it is valid".to_owned(),
    };
    let _ = writeln!(text, "  {}", styled(FAINT, &shown(&renewal)));
    if let Some(concern) = listed.concern(now) {
        let _ = writeln!(text, "  {}", styled(WARNING, &concern));
    }
    text
}

/// For a program.
pub(crate) fn certificates_json(listing: &Listing) -> String {
    format!("{:#}\n", facts(listing))
}

/// The same of hosts.
pub(crate) fn certificates_of_hosts_json(all: &[(String, Listing)]) -> String {
    let hosts = all.iter().map(|(host, listing)| {
        let mut facts = facts(listing);
        facts["host"] = json!(host);
        facts
    });
    format!("{:#}\n", json!(hosts.collect::<Vec<_>>()))
}

fn facts(listing: &Listing) -> Value {
    let certificates: Vec<Value> = listing
        .certificates
        .iter()
        .map(|listed| {
            json!({
                "hosts": listed.hosts,
                "issuer": listed.issuer,
                "not_before": listed.begins.to_string(),
                "not_after": listed.ends.to_string(),
                "renewed": listed.renewed.to_string(),
                "directory": listed.directory,
                "imported": listed.directory.is_none(),
                "replaced": listed.replaced,
                "ending": listed.ending,
                "chain": listed.chain,
                "key": listed.key,
            })
        })
        .collect();
    let pending: Vec<Value> = listing
        .pending
        .iter()
        .map(|pending| {
            json!({
                "host": pending.host,
                "why": pending.why,
                "times": pending.times,
                "next": pending.next.to_string(),
            })
        })
        .collect();
    let broken: Vec<Value> = listing
        .broken
        .iter()
        .map(|(path, why)| json!({ "path": path, "why": why }))
        .collect();
    json!({ "certificates": certificates, "pending": pending, "broken": broken })
}

/// What came of a renewal, for a person.
pub(crate) fn renewals_text(renewals: &[Renewal]) -> String {
    let mut text = String::new();
    for renewal in renewals {
        let mark = match renewal.done {
            true => styled(GOOD, "     ok"),
            false => styled(ERROR, " failed"),
        };
        let _ = writeln!(
            text,
            "{mark}  {}: {}",
            shown(&renewal.host),
            shown(&renewal.text)
        );
    }
    if renewals.is_empty() {
        text.push_str("no route of the app that runs names a host\n");
    }
    text
}

/// The same of hosts.
pub(crate) fn renewals_of_hosts(all: &[(String, Vec<Renewal>)]) -> String {
    on_each(all, |renewals| renewals_text(renewals))
}

/// The same of hosts, for a program.
pub(crate) fn renewals_of_hosts_json(all: &[(String, Vec<Renewal>)]) -> String {
    let hosts = all.iter();
    let hosts = hosts.map(|(host, renewals)| json!({ "host": host, "renewals": renewals }));
    format!("{:#}\n", json!(hosts.collect::<Vec<_>>()))
}

/// The same for a program.
pub(crate) fn renewals_json(renewals: &[Renewal]) -> String {
    let renewals = json!(renewals);
    format!("{renewals:#}\n")
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

fn until(time: Timestamp, now: Timestamp) -> String {
    match time.duration_since(now).as_secs() {
        ..=0 => "now".to_owned(),
        seconds @ 1..=119 => format!("in {seconds} s"),
        seconds @ 120..=7199 => format!("in {} min", seconds / 60),
        seconds => format!("in {} h", seconds / 3600),
    }
}
