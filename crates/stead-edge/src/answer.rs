//! The answer to one request: a route is found, and an upstream, a folder, a redirect or an error page
//! answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stead_model::routing::InstanceId;

use crate::Shared;
use crate::deadline::Deadline;
use crate::forward::{self, RequestId, Ruled, believed};
use crate::frames::Connection;
use crate::head::{Head, Refusal};
use crate::page::{self, Reason};
use crate::path;
use crate::response::{Response, Shape, reason_phrase};
use crate::router::Target;
use crate::upkeep;
use crate::upstream::Settings;
use crate::visitor::Visitor;

mod body;
mod folder;
mod rules;
mod tls;
mod upstream;

use upstream::Limits;

/// What becomes of the connection after an answer, which is in `visitor.output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It takes another request.
    Keep,
    /// It is closed once the answer was read.
    Close,
    /// It is cut at once, in a way that the visitor notices.
    Cut,
    /// It carried another protocol, and has ended.
    Ended,
}

/// One request on its way.
pub(crate) struct Request<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) connection: &'a Connection,
    pub(crate) visitor: &'a mut Visitor,
    pub(crate) head: &'a Head,
    pub(crate) deadline: &'a mut Deadline,
    pub(crate) response: Response<'a>,
    pub(crate) id: RequestId,
    pub(crate) times: Times,
    /// What the route's rules make of it.
    pub(crate) ruled: Option<Box<Ruled>>,
}

/// Who answered, and how long it took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// The process and its release.
    pub(crate) upstream_settings: Option<Arc<Settings>>,
    pub(crate) instance: Option<InstanceId>,
    /// Until an instance was free.
    pub(crate) queue: Duration,
    /// From then until the response was complete.
    pub(crate) upstream: Duration,
    /// Bytes of the request's body that came.
    pub(crate) received: u64,
    /// Bytes that came after an upgrade.
    pub(crate) passed: u64,
}

/// Answer a request whose head is read.
pub(crate) async fn request(
    shared: &Arc<Shared>,
    connection: &Connection,
    visitor: &mut Visitor,
    head: &Head,
    deadline: &mut Deadline,
) -> Next {
    let begun = Instant::now();
    let told = connection
        .trusted
        .then(|| Box::new(believed::connection(connection, head)));
    let connection = told.as_deref().unwrap_or(connection);
    visitor.output.begin();
    let shape = Shape {
        is_head: head.is_head(),
        http2: head.http2,
        tunnel: head.tunnel,
        http11: head.http11,
        keep_alive: head.keep_alive,
        draining: &shared.draining,
    };
    let mut request = Request {
        shared,
        connection,
        visitor,
        head,
        deadline,
        response: Response::new(shape),
        id: forward::new_id(),
        times: Times::default(),
        ruled: None,
    };
    let next = request.route().await;
    let ruled = request.ruled.as_deref();
    let user = ruled.and_then(|ruled| ruled.user.as_deref());
    upkeep::record(
        connection,
        head,
        &request.response,
        (shown_id(connection, &request.id), user),
        begun.elapsed(),
        &request.times,
    );
    next
}

/// Answer a head that is refused.
pub(crate) fn refusal(
    shared: &Arc<Shared>,
    connection: &Connection,
    visitor: &mut Visitor,
    head: &Head,
    refusal: Refusal,
) -> Next {
    refuse(
        shared,
        connection,
        visitor,
        head,
        refusal.status,
        Reason::General,
    );
    Next::Close
}

fn refuse(
    shared: &Arc<Shared>,
    connection: &Connection,
    visitor: &mut Visitor,
    head: &Head,
    status: u16,
    reason: Reason,
) {
    let begun = Instant::now();
    let id = forward::new_id();
    let mut response = Response::new(Shape {
        is_head: false,
        http2: head.http2,
        tunnel: head.tunnel,
        http11: true,
        keep_alive: false,
        draining: &shared.draining,
    });
    let id = id_text(&id);
    write_page(
        visitor,
        head,
        &mut response,
        Subject {
            status,
            reason,
            own: None,
        },
        id,
        &[],
    );
    upkeep::record(
        connection,
        head,
        &response,
        (id, None),
        begun.elapsed(),
        &Times::default(),
    );
}

/// Answer a request that came as it is where TLS is spoken.
pub(crate) fn plain_over_tls(
    shared: &Arc<Shared>,
    connection: &Connection,
    visitor: &mut Visitor,
    head: &Head,
) {
    refuse(shared, connection, visitor, head, 400, Reason::PlainOverTls);
}

/// The id that visitors, apps and the log are told.
fn shown_id<'a>(connection: &'a Connection, id: &'a RequestId) -> &'a str {
    let told = connection.told.as_deref();
    let told = told.and_then(|told| told.id.as_deref());
    told.unwrap_or(id_text(id))
}

fn id_text(id: &RequestId) -> &str {
    std::str::from_utf8(id).unwrap_or_default()
}

impl Request<'_> {
    async fn route(&mut self) -> Next {
        if self.head.path() == b"*" {
            return self.simple(
                b"204 No Content",
                &[("Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")],
            );
        }
        let head = self.head;
        // Before routes, redirects and whatever else is in force: the authority asks by plain HTTP alone.
        if let Some(answer) = self.shared.challenges.answer(head) {
            return self.challenge(&answer);
        }
        let Ok(clean) = path::clean(head.path()) else {
            return self.error(400);
        };
        self.shared.tables.first().await;
        let table = self.shared.tables.current();
        let Some(entry) = table.router.find(head.host(), &clean.bytes) else {
            let known = table.router.knows_host(head.host());
            return self.error(if known { 404 } else { 421 });
        };
        if let Some(limit) = &entry.limit {
            let taken = self.shared.rates.take(limit, self.connection.address);
            if let Err(wait) = taken {
                if let Some(rules) = &entry.rules {
                    self.response.follow(Arc::clone(rules));
                }
                self.shared.metrics.limited(limit.name());
                return self.held_up(wait);
            }
        }
        if let Some(next) = self.check_tls(entry.tls.as_deref()) {
            return next;
        }
        if let Some(rules) = &entry.rules
            && let Some(next) = Box::pin(self.follow(rules, &clean, entry.prefix_length)).await
        {
            return next;
        }
        match &entry.target {
            Target::Upstream(index) => {
                let upstream = Arc::clone(&table.upstreams[*index]);
                let limits = Limits::from(entry);
                // A connection may be open for days; it must not keep a whole table in memory.
                drop(table);
                self.forward(&upstream, limits).await
            }
            Target::Folder { fallback: None, .. } if head.tunnel => self.error(501),
            Target::Folder { folder, fallback } => {
                match Box::pin(self.serve_folder(folder, &clean, entry.prefix_length)).await {
                    Some(next) => next,
                    None => match fallback {
                        Some(index) => {
                            let limits = Limits::from(entry);
                            self.forward(&table.upstreams[*index], limits).await
                        }
                        None => self.error(404),
                    },
                }
            }
            Target::Redirect(host, status) => {
                let mut location = format!("{}://{host}", self.connection.scheme).into_bytes();
                location.extend_from_slice(head.path());
                self.redirect(location, *status)
            }
            Target::Moved(moved) => self.moved(moved, entry.prefix_length),
        }
    }

    /// An answer without a body.
    fn simple(&mut self, status: &[u8], headers: &[(&str, &[u8])]) -> Next {
        self.refuse_body();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), *value));
        match self
            .response
            .head(&mut self.visitor.output, status, headers, Some(0))
        {
            Ok(()) => self.finish(),
            Err(_) => self.error(500),
        }
    }

    /// What a certificate authority asked for.
    fn challenge(&mut self, answer: &str) -> Next {
        self.refuse_body();
        let headers: [(&[u8], &[u8]); 2] = [
            (b"Content-Type", b"application/octet-stream"),
            (b"Cache-Control", b"no-store"),
        ];
        let length = Some(answer.len() as u64);
        let output = &mut self.visitor.output;
        match self
            .response
            .head(output, b"200 OK", headers.into_iter(), length)
        {
            Ok(()) => {
                self.response.body(output, answer.as_bytes());
                self.finish()
            }
            Err(_) => self.error(500),
        }
    }

    /// The visitor sends more than the route's rate; after `wait` there is room for one request.
    fn held_up(&mut self, wait: Duration) -> Next {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let retry = seconds.max(1).to_string();
        let retry: &[(&str, &[u8])] = &[("Retry-After", retry.as_bytes())];
        self.error_with(429, Reason::General, retry)
    }

    /// An error page.
    pub(crate) fn error(&mut self, status: u16) -> Next {
        self.error_because(status, Reason::General)
    }

    pub(crate) fn error_because(&mut self, status: u16, reason: Reason) -> Next {
        let retry: &[(&str, &[u8])] = if status == 503 {
            &[("Retry-After", b"5")]
        } else {
            &[]
        };
        self.error_with(status, reason, retry)
    }

    fn error_with(&mut self, status: u16, reason: Reason, extra: &[(&str, &[u8])]) -> Next {
        if self.response.has_begun() {
            if !self.visitor.output.is_unseen() {
                // The visitor must not take a part for the whole.
                return Next::Cut;
            }
            // It has seen none of it: it can still be told.
            self.visitor.output.clear();
            self.visitor.reading.rest();
            self.response.restart();
        }
        self.refuse_body();
        if matches!(status, 400 | 408 | 413) {
            self.response.close();
        }
        let rules = self.response.rules();
        let own = rules.and_then(|rules| rules.pages.of(status).cloned());
        self.write_error(status, reason, extra, own.as_deref())
    }

    /// A page, in place of Stead's own if there is one.
    fn write_error(
        &mut self,
        status: u16,
        reason: Reason,
        extra: &[(&str, &[u8])],
        own: Option<&[u8]>,
    ) -> Next {
        write_page(
            self.visitor,
            self.head,
            &mut self.response,
            Subject {
                status,
                reason,
                own,
            },
            shown_id(self.connection, &self.id),
            extra,
        );
        self.finish()
    }

    /// The rest of the body was not read: what follows on the connection is not a request.
    fn refuse_body(&mut self) {
        if self.head.body != crate::head::BodyLength::None {
            self.response.close();
        }
    }

    /// The response is complete.
    pub(crate) fn finish(&mut self) -> Next {
        if !self.response.end(&mut self.visitor.output) {
            return Next::Cut;
        }
        if self.response.keeps_alive() {
            Next::Keep
        } else {
            Next::Close
        }
    }
}

/// What a page is about.
struct Subject<'a> {
    status: u16,
    reason: Reason,
    /// The operator's own page.
    own: Option<&'a [u8]>,
}

fn write_page(
    visitor: &mut Visitor,
    head: &Head,
    response: &mut Response<'_>,
    subject: Subject<'_>,
    id: &str,
    extra: &[(&str, &[u8])],
) {
    let Subject {
        status,
        reason,
        own,
    } = subject;
    let accept = head.header("accept");
    let own = own.and_then(|own| page::own(own, accept));
    // An operator's page may have scripts and styles of its own.
    let policy = own.is_none().then_some((
        "Content-Security-Policy",
        page::CONTENT_SECURITY_POLICY.as_bytes(),
    ));
    let page = own.unwrap_or_else(|| page::page(status, reason, accept, id));
    let headers = [
        ("Content-Type", page.content_type.as_bytes()),
        ("Cache-Control", b"no-store"),
        ("Vary", b"Accept"),
        ("X-Request-ID", id.as_bytes()),
    ];
    let line = format!("{status} {}", reason_phrase(status));
    let headers = headers
        .iter()
        .chain(&policy)
        .chain(extra)
        .map(|(name, value)| (name.as_bytes(), *value));
    let length = page.body.len() as u64;
    if response
        .head(&mut visitor.output, line.as_bytes(), headers, Some(length))
        .is_ok()
    {
        response.body(&mut visitor.output, &page.body);
    }
}
