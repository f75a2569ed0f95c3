//! From a request's frame to its `environ`, with what stayed the same since the thread's last request left as it is.

use crate::pairs::{Value, dict_of, first_pair, is_end};
use crate::python::{Object, Raised, clear};

/// A pair of the last request.
struct Known {
    /// As it was in the frame.
    bytes: Vec<u8>,
    key_end: usize,
    key: Object,
}

/// Makes a thread's environs, one after the other. Most of what a request says, the one before has said, too: what a key is, and often its value.
pub(crate) struct Environs {
    /// What every environ has.
    base: Object,
    /// `base` and what the last request said, but for its body. Nobody else has it.
    template: Object,
    known: Vec<Known>,
    /// `known` says what is in `template`.
    is_whole: bool,
    head_request: bool,
    new_input: Object,
    input_name: Object,
}

/// One request.
pub(crate) struct Request {
    pub(crate) environ: Object,
    /// Its method is HEAD.
    pub(crate) is_head: bool,
}

impl Environs {
    /// Environs with what `base` has. `new_input` makes a `wsgi.input`, of `bytes` or nothing.
    pub(crate) fn new(base: Object, new_input: Object) -> Result<Self, Raised> {
        let template = base.dict_copy()?;
        let input_name = Object::name(c"wsgi.input")?;
        Ok(Self {
            base,
            template,
            known: Vec::new(),
            is_whole: false,
            head_request: false,
            new_input,
            input_name,
        })
    }

    /// The environ of a request's frame. `None`: it is not as the edge writes it, and nothing was done.
    pub(crate) fn make(&mut self, payload: &[u8]) -> Option<Request> {
        let made = self.read(payload).and_then(|body| {
            let input = match body {
                Some(body) => self.new_input.call_with(&Object::bytes(body)?)?,
                None => self.new_input.call()?,
            };
            let environ = self.template.dict_copy()?;
            environ.dict_set(&self.input_name, &input)?;
            Ok(environ)
        });
        match made {
            Ok(environ) => Some(Request {
                environ,
                is_head: self.head_request,
            }),
            Err(Raised) => {
                clear();
                self.is_whole = false;
                None
            }
        }
    }

    /// Have `template` say what the frame says; the body, which it does not.
    fn read<'a>(&mut self, payload: &'a [u8]) -> Result<Option<&'a [u8]>, Raised> {
        let dict = dict_of(payload).ok_or(Raised)?;
        if self.is_whole
            && let Some(body) = self.update(dict)?
        {
            return Ok(body);
        }
        self.build(dict)
    }

    /// Have `template` say what is new in a frame that has the same keys as the last one. `None`: it has others.
    fn update<'a>(&mut self, mut rest: &'a [u8]) -> Result<Option<Option<&'a [u8]>>, Raised> {
        // Until it is whole again, what was changed may be half of a request.
        self.is_whole = false;
        let mut body = None;
        let mut known = self.known.iter_mut();
        while !is_end(rest) {
            let Some(last) = known.next() else {
                // The body comes without an entry of its own.
                match take_body(&mut rest)? {
                    Some(found) => body = Some(found),
                    None => return Ok(None),
                }
                continue;
            };
            if let Some(after) = rest.strip_prefix(last.bytes.as_slice()) {
                rest = after;
                continue;
            }
            let pair = first_pair(rest).ok_or(Raised)?;
            let Value::Text(value) = pair.value else {
                return Ok(None);
            };
            if pair.bytes[..pair.key_end] != last.bytes[..last.key_end] {
                return Ok(None);
            }
            self.template.dict_set(&last.key, &Object::text(value)?)?;
            if pair.key == b"REQUEST_METHOD" {
                self.head_request = value == b"HEAD";
            }
            last.bytes.clear();
            last.bytes.extend_from_slice(pair.bytes);
            rest = &rest[pair.bytes.len()..];
        }
        self.is_whole = known.next().is_none();
        Ok(self.is_whole.then_some(body))
    }

    /// Have `template` say what the frame says, whatever the last one said.
    fn build<'a>(&mut self, mut rest: &'a [u8]) -> Result<Option<&'a [u8]>, Raised> {
        self.is_whole = false;
        self.template = self.base.dict_copy()?;
        // A place for the body, so that the copy need not grow.
        self.template.dict_set(&self.input_name, &Object::none())?;
        self.head_request = false;
        let before = std::mem::take(&mut self.known);
        let mut body = None;
        let mut body_is_last = true;
        let mut has_method = false;
        while !is_end(rest) {
            if let Some(found) = take_body(&mut rest)? {
                body = Some(found);
                continue;
            }
            body_is_last &= body.is_none();
            let pair = first_pair(rest).ok_or(Raised)?;
            let Value::Text(value) = pair.value else {
                return Err(Raised);
            };
            let key = before
                .iter()
                .find(|known| known.bytes[..known.key_end] == pair.bytes[..pair.key_end])
                .map_or_else(|| Object::interned(pair.key), |known| Ok(known.key.clone()))?;
            self.template.dict_set(&key, &Object::text(value)?)?;
            if pair.key == b"REQUEST_METHOD" {
                has_method = true;
                self.head_request = value == b"HEAD";
            }
            self.known.push(Known {
                bytes: pair.bytes.to_vec(),
                key_end: pair.key_end,
                key,
            });
            rest = &rest[pair.bytes.len()..];
        }
        if !has_method {
            return Err(Raised);
        }
        let keys = self.base.dict_size() + 1 + self.known.len() as isize;
        self.is_whole = body_is_last && self.template.dict_size() == keys;
        if self.template.dict_size() != keys {
            // A key that comes twice, or one of the worker's own, which are the last to be set.
            self.template.dict_update(&self.base)?;
        }
        Ok(body)
    }
}

/// The request's body, if it is the next pair.
fn take_body<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Raised> {
    let pair = first_pair(rest).ok_or(Raised)?;
    match pair.value {
        Value::Bytes(body) if pair.key == b"wsgi.input" => {
            *rest = &rest[pair.bytes.len()..];
            Ok(Some(body))
        }
        _ => Ok(None),
    }
}
