//! Asking instances that serve whether they still can: a GET every now and then, in the protocol they speak.

use std::sync::{Arc, Weak};
use std::time::Duration;

use stead_model::messages::{EdgeEvent, Probe};
use stead_model::release::Protocol;
use stead_model::routing::{Address, Check, InstanceId};
use tokio::time::Instant;

use super::state::{State, Wish};
use super::{Settings, Stream, Upstream, health};
use crate::buffer::Scratch;
use crate::probe;

/// For connecting and answering together.
const PATIENCE: Duration = Duration::from_secs(5);

impl Upstream {
    /// Check the instances for as long as the table says so.
    pub(super) fn begin_checks(self: &Arc<Self>, state: &mut State) {
        if !state.checked && state.settings.check.is_some() {
            state.checked = true;
            tokio::spawn(run(Arc::downgrade(self)));
        }
    }

    /// Check one instance.
    async fn check(
        self: Arc<Self>,
        settings: Arc<Settings>,
        id: InstanceId,
        address: Arc<Address>,
    ) {
        let Some(check) = &settings.check else { return };
        let probe = Probe {
            id: 0,
            address: (*address).clone(),
            protocol: settings.protocol,
            path: check.path.clone(),
            host: check.host.clone(),
            timeout: PATIENCE,
        };
        let outcome = match settings.protocol {
            Protocol::Frames => match self.ask_thread(id, &probe).await {
                Some(outcome) => outcome,
                // It got a request meanwhile.
                None => return,
            },
            Protocol::Http | Protocol::Uwsgi => probe::run(&probe).await,
        };
        let good = is_good(check, &outcome);
        let failing = self.lock().checked(id, good);
        if failing {
            let why = health::failing(&check.path, &outcome);
            self.send(EdgeEvent::InstanceUnhealthy { instance: id, why });
        }
    }

    /// A connection to Stead's own worker is a thread of it, and there may be no more of them than are open: the
    /// check takes one, as a request would. `None`: the instance is busy.
    async fn ask_thread(
        self: &Arc<Self>,
        id: InstanceId,
        probe: &Probe,
    ) -> Option<Result<u16, String>> {
        let picked = self.lock().pick_idle(id, Instant::now())?;
        let mut lease = self.lease(picked);
        let asked = tokio::time::timeout(probe.timeout, async {
            let stream = match lease.stream.take() {
                Some(stream) => stream.settle(),
                None => Stream::connect(&lease.address, probe.protocol)
                    .await
                    .inspect(|stream| lease.opened(stream)),
            };
            let mut stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
            let (status, unread) = probe::converse(&stream, probe).await?;
            stream.unread = unread;
            Ok((status, stream))
        });
        Some(match asked.await {
            Ok(Ok((status, stream))) => {
                lease.finish(stream);
                Ok(status)
            }
            Ok(Err(why)) => Err(why),
            Err(_) => Err(probe::late(probe)),
        })
    }
}

impl Upstream {
    /// Ask whichever instance takes the next request: the status code, or why there was none.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        probe: impl Fn(Address, Protocol) -> Probe,
    ) -> Result<u16, String> {
        let full = |_| "all of its instances are busy".to_owned();
        let lease = self.acquire(Scratch::default(), Wish::default()).await;
        let mut lease = lease.map_err(full)?;
        let probe = probe((*lease.address).clone(), lease.settings.protocol);
        let kept = lease.stream.take().filter(|stream| !stream.is_closed());
        let stream = match kept {
            Some(stream) => stream.settle(),
            None => Stream::connect(&lease.address, probe.protocol)
                .await
                .inspect(|stream| lease.opened(stream)),
        };
        let mut stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
        let (status, unread) = probe::converse(&stream, &probe).await?;
        if probe.protocol == Protocol::Frames {
            stream.unread = unread;
            lease.finish(stream);
        }
        Ok(status)
    }
}

async fn run(upstream: Weak<Upstream>) {
    loop {
        let every = {
            let Some(upstream) = upstream.upgrade() else {
                return;
            };
            let mut state = upstream.lock();
            match &state.settings.check {
                Some(check) => check.every,
                None => {
                    state.checked = false;
                    return;
                }
            }
        };
        tokio::time::sleep(every).await;
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        let checks = upstream.lock().checks();
        if let Some((settings, instances)) = checks {
            for (id, address) in instances {
                let settings = Arc::clone(&settings);
                tokio::spawn(Arc::clone(&upstream).check(settings, id, address));
            }
        }
    }
}

fn is_good(check: &Check, outcome: &Result<u16, String>) -> bool {
    let (least, most) = check.status;
    matches!(outcome, Ok(status) if (least..=most).contains(status))
}
