//! What a route asks beyond its target.

use std::path::Path;

use stead_model::manifest::{Maintenance as When, Route as Wanted};
use stead_model::routing::{Maintenance, Moved, Rules};

/// All of it; `None` when there is nothing.
pub(super) fn of(wanted: &Wanted, code: &Path) -> Option<Box<Rules>> {
    let status = wanted.redirect_status.unwrap_or(308);
    let alone = wanted.redirects.iter();
    let alone = alone.filter(|(from, to)| Wanted::is_for_one_path(from, to));
    let rules = Rules {
        moved: alone
            .map(|(from, to)| {
                let to = to.clone();
                (from.clone(), Moved { to, status })
            })
            .collect(),
        rewrite: wanted.rewrite.clone(),
        compress: wanted.compress.unwrap_or(false),
        request_headers: wanted.request_headers.clone(),
        remove_request_headers: wanted.remove_request_headers.clone(),
        users: wanted.users.clone(),
        pass_authorization: wanted.pass_authorization.unwrap_or(false),
        users_file: wanted.users_file.as_ref().map(|file| code.join(file)),
        maintenance: wanted.maintenance.as_ref().map(|when| Maintenance {
            file: match when {
                When::Now => None,
                When::While(file) => Some(code.join(file)),
            },
            allow: wanted.maintenance_allow.clone(),
        }),
        ..of_answers(wanted, code)
    };
    some(rules)
}

/// What holds for a route that sends its visitors elsewhere.
pub(super) fn headers(wanted: &Wanted, code: &Path) -> Option<Box<Rules>> {
    some(of_answers(wanted, code))
}

fn of_answers(wanted: &Wanted, code: &Path) -> Rules {
    let errors = wanted.errors.iter();
    let errors = errors.map(|(status, file)| (status.clone(), code.join(file)));
    Rules {
        headers: wanted.headers.clone(),
        remove_headers: wanted.remove_headers.clone(),
        errors: errors.collect(),
        ..Rules::default()
    }
}

fn some(rules: Rules) -> Option<Box<Rules>> {
    (rules != Rules::default()).then(|| Box::new(rules))
}
