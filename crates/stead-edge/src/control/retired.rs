//! An edge that was replaced: it finishes what it has and tells its successor how far it is.

use std::time::Duration;

use stead_model::handover::{FromNew, FromOld, Report};
use stead_model::messages::{EdgeCommand, EdgeEvent};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::wire::Wire;
use super::{Stop, TICK};
use crate::Edge;

/// What is still told to the successor when all is over takes no longer than this.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Drain until `deadline`. Asked to stop, close idle connections too; asked again, return at once. Returns
/// how many connections were cut.
pub(super) async fn drain(
    edge: Edge,
    mut events: UnboundedReceiver<EdgeEvent>,
    successor: Wire,
    stop: &mut Stop,
    deadline: Instant,
) -> usize {
    edge.retire();
    edge.share(Vec::new(), true);
    let mut successor = Some(successor);
    let mut told = Report::default();
    let mut stopping = false;
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = edge.quiet() => break,
            () = tokio::time::sleep_until(deadline) => break,
            () = stop.asked() => match std::mem::replace(&mut stopping, true) {
                false => edge.close_idle(),
                true => break,
            },
            Some(event) = events.recv() => say(&mut successor, &FromOld::Event(event)),
            message = hear(&mut successor) => match message {
                FromNew::Publish(table) => drop(edge.commands.send(EdgeCommand::Publish(table))),
                FromNew::Elsewhere(elsewhere) => edge.share(elsewhere, true),
                FromNew::Ready { .. } | FromNew::Refused { .. } | FromNew::Serving => {}
            },
            _ = tick.tick() => {
                let busy = edge.busy();
                let connections = edge.connections();
                let in_flight: u32 = busy.iter().map(|(_, count)| count).sum();
                // Every connection is busy with its last request, or with an upgrade.
                let settled = connections <= in_flight as usize;
                let report = Report { busy, connections, settled };
                if report != told {
                    say(&mut successor, &FromOld::Report(report.clone()));
                    told = report;
                }
            }
        }
    }
    let cut = edge.connections();
    while let Ok(event) = events.try_recv() {
        say(&mut successor, &FromOld::Event(event));
    }
    if let Some(mut wire) = successor {
        let _ = tokio::time::timeout(LAST_WORDS, wire.flush()).await;
    }
    cut
}

/// The next message of the successor, while what is for it is written; never when it has gone.
async fn hear(successor: &mut Option<Wire>) -> FromNew {
    while let Some(wire) = successor {
        let line = std::future::poll_fn(|context| {
            let _ = wire.poll_flush(context);
            wire.poll_line(context)
        });
        match line.await {
            Ok(Some(line)) => match serde_json::from_slice(&line) {
                Ok(message) => return message,
                // Of a later version. Refused, the successor takes every instance for used until the end.
                Err(error) => say(
                    successor,
                    &FromOld::Event(EdgeEvent::Refused {
                        generation: 0,
                        why: error.to_string(),
                    }),
                ),
            },
            Ok(None) | Err(_) => *successor = None,
        }
    }
    std::future::pending().await
}

/// A successor that does not read misses it, and learns the rest by the end of the connection.
fn say(successor: &mut Option<Wire>, message: &FromOld) {
    if let Some(wire) = successor {
        let _ = wire.send(message);
    }
}
