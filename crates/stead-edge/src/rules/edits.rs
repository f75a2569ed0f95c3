//! Headers that are set and taken out.

use std::collections::BTreeMap;

use crate::response::check_header;

/// A header, name and value.
pub(crate) type Field<'a> = (&'a [u8], &'a [u8]);

/// Changes to a list of headers. A name that is set takes the place of all lines with it.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    set: Vec<OwnField>,
    removed: Vec<Box<[u8]>>,
}

type OwnField = (Box<[u8]>, Box<[u8]>);

impl Edits {
    /// The error is for a person.
    pub(crate) fn new(set: &BTreeMap<String, String>, removed: &[String]) -> Result<Self, String> {
        let pairs = set.iter().map(|(name, value)| (name, value.as_str()));
        for (name, value) in pairs.chain(removed.iter().map(|name| (name, ""))) {
            let framing = ["connection", "content-length", "transfer-encoding", "host"];
            let is_framing = framing.iter().any(|own| own.eq_ignore_ascii_case(name));
            if is_framing || check_header(name.as_bytes(), value.as_bytes()).is_err() {
                return Err(format!(
                    "the header `{}` of a route cannot be set or removed",
                    name.escape_default()
                ));
            }
        }
        let bytes = |text: &String| text.as_bytes().into();
        Ok(Self {
            set: set
                .iter()
                .map(|(name, value)| (bytes(name), bytes(value)))
                .collect(),
            removed: removed.iter().map(bytes).collect(),
        })
    }

    /// What is set.
    pub(crate) fn set(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.set.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether a line with this name stays.
    pub(crate) fn keeps(&self, name: &[u8]) -> bool {
        let set = self.set.iter().map(|(name, _)| name);
        !set.chain(&self.removed)
            .any(|other| other.eq_ignore_ascii_case(name))
    }
}
