//! The head of a response, checked and normalised, with what the edge changes in it.

use std::sync::atomic::Ordering;

use super::text::{
    CODE_LENGTH, append_number, check_header, is_named, names_any, passes, status_code,
};
use super::{Framing, HSTS, MOST_INTERIM, Malformed, Response, STICKY_COOKIE};
use crate::compress::{Choice, Coder, Plan};
use crate::date;
use crate::http2;
use crate::visitor::Output;

impl Response<'_> {
    /// Write the head. `status` is `200 OK`; `whole` is the body's length when all of it is known
    /// already. Nothing is written when something in it is malformed.
    pub(crate) fn head<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        whole: Option<u64>,
    ) -> Result<(), Malformed> {
        let asks_for_more = self.hsts.is_some() || self.choice.is_some();
        if self.rules.is_none() && self.sticky.is_none() && !asks_for_more {
            return self.write_head(output, status, headers, whole);
        }
        self.edited_head(output, status, headers, whole)
    }

    /// The head with what the edge changes in it.
    fn edited_head<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        whole: Option<u64>,
    ) -> Result<(), Malformed> {
        let rules = self.rules.clone();
        let (mut cookie, mut etag) = (Vec::new(), Vec::new());
        let mut whole = whole;
        let mut list: Vec<(&[u8], &[u8])> = Vec::with_capacity(32);
        for (name, value) in headers {
            if rules
                .as_ref()
                .is_none_or(|rules| rules.response.keeps(name))
            {
                list.push((name, value));
            }
        }
        if let Some(rules) = &rules {
            list.extend(rules.response.set());
        }
        let hsts = self.hsts.clone();
        if let Some(hsts) = &hsts
            && !list.iter().any(|(name, _)| name.eq_ignore_ascii_case(HSTS))
        {
            list.push((HSTS, hsts.as_bytes()));
        }
        if let Some((value, secure)) = &self.sticky {
            cookie.extend_from_slice(STICKY_COOKIE);
            cookie.push(b'=');
            cookie.extend_from_slice(value);
            cookie.extend_from_slice(b"; Path=/; HttpOnly; SameSite=Lax");
            if *secure {
                cookie.extend_from_slice(b"; Secure");
            }
            list.push((b"Set-Cookie", &cookie));
        }
        if let Some(choice) = self.choice {
            let plan = self.plan(choice, status_code(status)?, &list, whole);
            plan.apply(&mut list, &mut etag);
            whole = whole.filter(|_| plan.encoding.is_none());
        }
        self.write_head(output, status, list.iter().copied(), whole)
    }

    /// What becomes of the body. A coder is made for it, if there is one.
    fn plan(
        &mut self,
        choice: Choice,
        status: u16,
        headers: &[(&[u8], &[u8])],
        whole: Option<u64>,
    ) -> Plan {
        let mut plan = Plan::of(choice, status, headers, whole);
        if let Some(encoding) = plan.encoding.filter(|_| !self.shape.is_head) {
            self.coder = Coder::new(encoding, plan.declared).map(Box::new);
            if self.coder.is_none() {
                // Too many at once.
                (plan.encoding, plan.weakens) = (None, false);
            }
        }
        plan
    }

    fn write_head<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        whole: Option<u64>,
    ) -> Result<(), Malformed> {
        let code = status_code(status)?;
        let mut declared = None;
        if code < 200 {
            // A visitor would wait for another one, or speak another protocol from here on.
            return Err(Malformed("an interim answer in place of the final one"));
        }
        let mut has_date = false;
        let mut names_headers = false;
        for (name, value) in headers.clone() {
            check_header(name, value)?;
            match name.len() {
                4 => has_date |= name.eq_ignore_ascii_case(b"date"),
                10 if name.eq_ignore_ascii_case(b"connection") => names_headers |= names_any(value),
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    let length = crate::head::parse_length(value.trim_ascii());
                    let length = length.ok_or(Malformed("malformed Content-Length"))?;
                    if declared.is_some_and(|before| before != length) {
                        return Err(Malformed("two different Content-Length headers"));
                    }
                    declared = Some(length);
                }
                _ => {}
            }
        }
        let bodiless = matches!(code, 204 | 304);
        let length = declared.or(whole.filter(|_| !bodiless));
        self.framing = match length {
            _ if bodiless || self.shape.is_head => Framing::Empty,
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
            None if self.shape.http11 && !self.shape.http2 => Framing::Chunked,
            None => Framing::Close,
        };
        self.status = code;
        self.shape.keep_alive &= !self.shape.draining.load(Ordering::Relaxed);
        if self.shape.http2 {
            if self.shape.tunnel && code < 300 {
                return Err(Malformed("an answer without the upgrade"));
            }
            let end = self.framing == Framing::Empty;
            let named = |name: &[u8]| names_headers && is_named(name, headers.clone());
            let others = headers
                .clone()
                .filter(|(name, _)| passes(name) && !named(name));
            let length = length.filter(|_| code != 204);
            http2::response::append_head(output, code, others, length, !has_date, end);
            return Ok(());
        }
        let keeps_alive = self.keeps_alive();
        let (http11, chunked) = (self.shape.http11, self.framing == Framing::Chunked);
        output.write_with(|out| {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(status);
            if status.len() == CODE_LENGTH {
                out.push(b' ');
            }
            for (name, value) in headers.clone() {
                if passes(name) && !(names_headers && is_named(name, headers.clone())) {
                    out.extend_from_slice(b"\r\n");
                    out.extend_from_slice(name);
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value);
                }
            }
            if let Some(length) = length.filter(|_| code != 204) {
                out.extend_from_slice(b"\r\nContent-Length: ");
                append_number(out, length);
            }
            if chunked {
                out.extend_from_slice(b"\r\nTransfer-Encoding: chunked");
            }
            if !has_date {
                out.extend_from_slice(b"\r\nDate: ");
                date::append_now(out);
            }
            if !keeps_alive {
                out.extend_from_slice(b"\r\nConnection: close");
            } else if !http11 {
                out.extend_from_slice(b"\r\nConnection: keep-alive");
            }
            out.extend_from_slice(b"\r\n\r\n");
        });
        Ok(())
    }

    /// `100 Continue`, ahead of the head.
    pub(crate) fn interim_continue(&self, output: &mut Output) {
        if self.shape.http2 {
            http2::response::append_interim(output, 100, std::iter::empty());
        } else {
            output.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Pass an interim response on, ahead of the head (RFC 9110 section 15.2): `103 Early Hints`, say (RFC 8297).
    /// A visitor of HTTP/1.0 gets none. `100 Continue` is dropped: whoever waits for that has it from the edge.
    pub(crate) fn interim<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<(), Malformed> {
        let code = status_code(status)?;
        let mut names_headers = false;
        for (name, value) in headers.clone() {
            check_header(name, value)?;
            names_headers |= name.eq_ignore_ascii_case(b"connection") && names_any(value);
        }
        let understands = self.shape.http11 || self.shape.http2;
        if code == 100 || !understands || self.has_begun() || self.interim == MOST_INTERIM {
            return Ok(());
        }
        self.interim += 1;
        let named = |name: &[u8]| names_headers && is_named(name, headers.clone());
        let others = headers
            .clone()
            .filter(|(name, _)| passes(name) && !named(name));
        if self.shape.http2 {
            http2::response::append_interim(output, code, others);
            return Ok(());
        }
        output.write_with(|out| {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(status);
            for (name, value) in others {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(value);
            }
            out.extend_from_slice(b"\r\n\r\n");
        });
        Ok(())
    }

    /// The instance has switched protocols. `false`: nothing was written, since the instance's own 101 is to be
    /// passed on.
    pub(crate) fn switch<'a>(
        &mut self,
        output: &mut Output,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<bool, Malformed> {
        if !self.shape.tunnel {
            return Ok(false);
        }
        for (name, value) in headers.clone() {
            check_header(name, value)?;
        }
        let own = |name: &[u8]| !passes(name) || name.eq_ignore_ascii_case(b"sec-websocket-accept");
        let others = headers.filter(|(name, _)| !own(name));
        http2::response::append_head(output, 200, others, None, true, false);
        (self.framing, self.status) = (Framing::Close, 200);
        Ok(true)
    }
}
