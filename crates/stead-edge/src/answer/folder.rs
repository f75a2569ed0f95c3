//! Static files.

use super::{Next, Request};
use crate::folder::Folder;
use crate::path::CleanPath;

impl Request<'_> {
    pub(super) fn serve_folder(
        &mut self,
        _folder: &Folder,
        _path: &CleanPath<'_>,
        _prefix: usize,
    ) -> Option<Next> {
        None
    }
}
