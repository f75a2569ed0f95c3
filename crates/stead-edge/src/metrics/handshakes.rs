//! Handshakes of TLS, counted. Each costs a thousand times what a shared counter does.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::tls::{Facts, Failed};

/// Counters of an edge.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    /// TLS 1.2, then 1.3; with a certificate, then with a ticket.
    done: [[AtomicU64; 2]; 2],
    /// In the order of [`REASONS`].
    failed: [AtomicU64; 4],
}

/// Why handshakes fail, as a label.
const REASONS: [(Failed, &str); 4] = [
    (Failed::Left, "left"),
    (Failed::Name, "name"),
    (Failed::Client, "client"),
    (Failed::Protocol, "protocol"),
];

/// The same at one moment.
#[derive(Debug)]
pub(super) struct Counted {
    done: [[u64; 2]; 2],
    failed: [u64; 4],
}

impl Handshakes {
    pub(crate) fn done(&self, facts: &Facts) {
        let version = usize::from(facts.version == "TLSv1.3");
        self.done[version][usize::from(facts.resumed)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, failed: Failed) {
        let place = REASONS.iter().position(|(reason, _)| *reason == failed);
        if let Some(counter) = place.and_then(|place| self.failed.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn now(&self) -> Counted {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            done: self.done.each_ref().map(|of| of.each_ref().map(value)),
            failed: self.failed.each_ref().map(value),
        }
    }
}

impl Counted {
    pub(super) fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Handshakes of TLS; `resumed`: with a ticket of an earlier one";
        let mut family =
            encoder.encode_descriptor("stead_tls_handshakes", help, None, MetricType::Counter)?;
        for (version, of) in ["1.2", "1.3"].into_iter().zip(&self.done) {
            for (resumed, count) in ["false", "true"].into_iter().zip(of) {
                family
                    .encode_family(&[("version", version), ("resumed", resumed)])?
                    .encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        let help = "Handshakes of TLS that came to nothing";
        let mut family = encoder.encode_descriptor(
            "stead_tls_handshakes_failed",
            help,
            None,
            MetricType::Counter,
        )?;
        for ((_, reason), count) in REASONS.iter().zip(&self.failed) {
            family
                .encode_family(&[("reason", *reason)])?
                .encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
        Ok(())
    }
}
