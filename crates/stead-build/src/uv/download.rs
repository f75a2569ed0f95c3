//! Getting the pinned uv: its wheel from the package index, checked by the hash below, unpacked
//! into the cache. Needs neither Python nor pip nor a compiler.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{PINNED, simple};
use crate::Error;
use crate::index::{Index, redacted};

/// The wheels of [`PINNED`] by `std::env::consts::ARCH` and C library: the end of their name and their
/// SHA-256 as PyPI shows it. A wheel with any other hash is never run.
const WHEELS: [(&str, Libc, &str, &str); 7] = [
    (
        "x86_64",
        Libc::Gnu,
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    ),
    (
        "x86_64",
        Libc::Musl,
        "musllinux_1_1_x86_64",
        "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
    ),
    (
        "aarch64",
        Libc::Any,
        "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
    (
        "arm",
        Libc::Any,
        "manylinux_2_17_armv7l.manylinux2014_armv7l.musllinux_1_1_armv7l",
        "9cf0b7b12f13da6ab1c85694ab618d97a2bbd0c904cdea7f0172fb1dd768b9d5",
    ),
    (
        "riscv64",
        Libc::Any,
        "manylinux_2_31_riscv64.musllinux_1_1_riscv64",
        "bfcaada3989c7716ad4b58673cd1413fad4fdc6b2e446f9553db0ef18da20850",
    ),
    (
        "s390x",
        Libc::Gnu,
        "manylinux_2_17_s390x.manylinux2014_s390x",
        "13050c64530a1ccfc223af0306a8152d41c0d36ea63bc19161221ca65dfe480a",
    ),
    (
        "x86",
        Libc::Gnu,
        "manylinux_2_17_i686.manylinux2014_i686",
        "5ace7ec339798aca31be51a75fa7c1544fe84e02fadd17a9fa3324813bbaf237",
    ),
];

/// Larger than any wheel of uv: a server that never stops sending is cut off here.
const LARGEST: u64 = 200 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Libc {
    Gnu,
    Musl,
    Any,
}

/// Download uv to `program`. Returns the index's host, for the progress line.
///
/// `program` appears by a rename, whole and executable, or not at all; two downloads at once
/// each bring a file of their own and the later rename replaces equal with equal.
pub(super) fn fetch(index: &Index, program: &Path) -> Result<String, Error> {
    let (tag, hash) = wheel().ok_or_else(|| {
        failed(vec![format!(
            "there is no pinned build of uv for {}",
            std::env::consts::ARCH
        )])
        .hinted("install uv 0.8 or newer and put it on PATH")
    })?;
    fetch_wheel(
        index,
        program,
        &format!("uv-{PINNED}-py3-none-{tag}.whl"),
        hash,
    )
}

fn fetch_wheel(index: &Index, program: &Path, filename: &str, hash: &str) -> Result<String, Error> {
    let agent = agent(index);
    let page_address = format!("{}/uv/", index.url().trim_end_matches('/'));
    let (page, page_address) = read_page(&agent, &page_address)?;
    let address = simple::find(&page, &page_address, filename).ok_or_else(|| {
        failed(vec![format!(
            "`{}` does not list `{filename}`",
            redacted(&page_address)
        )])
        .hinted("set `index = \"pypi\"` under [build], or put uv 0.8 or newer on PATH")
    })?;
    let directory = program.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory).map_err(|error| disk(directory, &error))?;
    let mut wheel = tempfile::tempfile_in(directory).map_err(|error| disk(directory, &error))?;
    let found = save(&agent, &address, &mut wheel)?;
    if found != hash {
        return Err(failed(vec![
            format!("`{}` is not the file that was pinned", redacted(&address)),
            format!("its SHA-256 is {found}, not {hash}"),
        ])
        .hinted("set `index = \"pypi\"` under [build], or put uv 0.8 or newer on PATH"));
    }
    unpack(wheel, directory, program)?;
    Ok(host(&address).to_owned())
}

fn wheel() -> Option<(&'static str, &'static str)> {
    // A static Stead runs on both kinds of system; what counts is the loader that is here.
    let musl = ["/lib/ld-musl-x86_64.so.1"]
        .iter()
        .any(|path| Path::new(path).exists())
        && !Path::new("/lib64/ld-linux-x86-64.so.2").exists();
    let libc = if musl { Libc::Musl } else { Libc::Gnu };
    WHEELS
        .iter()
        .find(|(arch, of, ..)| *arch == std::env::consts::ARCH && (*of == libc || *of == Libc::Any))
        .map(|(_, _, tag, hash)| (*tag, *hash))
}

fn agent(index: &Index) -> Agent {
    // What cannot be read of the system's store is left out; if nothing can, the
    // handshake's error says so.
    let roots = rustls_native_certs::load_native_certs()
        .certs
        .into_iter()
        .map(|certificate| Certificate::from_der(&certificate).to_owned());
    let untrusted = index.trusted.iter().any(|name| name == host(index.url()));
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .disable_verification(untrusted)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .proxy(ureq::Proxy::try_from_env())
        .timeout_connect(Some(Duration::from_secs(15)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(Duration::from_secs(600)))
        .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn read_page(agent: &Agent, address: &str) -> Result<(String, String), Error> {
    use ureq::ResponseExt;
    let mut response = agent
        .get(address)
        .header("Accept", simple::ACCEPT)
        .call()
        .map_err(|error| unreachable_index(address, &error))?;
    // A page's addresses are relative to where it came from in the end.
    let address_in_the_end = response.get_uri().to_string();
    let page = response
        .body_mut()
        .with_config()
        .limit(64 * 1024 * 1024)
        .read_to_string()
        .map_err(|error| unreachable_index(address, &error))?;
    Ok((page, address_in_the_end))
}

/// Read `address` into `file`; returns the SHA-256 in lower-case hexadecimal.
fn save(agent: &Agent, address: &str, file: &mut File) -> Result<String, Error> {
    let response = agent
        .get(address)
        .call()
        .map_err(|error| unreachable_index(address, &error))?;
    let mut body = response
        .into_body()
        .into_with_config()
        .limit(LARGEST)
        .reader();
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 128 * 1024];
    loop {
        let length = body
            .read(&mut piece)
            .map_err(|error| unreachable_index(address, &ureq::Error::from(error)))?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else {
            return Ok(crate::hash::hexadecimal(&hasher.finalize()));
        };
        hasher.update(read);
        file.write_all(read)
            .map_err(|error| disk(Path::new("the cache"), &error))?;
    }
}

/// Take the program `uv` out of the wheel and rename it into place.
fn unpack(mut wheel: File, directory: &Path, program: &Path) -> Result<(), Error> {
    let broken = |error: &dyn std::fmt::Display| {
        failed(vec![format!("the wheel cannot be unpacked: {error}")])
    };
    wheel.rewind().map_err(|error| disk(directory, &error))?;
    let mut archive = zip::ZipArchive::new(wheel).map_err(|error| broken(&error))?;
    let mut entry = archive
        .by_name(&format!("uv-{PINNED}.data/scripts/uv"))
        .map_err(|error| broken(&error))?;
    let mut file =
        tempfile::NamedTempFile::new_in(directory).map_err(|error| disk(directory, &error))?;
    std::io::copy(&mut entry, &mut file).map_err(|error| disk(directory, &error))?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o755))
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| disk(directory, &error))?;
    file.persist(program)
        .map_err(|error| disk(directory, &error.error))?;
    Ok(())
}

fn failed(causes: Vec<String>) -> Error {
    Error {
        act: format!("cannot download uv {PINNED}, which installs the app's packages"),
        causes,
        hint: None,
        output: Vec::new(),
    }
}

fn disk(path: &Path, error: &std::io::Error) -> Error {
    failed(vec![format!(
        "cannot write to `{}`: {error}",
        path.display()
    )])
}

fn unreachable_index(address: &str, error: &ureq::Error) -> Error {
    failed(vec![
        format!("the package index does not answer as it should: `{}`", redacted(address)),
        error.to_string(),
    ])
    .hinted("set `index = \"https://…/simple\"` under [build] to a mirror that is reachable from here (`tuna`, `aliyun`, …), HTTPS_PROXY to a proxy, or put uv 0.8 or newer on PATH")
}

fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let name = authority.rsplit('@').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
