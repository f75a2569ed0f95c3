//! What a route asks beyond its target.

use stead_model::manifest::Route as Wanted;
use stead_model::routing::{Moved, Rules};

/// All of it; `None` when there is nothing.
pub(super) fn of(wanted: &Wanted) -> Option<Box<Rules>> {
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
        request_headers: wanted.request_headers.clone(),
        remove_request_headers: wanted.remove_request_headers.clone(),
        ..of_answers(wanted)
    };
    some(rules)
}

/// What holds for a route that sends its visitors elsewhere.
pub(super) fn headers(wanted: &Wanted) -> Option<Box<Rules>> {
    some(of_answers(wanted))
}

fn of_answers(wanted: &Wanted) -> Rules {
    Rules {
        headers: wanted.headers.clone(),
        remove_headers: wanted.remove_headers.clone(),
        ..Rules::default()
    }
}

fn some(rules: Rules) -> Option<Box<Rules>> {
    (rules != Rules::default()).then(|| Box::new(rules))
}
