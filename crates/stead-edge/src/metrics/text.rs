//! The metrics as text, in the OpenMetrics format, which Prometheus reads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::handshakes::Counted;
use super::{BOUNDS, Counters, Histogram, Series};
use crate::upstream::Situation;

/// The media type of [`Snapshot::write`]'s text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) connections: u64,
    pub(super) accepted: u64,
    pub(super) accept_pauses: u64,
    pub(super) crowded: u64,
    pub(super) unintroduced: u64,
    pub(super) limited: BTreeMap<Box<str>, u64>,
    pub(super) dropped_lines: u64,
    pub(super) spooled: u64,
    pub(super) handshakes: Counted,
    /// When certificates end, seconds since 1970, by their first host.
    pub(super) certificates: BTreeMap<String, i64>,
    pub(super) own: Sum,
    pub(super) series: Vec<Sum>,
    pub(super) upstreams: Vec<Situation>,
}

/// The counters of a series, added up.
#[derive(Debug)]
pub(super) struct Sum {
    app: String,
    process: String,
    release: String,
    counters: Counters,
}

/// Name, help, and where the value is.
type Family<T> = (&'static str, &'static str, fn(&Counters) -> &T);

impl From<&Series> for Sum {
    fn from(series: &Series) -> Self {
        Self {
            app: series.app.clone(),
            process: series.process.clone(),
            release: series.release.to_string(),
            counters: series.sum(),
        }
    }
}

impl Sum {
    fn labels(&self) -> [(&str, &str); 3] {
        [
            ("app", &self.app),
            ("process", &self.process),
            ("release", &self.release),
        ]
    }
}

impl Snapshot {
    pub(super) fn write(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(out)
    }

    fn simple(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = [
            (
                "stead_connections_accepted",
                "Connections of visitors that were accepted",
                self.accepted,
            ),
            (
                "stead_accept_pauses",
                "How often accepting paused because there were no descriptors left",
                self.accept_pauses,
            ),
            (
                "stead_connections_crowded",
                "Connections that were closed at once, since their address has as many as it may have",
                self.crowded,
            ),
            (
                "stead_connections_unintroduced",
                "Connections of trusted proxies that were closed, since no PROXY protocol header came",
                self.unintroduced,
            ),
            (
                "stead_access_log_dropped_lines",
                "Lines of the access log that the disk did not take",
                self.dropped_lines,
            ),
        ];
        encoder
            .encode_descriptor(
                "stead_connections",
                "Open connections of visitors",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&self.connections)?;
        encoder
            .encode_descriptor(
                "stead_spool_bytes",
                "Bytes of requests' bodies that are on disk until they are whole",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&self.spooled)?;
        for (name, help, value) in counters {
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        let (name, help) = (
            "stead_requests_limited",
            "Requests that were answered 429, since their address sent more than the route's rate",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (route, count) in &self.limited {
            family
                .encode_family(&[("route", &**route)])?
                .encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
        Ok(())
    }

    fn certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "stead_certificate_expiry_timestamp_seconds";
        let help = "When a certificate ends, by its first host";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (host, end) in &self.certificates {
            family
                .encode_family(&[("host", host.as_str())])?
                .encode_gauge(end)?;
        }
        Ok(())
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests for an app, by the class of the answer's status";
        let mut family =
            encoder.encode_descriptor("stead_requests", help, None, MetricType::Counter)?;
        for sum in &self.series {
            let [app, process, release] = sum.labels();
            for (class, count) in by_status(&sum.counters) {
                family
                    .encode_family(&[app, process, release, ("status", class)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Requests that the edge answered itself: files, redirects, refusals";
        let mut family =
            encoder.encode_descriptor("stead_edge_requests", help, None, MetricType::Counter)?;
        for (class, count) in by_status(&self.own.counters) {
            family
                .encode_family(&[("status", class)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn bytes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let families: [Family<AtomicU64>; 2] = [
            ("received", "Bytes of the bodies of requests", |counters| {
                &counters.received
            }),
            ("sent", "Bytes of the bodies of responses", |counters| {
                &counters.sent
            }),
        ];
        let value = |sum: &Sum, counter: fn(&Counters) -> &AtomicU64| {
            counter(&sum.counters).load(Ordering::Relaxed)
        };
        for (what, help, counter) in families {
            let name = format!("stead_{what}_bytes");
            let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            for sum in &self.series {
                family
                    .encode_family(&sum.labels())?
                    .encode_counter::<NoLabelSet, _, u64>(&value(sum, counter), None)?;
            }
            let (name, help) = (
                format!("stead_edge_{what}_bytes"),
                format!("{help} that the edge answered itself"),
            );
            encoder
                .encode_descriptor(&name, &help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&value(&self.own, counter), None)?;
        }
        Ok(())
    }

    fn times(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let families: [Family<Histogram>; 3] = [
            (
                "stead_request_duration_seconds",
                "From a complete head to the response's end",
                |counters| &counters.total,
            ),
            (
                "stead_queue_duration_seconds",
                "How long requests waited for a free instance",
                |counters| &counters.queue,
            ),
            (
                "stead_upstream_duration_seconds",
                "From a free instance to the response's end",
                |counters| &counters.upstream,
            ),
        ];
        for (name, help, histogram) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for sum in &self.series {
                let histogram = histogram(&sum.counters);
                let buckets = buckets(histogram);
                let count = buckets.iter().map(|(_, count)| count).sum();
                let seconds = histogram.micros.load(Ordering::Relaxed) as f64 / 1e6;
                family
                    .encode_family(&sum.labels())?
                    .encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn upstreams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that wait for a free instance";
        let mut family =
            encoder.encode_descriptor("stead_queue_length", help, None, MetricType::Gauge)?;
        for upstream in &self.upstreams {
            family
                .encode_family(&of_upstream(upstream, upstream.series.release))?
                .encode_gauge(&upstream.waiting)?;
        }
        let help = "Requests that an instance has: streams and upgraded connections too";
        let mut family =
            encoder.encode_descriptor("stead_instance_requests", help, None, MetricType::Gauge)?;
        for upstream in &self.upstreams {
            for instance in &upstream.instances {
                let id = instance.id.0.to_string();
                let labels = of_upstream(upstream, instance.release);
                family
                    .encode_family(&(labels, [("instance", id.as_str())]))?
                    .encode_gauge(&u64::from(instance.in_flight))?;
            }
        }
        let help = "The state that an instance is in: 1";
        let mut family =
            encoder.encode_descriptor("stead_instance_state", help, None, MetricType::Gauge)?;
        for upstream in &self.upstreams {
            for instance in &upstream.instances {
                let id = instance.id.0.to_string();
                let labels = of_upstream(upstream, instance.release);
                let own = [("instance", id.as_str()), ("state", instance.state)];
                family.encode_family(&(labels, own))?.encode_gauge(&1_u64)?;
            }
        }
        Ok(())
    }
}

impl prometheus_client::collector::Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.simple(&mut encoder)?;
        self.requests(&mut encoder)?;
        self.bytes(&mut encoder)?;
        self.times(&mut encoder)?;
        self.upstreams(&mut encoder)?;
        self.handshakes.write(&mut encoder)?;
        self.certificates(&mut encoder)
    }
}

fn by_status(counters: &Counters) -> impl Iterator<Item = (&'static str, u64)> {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = counters.statuses.each_ref().map(value);
    ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(counts)
}

fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let ends = BOUNDS.iter().map(|micros| *micros as f64 / 1e6);
    // The encoder writes `+Inf` for this one.
    let ends = ends.chain([f64::INFINITY]);
    let counts = histogram.buckets.iter();
    ends.zip(counts.map(|count| count.load(Ordering::Relaxed)))
        .collect()
}

fn of_upstream(upstream: &Situation, release: u64) -> impl EncodeLabelSet {
    [
        ("app", upstream.series.app.clone()),
        ("process", upstream.series.process.clone()),
        ("release", release.to_string()),
    ]
}
