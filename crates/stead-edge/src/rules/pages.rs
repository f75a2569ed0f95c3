//! A route's own error pages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use super::maintenance::read_page;

/// Pages by status, and by class.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    of_status: BTreeMap<u16, Bytes>,
    of_4xx: Option<Bytes>,
    of_5xx: Option<Bytes>,
}

impl Pages {
    /// Read them. One that is not there is left out: Stead's own takes its place.
    pub(crate) fn read(files: &BTreeMap<String, PathBuf>) -> Self {
        let mut pages = Self::default();
        for (key, file) in files {
            let Ok(page) = read_page(file) else { continue };
            let page = Bytes::from(page);
            match key.as_str() {
                "4xx" => pages.of_4xx = Some(page),
                "5xx" => pages.of_5xx = Some(page),
                status => {
                    if let Ok(status) = status.parse() {
                        pages.of_status.insert(status, page);
                    }
                }
            }
        }
        pages
    }

    /// The page of a status.
    pub(crate) fn of(&self, status: u16) -> Option<&Bytes> {
        let class = match status {
            400..500 => self.of_4xx.as_ref(),
            500..600 => self.of_5xx.as_ref(),
            _ => None,
        };
        self.of_status.get(&status).or(class)
    }
}
