//! Static files.
use std::path::PathBuf;
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    fallback: bool,
}
impl Folder {
    pub(crate) fn new(root: PathBuf, fallback: bool) -> Folder {
        Folder { root, fallback }
    }
}
