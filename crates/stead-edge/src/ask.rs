//! Questions to an app that the agent has: a GET to whichever instance serves the route, as a request of nobody's.

use stead_model::messages::{Probe, Question};

use crate::path;
use crate::router::Target;
use crate::table::Table;

/// Ask; the status code, or why there was none.
pub(crate) async fn run(table: &Table, question: &Question) -> Result<u16, String> {
    let late = || format!("no answer within {} ms", question.timeout.as_millis());
    let asked = tokio::time::timeout(question.timeout, ask(table, question));
    asked.await.unwrap_or_else(|_| Err(late()))
}

async fn ask(table: &Table, question: &Question) -> Result<u16, String> {
    let nobody = || {
        format!(
            "no process serves `{}` of `{}`",
            question.path, question.host
        )
    };
    let target = path::split(question.path.as_bytes()).map_err(|refusal| refusal.reason())?;
    let clean = path::clean(target.path).map_err(|refusal| refusal.reason())?;
    let entry = table.router.find(question.host.as_bytes(), &clean.bytes);
    let position = match entry.map(|entry| &entry.target) {
        Some(Target::Upstream(position)) => *position,
        Some(Target::Folder {
            fallback: Some(position),
            ..
        }) => *position,
        _ => return Err(nobody()),
    };
    let upstream = table.upstreams.get(position).ok_or_else(nobody)?;
    upstream
        .ask(|address, protocol| Probe {
            id: question.id,
            address,
            protocol,
            path: question.path.clone(),
            host: question.host.clone(),
            timeout: question.timeout,
        })
        .await
}
