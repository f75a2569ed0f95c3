//! Certificates of nobody's, for hosts that wait for their first one, where `[tls]` asks for that. Browsers warn of them.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use stead_model::certificates::CertificateFiles;
use stead_model::manifest::Until;

use super::store::{text, write_whole};
use super::{Keeping, leaf};

/// How long one lasts; another one is made when half of that is over.
const LIFE: SignedDuration = SignedDuration::from_hours(14 * 24);

impl Keeping {
    /// What is shown for hosts without a certificate.
    pub(super) fn until(&mut self) -> Vec<CertificateFiles> {
        let wishes = self.apps.values();
        let wishes = wishes.filter(|wish| wish.until == Until::SelfSigned);
        let stored = self.entries.iter().map(|entry| &entry.stored);
        let missing: Vec<String> = wishes
            .flat_map(|wish| &wish.hosts)
            .filter(|host| !host.starts_with('*') && !stored.clone().any(|one| one.covers(host)))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Vec::new();
        }
        match provide(self.store.directory(), &missing, Timestamp::now()) {
            Ok(files) => {
                for path in [&files.chain, &files.key] {
                    // Whoever cannot be given it does not get it.
                    let _ = self.store.share(path);
                }
                vec![files]
            }
            Err(why) => {
                let text = format!("cannot make a self-signed certificate: {why}");
                self.say_once("until", true, text);
                Vec::new()
            }
        }
    }
}

/// A certificate for exactly these hosts: that which is there, or another one.
fn provide(directory: &Path, hosts: &[String], now: Timestamp) -> Result<CertificateFiles, String> {
    let files = CertificateFiles {
        chain: directory.join("self-signed.pem"),
        key: directory.join("self-signed.key"),
    };
    if is_good(&files, hosts, now) {
        return Ok(files);
    }
    let failed = |error: rcgen::Error| error.to_string();
    let mut parameters = rcgen::CertificateParams::new(hosts).map_err(failed)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(
        rcgen::DnType::CommonName,
        "Stead, until there is a certificate",
    );
    let day = |at: Timestamp| {
        let at = at.to_zoned(jiff::tz::TimeZone::UTC);
        let number = |part: i8| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(at.year().into(), number(at.month()), number(at.day()))
    };
    // Clocks differ.
    parameters.not_before = day(now - SignedDuration::from_hours(24));
    parameters.not_after = day(now + LIFE);
    let key = rcgen::KeyPair::generate().map_err(failed)?;
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    let write = |path: &PathBuf, text: &str| {
        write_whole(path, text.as_bytes())
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))
    };
    write(&files.key, &key.serialize_pem())?;
    write(&files.chain, &certificate.pem())?;
    Ok(files)
}

fn is_good(files: &CertificateFiles, hosts: &[String], now: Timestamp) -> bool {
    let (Ok(chain), Ok(key)) = (text(&files.chain), text(&files.key)) else {
        return false;
    };
    leaf::read(&chain, &key).is_ok_and(|leaf| {
        let lasts = leaf.ends.duration_since(now) > LIFE / 2 && leaf.begins <= now;
        lasts && leaf.names == hosts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_made_for_the_hosts_that_wait_and_kept_while_it_fits() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let make = |hosts: &[&str], now| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let files = provide(folder.path(), &hosts, now).unwrap();
            std::fs::read_to_string(files.chain).unwrap()
        };
        let first = make(&["a.example.com", "b.example.com"], now);
        assert_eq!(make(&["a.example.com", "b.example.com"], now), first);
        let other = make(&["b.example.com"], now);
        assert_ne!(other, first);
        let day = SignedDuration::from_hours(24);
        assert_eq!(make(&["b.example.com"], now + day * 6), other);
        assert_ne!(make(&["b.example.com"], now + day * 8), other);
        // A clock that was set back.
        assert_ne!(make(&["b.example.com"], now - day * 30), other);
    }
}
