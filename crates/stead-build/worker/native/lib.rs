//! The native part of Stead's WSGI worker, for CPython on Linux: what `serve_requests` of the worker does for an ordinary request, in
//! machine code. It runs in an instance, within Python's own process; without any dependency but the standard library.
//!
//! An ordinary request comes whole, and its response is one short `bytes`, in a list or from an iterable. Whatever else comes up, the worker's Python
//! does, which remains the one definition of how it is done: this only knows how to do the same for the common case, and when to leave it.
//!
//! ```text
//! mailbox ─► message ─► Environs ─► app ─► start_response ─► Message ─► connection
//!                │                   │             │             │
//!                └─ not ordinary ────┴─────────────┴─────────────┴─► Exchange, in Python
//! ```
//!
//! A response that Python takes over is first told to its `Exchange` ([`Connection::hand_over`]); between two requests that is as it was made.

#![deny(unsafe_op_in_unsafe_fn)]

mod environ;
mod pairs;
mod python;
mod response;
mod system;

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

use environ::Environs;
use python::{METH_FASTCALL, METH_KEYWORDS, METH_O, METH_VARARGS, Method, Object, Raised, Raw};
use response::{Known, Message};

const HEADER: usize = 4;
/// The kind of a request that comes whole.
const REQUEST: u32 = 1 << 24;
/// The message that says that a request comes over the connection.
const ON_CONNECTION: [u8; HEADER] = (6_u32 << 24).to_le_bytes();
/// How long an app may go on after its last byte, and for how many responses END waits for it after one that took longer:
/// SLOW_END and PATIENCE of the worker.
const SLOW_END: Duration = Duration::from_millis(10);
const PATIENCE: i64 = 100;
/// A longer one, bytes, is received by Python. The edge makes none.
const LONGEST_REQUEST: usize = 1 << 20;
/// Memory for such requests that a thread keeps, bytes.
const KEPT: usize = 128 * 1024;

/// A connection from the edge, and the request and the response that are on it.
struct Connection {
    exchange: Object,
    worker: Object,
    file_wrapper: Object,
    app: Object,
    /// What does in Python what is not done here: takes the size of the message in the buffer, or 0: then it is
    /// the header of a frame whose payload is still to come over the connection.
    answer: Object,
    /// The class of the errors after which nothing can be said any more.
    edge_gone: Object,
    known: Known,
    names: Names,
    /// Python's own `start_response` and `write`.
    slow_start_response: Object,
    slow_write: Object,
    current: RefCell<Current>,
}

/// What changes with each request. Borrowed only for as long as no Python code can run.
#[derive(Default)]
struct Current {
    environ: Option<Object>,
    is_head: bool,
    message: Message,
    /// When all of the response was sent, if that was before the app was done with it.
    ended: Option<Instant>,
    /// Python's Exchange knows all of this, and goes on with it.
    handed_over: bool,
    /// What an app gets for writing. It refers to this connection, so it goes when the connection does.
    write: Option<Object>,
}

/// Names of the attributes of an Exchange.
struct Names {
    environ: Object,
    head: Object,
    head_sent: Object,
    head_request: Object,
    bodiless: Object,
    left: Object,
    ended: Object,
    patience: Object,
}

impl Connection {
    /// Of the arguments of `serve`.
    fn new(arguments: &Object) -> Result<(Self, Environs), Raised> {
        let argument = |at| arguments.tuple_item(at).ok_or(Raised);
        let exchange = argument(0)?;
        let connection = Self {
            worker: exchange.attribute(c"worker")?,
            file_wrapper: argument(2)?
                .dict_get(&Object::name(c"wsgi.file_wrapper")?)
                .ok_or(Raised)?,
            app: argument(1)?,
            answer: argument(3)?,
            edge_gone: argument(4)?,
            known: Known {
                status_lines: argument(5)?,
                header_names: argument(6)?,
            },
            names: Names {
                environ: Object::name(c"environ")?,
                head: Object::name(c"head")?,
                head_sent: Object::name(c"head_sent")?,
                head_request: Object::name(c"head_request")?,
                bodiless: Object::name(c"bodiless")?,
                left: Object::name(c"left")?,
                ended: Object::name(c"ended")?,
                patience: Object::name(c"patience")?,
            },
            slow_start_response: exchange.attribute(c"start_response")?,
            slow_write: exchange.attribute(c"write")?,
            current: RefCell::default(),
            exchange,
        };
        Ok((connection, Environs::new(argument(2)?, argument(7)?)?))
    }

    /// Have the Exchange go on with the response.
    fn hand_over(&self) -> Result<(), Raised> {
        let (values, environ) = {
            let mut current = self.current.borrow_mut();
            if current.handed_over {
                return Ok(());
            }
            current.handed_over = true;
            let head = current.message.head().map(Object::bytes).transpose()?;
            let length = current.message.length;
            let left = length
                .map(|length| if current.ended.is_some() { 0 } else { length })
                .map(|length| Object::number(length as i64))
                .transpose()?;
            let bodiless = current.is_head || !current.message.may_have_body;
            let head = head.map(|head| {
                (
                    head,
                    left.unwrap_or_else(Object::none),
                    Object::truth(bodiless),
                )
            });
            (
                (head, Object::truth(current.is_head)),
                current.environ.clone(),
            )
        };
        let (head, is_head) = values;
        self.exchange
            .set_attribute(&self.names.environ, &environ.unwrap_or_else(Object::none))?;
        self.exchange
            .set_attribute(&self.names.head_request, &is_head)?;
        if self.current.borrow().ended.is_some() {
            self.exchange
                .set_attribute(&self.names.head_sent, &Object::truth(true))?;
            self.exchange
                .set_attribute(&self.names.ended, &Object::truth(true))?;
        }
        if let Some((head, left, bodiless)) = head {
            self.exchange.set_attribute(&self.names.left, &left)?;
            self.exchange
                .set_attribute(&self.names.bodiless, &bodiless)?;
            self.exchange.set_attribute(&self.names.head, &head)?;
        }
        Ok(())
    }

    /// Have the Exchange be as it was made, after Python has used it.
    fn renew(&self) -> Result<(), Raised> {
        let (none, no) = (Object::none(), Object::truth(false));
        self.exchange.set_attribute(&self.names.head, &none)?;
        self.exchange.set_attribute(&self.names.head_sent, &no)?;
        self.exchange.set_attribute(&self.names.ended, &no)?;
        self.exchange.set_attribute(&self.names.environ, &none)
    }

    /// `start_response`, if it is called as usual. `None`: it is not, and nothing was done.
    fn start_response(&self, status: &Object, headers: &Object) -> Option<Object> {
        let mut current = self.current.borrow_mut();
        // A second call, or one after its request.
        if current.handed_over || current.environ.is_none() || current.message.head().is_some() {
            return None;
        }
        let write = current.write.clone()?;
        current
            .message
            .begin(status, headers, &self.known)
            .then_some(write)
    }

    /// Send what the app returned, and close it.
    fn respond(&self, descriptor: c_int, result: &Object) -> Result<(), Raised> {
        if result.list_size() == Some(1)
            && let Some(piece) = result.list_item(0)
            && self.send_whole(descriptor, &piece)?
        {
            return Ok(());
        }
        let ends_early = {
            let current = self.current.borrow();
            !current.handed_over
                && current.message.head().is_some()
                && current.message.length.is_some()
        };
        if ends_early
            && !result.is_sequence()
            && !result.is_of(&self.file_wrapper)
            && self.worker.attribute(c"patience")?.as_number() == 0
        {
            return self.respond_piece_by_piece(descriptor, result);
        }
        self.hand_over()?;
        self.exchange.attribute(c"respond")?.call_with(result)?;
        Ok(())
    }

    /// Send the response at once, if `piece` is all of its body and short. False: nothing was done.
    fn send_whole(&self, descriptor: c_int, piece: &Object) -> Result<bool, Raised> {
        let rest = {
            let mut current = self.current.borrow_mut();
            if current.handed_over || current.is_head || current.ended.is_some() {
                return Ok(false);
            }
            let Some(message) = piece
                .as_bytes()
                .and_then(|body| current.message.complete(body))
            else {
                return Ok(false);
            };
            match system::send_now(descriptor, message) {
                sent if sent == message.len() => return Ok(true),
                sent => Object::bytes(&message[sent..])?,
            }
        };
        // It has to be waited for, or the edge is gone.
        self.exchange.attribute(c"send")?.call_with(&rest)?;
        Ok(true)
    }

    /// Send what an iterable gives, of a response whose Content-Length is known: it ends with its last byte, before the app has
    /// cleaned up. Then close the iterable, whatever has happened.
    fn respond_piece_by_piece(&self, descriptor: c_int, result: &Object) -> Result<(), Raised> {
        let sent = self
            .send_pieces(descriptor, result)
            .map_err(|Raised| python::take_raised());
        let closed = self.close(result).map_err(|Raised| python::take_raised());
        if sent.is_ok() && self.current.borrow().handed_over {
            // The body was complete, even if the app then failed to clean up.
            if self.exchange.attribute(c"ended")?.as_truth() == Some(false) {
                self.exchange.attribute(c"finish")?.call()?;
            }
        }
        // What was raised last counts.
        closed
            .and(sent)
            .map_err(|error| error.map_or(Raised, |error| error.raise()))
    }

    fn close(&self, result: &Object) -> Result<(), Raised> {
        let ended = {
            let current = self.current.borrow();
            current.ended.filter(|_| !current.handed_over)
        };
        let Some(ended) = ended else {
            self.hand_over()?;
            return self
                .exchange
                .attribute(c"close_body")?
                .call_with(result)
                .map(drop);
        };
        let closed = match result.method(c"close")? {
            Some(close) => close.call().map_err(|Raised| python::take_raised()),
            None => return Ok(()),
        };
        if ended.elapsed() > SLOW_END {
            self.worker
                .set_attribute(&self.names.patience, &Object::number(PATIENCE)?)?;
        }
        closed
            .map(drop)
            .map_err(|error| error.map_or(Raised, |error| error.raise()))
    }

    fn send_pieces(&self, descriptor: c_int, result: &Object) -> Result<(), Raised> {
        let pieces = result.iterator()?;
        while let Some(piece) = pieces.next()? {
            if self.send_whole(descriptor, &piece)? {
                self.current.borrow_mut().ended = Some(Instant::now());
                continue;
            }
            self.hand_over()?;
            if self
                .exchange
                .attribute(c"send_piece")?
                .call_with(&piece)?
                .as_truth()
                == Some(false)
            {
                break;
            }
        }
        Ok(())
    }

    /// Answer one request.
    fn serve(
        &self,
        descriptor: c_int,
        request: environ::Request,
        start_response: &Object,
    ) -> Result<(), Raised> {
        let environ = request.environ;
        {
            let mut current = self.current.borrow_mut();
            current.environ = Some(environ.clone());
            current.is_head = request.is_head;
            current.handed_over = false;
            current.ended = None;
            current.message.clear();
        }
        let result = self.app.call_with_two(&environ, start_response);
        drop(environ);
        // What the app returned goes only after the response did, as in Python.
        let (outcome, result) = match result {
            Ok(result) => (self.respond(descriptor, &result), Some(result)),
            Err(raised) => (Err(raised), None),
        };
        if outcome.is_err() {
            if python::raised_is(&self.edge_gone) {
                return Err(Raised);
            }
            let error = python::take_raised().ok_or(Raised)?;
            self.hand_over()?;
            self.exchange.attribute(c"fail")?.call_with(&error)?;
        }
        drop(result);
        let (environ, handed_over) = {
            let mut current = self.current.borrow_mut();
            (current.environ.take(), current.handed_over)
        };
        drop(environ);
        if handed_over { self.renew() } else { Ok(()) }
    }

    /// Answer the requests that come until no more do.
    fn serve_all(&self, environs: &mut Environs, start_response: &Object) -> Result<(), Raised> {
        let buffer = self.exchange.attribute(c"buffer")?;
        let mailbox = number(&self.exchange.attribute(c"mailbox")?)?;
        let descriptor = number(&self.exchange.attribute(c"connection")?)?;
        let (start, size) = buffer.buffer();
        let receive = || {
            loop {
                let address = start as usize;
                // SAFETY: the buffer's memory stays what it is, since the Exchange has a view of it, and only this thread uses it.
                match python::without_lock(|| unsafe {
                    system::receive(mailbox, address as *mut u8, size)
                }) {
                    Ok(received) => return Ok(received),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                        python::check_signals()?
                    }
                    Err(_) => return Err(python::raise_lost()),
                }
            }
        };
        let mut large = Vec::new();
        loop {
            // The end is read twice: a message that came just before it may have been overlooked.
            let received = match receive()? {
                0 => receive()?,
                received => received,
            };
            if received == 0 {
                return Ok(());
            }
            // SAFETY: so much of the buffer was written just now, and nothing writes to it until the next message.
            let message = unsafe { std::slice::from_raw_parts(start, received) };
            let mut size = received;
            let request = if message == ON_CONNECTION && self.has_nothing_ahead()? {
                match receive_request(descriptor, &mut large)? {
                    Ok(payload) => Some(
                        environs
                            .make(payload)
                            .ok_or_else(python::raise_not_a_request)?,
                    ),
                    Err(header) => {
                        // SAFETY: the buffer has room for a message, and `message` is not used any more.
                        unsafe { start.copy_from_nonoverlapping(header.as_ptr(), HEADER) };
                        size = 0;
                        None
                    }
                }
            } else {
                whole_request(message).and_then(|payload| environs.make(payload))
            };
            if large.len() > KEPT {
                large = Vec::new();
            }
            match request {
                Some(request) => self.serve(descriptor, request, start_response)?,
                None => {
                    self.answer.call_with(&Object::number(size as i64)?)?;
                    self.renew()?;
                }
            }
        }
    }

    /// Python has received nothing over the connection that it has not used.
    fn has_nothing_ahead(&self) -> Result<bool, Raised> {
        let (start, end) = (
            self.exchange.attribute(c"start")?,
            self.exchange.attribute(c"end")?,
        );
        Ok(start.as_number() == end.as_number())
    }
}

/// Receive a request over the connection: its payload, or the header of a frame that is for Python.
fn receive_request(
    socket: c_int,
    memory: &mut Vec<u8>,
) -> Result<Result<&[u8], [u8; HEADER]>, Raised> {
    let received = python::without_lock(|| {
        let mut header = [0; HEADER];
        system::receive_all(socket, &mut header)?;
        let length = (u32::from_le_bytes(header) ^ REQUEST) as usize;
        if length > LONGEST_REQUEST {
            return Ok(Err(header));
        }
        if memory.len() < length {
            memory.resize(length, 0);
        }
        let payload = &mut memory[..length];
        system::receive_all(socket, payload)?;
        Ok(Ok(&*payload))
    });
    received.map_err(|_: std::io::Error| python::raise_lost())
}

/// A socket's descriptor.
fn number(socket: &Object) -> Result<c_int, Raised> {
    let number = socket.attribute(c"fileno")?.call()?.as_number();
    c_int::try_from(number).map_err(|_| Raised)
}

/// The payload of a request that comes whole, and ends with the message.
fn whole_request(message: &[u8]) -> Option<&[u8]> {
    let (header, payload) = message.split_first_chunk::<HEADER>()?;
    let is_whole = u32::from_le_bytes(*header) as usize == REQUEST as usize + payload.len();
    (is_whole && !payload.is_empty()).then_some(payload)
}

/// `serve(exchange, app, environ, answer, EdgeGone, status_lines, header_names, BytesIO)`: serve a connection to its end.
unsafe extern "C" fn serve(_own: *mut Raw, arguments: *mut Raw) -> *mut Raw {
    // SAFETY: Python passes a tuple.
    let Some(arguments) = (unsafe { Object::borrowed(arguments) }) else {
        return std::ptr::null_mut();
    };
    finish(serve_connection(&arguments).map(|()| Object::none()))
}

fn serve_connection(arguments: &Object) -> Result<(), Raised> {
    let (connection, mut environs) = Connection::new(arguments)?;
    let capsule = python::capsule(Box::new(connection))?;
    // SAFETY: it is the capsule from the line above, which lives until this returns.
    let connection = unsafe { &*python::content::<Connection>(capsule.as_raw()) };
    let start_response = Object::function(start_response_method(), &capsule)?;
    connection.current.borrow_mut().write = Some(Object::function(&WRITE, &capsule)?);
    let served = connection.serve_all(&mut environs, &start_response);
    let (write, environ) = {
        let mut current = connection.current.borrow_mut();
        (current.write.take(), current.environ.take())
    };
    drop((write, environ));
    served
}

/// The connection of one of its functions.
///
/// # Safety
/// `own` is what such a function was bound to; the connection lives for as long as that.
unsafe fn connection_of<'a>(own: *mut Raw) -> Option<&'a Connection> {
    // SAFETY: as the caller says, a capsule of a connection.
    unsafe { python::content::<Connection>(own).as_ref() }
}

fn finish(result: Result<Object, Raised>) -> *mut Raw {
    result.map_or(std::ptr::null_mut(), Object::into_raw)
}

/// `start_response`, called with an array of arguments.
unsafe extern "C" fn start_response(
    own: *mut Raw,
    arguments: *const *mut Raw,
    count: isize,
    keywords: *mut Raw,
) -> *mut Raw {
    // SAFETY: Python passes what the function was bound to.
    let Some(connection) = (unsafe { connection_of(own) }) else {
        return std::ptr::null_mut();
    };
    // SAFETY: Python passes so many arguments, then those that have names.
    let argument = |at: usize| unsafe { Object::borrowed(*arguments.add(at)) };
    if keywords.is_null()
        && count == 2
        && let (Some(status), Some(headers)) = (argument(0), argument(1))
        && let Some(write) = connection.start_response(&status, &headers)
    {
        return write.into_raw();
    }
    // SAFETY: a tuple or null.
    let names = unsafe { Object::borrowed(keywords) };
    let named = names.as_ref().and_then(Object::tuple_size).unwrap_or(0);
    let mut arguments: Vec<_> = (0..count as usize + named).filter_map(argument).collect();
    let start_slowly = || {
        let keywords = Object::dict()?;
        if let Some(names) = names {
            let values = arguments.split_off(count as usize);
            for (at, value) in values.iter().enumerate() {
                keywords.dict_set(&names.tuple_item(at).ok_or(Raised)?, value)?;
            }
        }
        start_in_python(connection, &Object::tuple(arguments)?, Some(&keywords))
    };
    finish(start_slowly())
}

/// `start_response` as Python 3.6 calls it.
unsafe extern "C" fn start_response_36(
    own: *mut Raw,
    arguments: *mut Raw,
    keywords: *mut Raw,
) -> *mut Raw {
    // SAFETY: Python passes what the function was bound to, a tuple, and a dict or null.
    let (connection, arguments, keywords) = unsafe {
        (
            connection_of(own),
            Object::borrowed(arguments),
            Object::borrowed(keywords),
        )
    };
    let (Some(connection), Some(arguments)) = (connection, arguments) else {
        return std::ptr::null_mut();
    };
    if keywords.is_none()
        && arguments.tuple_size() == Some(2)
        && let (Some(status), Some(headers)) = (arguments.tuple_item(0), arguments.tuple_item(1))
        && let Some(write) = connection.start_response(&status, &headers)
    {
        return write.into_raw();
    }
    finish(start_in_python(connection, &arguments, keywords.as_ref()))
}

/// Have Python's own start_response see to it.
fn start_in_python(
    connection: &Connection,
    arguments: &Object,
    keywords: Option<&Object>,
) -> Result<Object, Raised> {
    connection.hand_over()?;
    connection.slow_start_response.call_as(arguments, keywords)
}

/// What `start_response` returns.
unsafe extern "C" fn write(own: *mut Raw, data: *mut Raw) -> *mut Raw {
    // SAFETY: Python passes what the function was bound to, and one argument.
    let (connection, data) = unsafe { (connection_of(own), Object::borrowed(data)) };
    let (Some(connection), Some(data)) = (connection, data) else {
        return std::ptr::null_mut();
    };
    finish(
        connection
            .hand_over()
            .and_then(|()| connection.slow_write.call_with(&data)),
    )
}

const fn method(name: &'static std::ffi::CStr, function: *const c_void, flags: c_int) -> Method {
    Method {
        name: name.as_ptr(),
        function,
        flags,
        documentation: std::ptr::null(),
    }
}

static METHODS: [Method; 2] = [
    method(c"serve", serve as *const c_void, METH_VARARGS),
    Method::END,
];
static WRITE: Method = method(c"write", write as *const c_void, METH_O);
static START_RESPONSE: Method = method(
    c"start_response",
    start_response as *const c_void,
    METH_FASTCALL | METH_KEYWORDS,
);
static START_RESPONSE_36: Method = method(
    c"start_response",
    start_response_36 as *const c_void,
    METH_VARARGS | METH_KEYWORDS,
);

/// In Python 3.6 a function with an array of arguments is called otherwise.
fn start_response_method() -> &'static Method {
    if python::minor_version() < 7 {
        &START_RESPONSE_36
    } else {
        &START_RESPONSE
    }
}

/// What Python looks for in a library that it loads.
#[unsafe(no_mangle)]
extern "C" fn PyInit_stead_native() -> *mut Raw {
    python::module(c"stead_native", &METHODS)
}
