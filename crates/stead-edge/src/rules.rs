//! What a route asks beyond its target, made ready for requests. Most routes ask nothing.

pub(crate) mod edits;
pub(crate) mod maintenance;
pub(crate) mod pages;
pub(crate) mod users;

use std::collections::HashMap;

use stead_model::routing::{Maintenance, Moved, Rules as Model};

use edits::Edits;
use pages::Pages;
use users::Users;

/// The rules of one route.
#[derive(Debug)]
pub(crate) struct Rules {
    /// By clean path.
    moved: HashMap<Box<[u8]>, Moved>,
    /// In place of the route's path, without a slash at its end: empty for `/`.
    pub(crate) rewrite: Option<Box<[u8]>>,
    /// To responses.
    pub(crate) response: Edits,
    /// To requests that are forwarded.
    pub(crate) request: Edits,
    /// `None`: everybody may come in.
    pub(crate) users: Option<Users>,
    /// Their Authorization headers are forwarded.
    pub(crate) pass_authorization: bool,
    pub(crate) maintenance: Option<Maintenance>,
    pub(crate) pages: Pages,
    /// Responses of upstreams are compressed.
    pub(crate) compress: bool,
}

impl Rules {
    /// Validate and make ready. The error is for a person.
    pub(crate) fn new(model: &Model) -> Result<Self, String> {
        for (from, moved) in &model.moved {
            check_moved(from, moved)?;
        }
        let moved = model.moved.iter();
        let moved = moved.map(|(from, moved)| (from.as_bytes().into(), moved.clone()));
        if let Some(rewrite) = &model.rewrite {
            super::router::check_path(rewrite)?;
        }
        let rewrite = model.rewrite.as_deref();
        let rewrite = rewrite.map(|path| path.trim_end_matches('/').as_bytes().into());
        let users = match (model.users.is_empty(), &model.users_file) {
            (true, None) => None,
            (_, file) => Some(Users::new(&model.users, file.clone())?),
        };
        Ok(Self {
            users,
            pass_authorization: model.pass_authorization,
            maintenance: model.maintenance.clone(),
            pages: Pages::read(&model.errors),
            compress: model.compress,
            moved: moved.collect(),
            rewrite,
            response: Edits::new(&model.headers, &model.remove_headers)?,
            request: Edits::new(&model.request_headers, &model.remove_request_headers)?,
        })
    }

    /// Where exactly this path is sent.
    pub(crate) fn moved(&self, clean_path: &[u8]) -> Option<&Moved> {
        self.moved.get(clean_path)
    }
}

/// Whether a redirect can be sent: its target becomes a header's value.
pub(crate) fn check_moved(from: &str, moved: &Moved) -> Result<(), String> {
    let Moved { to, status } = moved;
    let begins = ["/", "http://", "https://"];
    let leads = begins.iter().any(|start| to.starts_with(start)) && !to.starts_with("//");
    if !leads
        || !to
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    {
        return Err(format!(
            "the path `{from}` is sent to `{}`, which is neither a path nor a URL",
            to.escape_default()
        ));
    }
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err(format!(
            "the path `{from}` is sent elsewhere with {status}, which is no redirect"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
