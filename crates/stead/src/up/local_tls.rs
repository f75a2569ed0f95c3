//! HTTPS on this machine alone: an authority of the user's own, made once, and a certificate of it for the names that the
//! app has here. What it takes to trust the authority is said, not done.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::{ToSpan, Zoned};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustix::fs::FlockOperation;
use stead_model::certificates::{CertificateFiles, CertificateTable};
use stead_model::manifest::Manifest;

use crate::problem::{Problem, because};

/// How long the authority lasts. Whoever trusts it does so once.
const AUTHORITY_YEARS: i64 = 10;
/// How long a certificate lasts: browsers believe none that lasts longer (398 days).
const DAYS: i64 = 397;

/// What `stead up --tls` shows its visitors.
#[derive(Debug)]
pub(super) struct LocalTls {
    /// PEM of the authority, for those who want to trust it.
    pub(super) authority: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// Where the certificate is kept.
    dir: PathBuf,
    listen_host: String,
}

impl LocalTls {
    /// Make the authority where there is none. `state` is the app's state directory.
    pub(super) fn open(state: &Path, listen_host: &str) -> Result<Self, Problem> {
        let home = data_home()?;
        let refused = |cause: String| {
            Problem::new(format!(
                "cannot keep a certificate authority in `{}`",
                home.display()
            ))
            .cause(cause)
        };
        let issuer = authority(&home).map_err(refused)?;
        let dir = state.join("tls");
        private_dir(&dir).map_err(|error| {
            Problem::new(format!("cannot keep a certificate in `{}`", dir.display()))
                .cause(because(&error))
        })?;
        Ok(Self {
            authority: home.join(CERTIFICATE),
            issuer,
            dir,
            listen_host: listen_host.to_owned(),
        })
    }

    /// The certificates for an app whose root is `root`: its own, where `[tls]` names one, and one for its names here.
    pub(super) fn table(
        &self,
        manifest: &Manifest,
        root: &Path,
    ) -> Result<CertificateTable, Problem> {
        let mut files: Vec<_> = own(manifest, root)?.into_iter().collect();
        let local = self
            .issue(&names(manifest, &self.listen_host))
            .map_err(|cause| {
                Problem::new("cannot make a certificate for this machine").cause(cause)
            })?;
        files.push(local.clone());
        Ok(CertificateTable {
            files,
            // Whoever goes to an address names no host.
            default: Some(local),
            until: Vec::new(),
            challenges: Vec::new(),
        })
    }

    fn issue(&self, names: &[String]) -> Result<CertificateFiles, String> {
        let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Stead on this machine");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        limit(&mut params, DAYS.days())?;
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| error.to_string())?;
        let files = CertificateFiles {
            chain: self.dir.join("local.pem"),
            key: self.dir.join("local.key"),
        };
        let kept = replace(&files.key, &key.serialize_pem())
            .and_then(|()| replace(&files.chain, &certificate.pem()));
        kept.map_err(|error| format!("`{}`: {}", self.dir.display(), because(&error)))?;
        Ok(files)
    }

    /// What a person has to do so that programs trust the authority.
    pub(super) fn how_to_trust(&self) -> String {
        format!(
            "certificates are from an authority of your own; to trust it: sudo install -m 644 {} \
             /usr/local/share/ca-certificates/stead-local.crt && sudo update-ca-certificates (browsers: import it there)",
            self.authority.display()
        )
    }
}

/// The certificate that `[tls]` names, checked.
pub(super) fn own(manifest: &Manifest, root: &Path) -> Result<Option<CertificateFiles>, Problem> {
    let (Some(chain), Some(key)) = (&manifest.tls.certificate, &manifest.tls.key) else {
        return Ok(None);
    };
    let files = CertificateFiles {
        chain: root.join(chain),
        key: root.join(key),
    };
    match stead_edge::check_certificate(&files) {
        Ok(()) => Ok(Some(files)),
        Err(cause) => Err(Problem::invocation("cannot use the certificate of `tls`").cause(cause)),
    }
}

/// The authority's files.
const CERTIFICATE: &str = "authority.pem";
const KEY: &str = "authority.key";

/// `~/.local/share/stead/authority` (XDG Base Directory Specification).
fn data_home() -> Result<PathBuf, Problem> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("stead/authority"))
        .ok_or_else(|| {
            Problem::new("cannot keep a certificate authority")
                .cause("neither `HOME` nor `XDG_DATA_HOME` is an absolute path")
        })
}

fn authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, String> {
    let failed = |error: io::Error| because(&error);
    private_dir(dir).map_err(failed)?;
    // Two apps that come up at once make one authority.
    let lock = File::open(dir).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| failed(error.into()))?;
    let (certificate, key) = (dir.join(CERTIFICATE), dir.join(KEY));
    match (
        std::fs::read_to_string(&certificate),
        std::fs::read_to_string(&key),
    ) {
        (Ok(certificate), Ok(key)) => {
            let key = KeyPair::from_pem(&key).map_err(|error| broken(dir, &error))?;
            return Issuer::from_ca_cert_pem(&certificate, key)
                .map_err(|error| broken(dir, &error));
        }
        (Err(error), _) | (_, Err(error)) if error.kind() != ErrorKind::NotFound => {
            return Err(failed(error));
        }
        // Made only in part, or not at all.
        _ => {}
    }
    let own = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params = CertificateParams::new(Vec::new()).map_err(|error| error.to_string())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Stead local authority");
    limit(&mut params, AUTHORITY_YEARS.years())?;
    let made = params
        .self_signed(&own)
        .map_err(|error| error.to_string())?;
    replace(&key, &own.serialize_pem()).map_err(failed)?;
    replace(&certificate, &made.pem()).map_err(failed)?;
    Ok(Issuer::new(params, own))
}

fn broken(dir: &Path, error: &rcgen::Error) -> String {
    format!(
        "what is in `{}` is no authority ({error}); remove the directory to have another one made",
        dir.display()
    )
}

/// Valid from yesterday, since clocks differ, for `span`.
fn limit(params: &mut CertificateParams, span: jiff::Span) -> Result<(), String> {
    let now = Zoned::now();
    let day = |at: Result<Zoned, jiff::Error>| {
        let at = at.map_err(|error| error.to_string())?;
        let number = |part: i8| u8::try_from(part).unwrap_or(1);
        Ok::<_, String>(rcgen::date_time_ymd(
            at.year().into(),
            number(at.month()),
            number(at.day()),
        ))
    };
    params.not_before = day(now.checked_sub(1.day()))?;
    params.not_after = day(now.checked_add(span))?;
    Ok(())
}

fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

/// Whatever happens on the way, the file is the former one or this one, and nobody else's to read.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let _ = std::fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

/// By what an app is called on this machine.
fn names(manifest: &Manifest, listen_host: &str) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "*.localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .into();
    // OpenSSL, and so curl, believes no wildcard right below a top-level domain.
    names.push(format!("{}.localhost", manifest.app));
    let bare = listen_host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => {}
        _ => names.push(bare.to_ascii_lowercase()),
    }
    for route in &manifest.route {
        let elsewhere = route.redirects.keys().filter(|from| !from.starts_with('/'));
        for host in route.hosts.iter().chain(elsewhere) {
            names.push(host.clone());
            if !host.starts_with('*') {
                names.push(format!("{host}.localhost"));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests;
