//! When a route's visitors are asked to come back later.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;

use stead_model::network::Network;
use stead_model::routing::Maintenance;

/// Largest page of an operator's own, bytes.
const LARGEST: u64 = 256 * 1024;

/// Whether a visitor at this address is to come back later: `Some`, with the operator's own page if there is one.
pub(crate) fn holds(maintenance: &Maintenance, visitor: &str) -> Option<Option<Vec<u8>>> {
    let page = match &maintenance.file {
        None => None,
        Some(file) => match read_page(file) {
            Ok(page) => Some(page).filter(|page| !page.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            // It is there: that is what counts.
            Err(_) => None,
        },
    };
    let address = visitor.parse::<IpAddr>();
    if address.is_ok_and(|address| Network::any(&maintenance.allow, address)) {
        return None;
    }
    Some(page)
}

/// A page of the operator's own, from a regular file.
pub(crate) fn read_page(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut page = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut page)?;
    Ok(page)
}
