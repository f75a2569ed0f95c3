"""Stead's WSGI worker: one file, no dependencies, Python 3.6 to 3.14.

    python stead_worker.py [--threads N] [--preload] package.module:attribute

It answers the edge's requests with a WSGI app (PEP 3333). What the two say to each other is in
docs/worker-protocol.md; names in capitals below are that document's.

Invariants:
- A request costs one `recv` and one `send` unless it is large or streamed.
- Whatever the app or the edge does, only that one request fails.
- Only modules that are part of the interpreter itself are imported before the app: a module of the
  app's own that is called `socket` or `signal` stays the app's.
"""

import io
import os
import sys
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM, set_wakeup_fd, signal
from _socket import AF_UNIX, SCM_RIGHTS, SHUT_RD, SOCK_STREAM, SOL_SOCKET, socket
from _struct import Struct
from _thread import allocate_lock, stack_size, start_new_thread
from marshal import loads
from select import POLLIN, poll
from time import monotonic, sleep

# Frames from the edge, and to it; the header is the payload's length with the kind in the high 8 bits.
REQUEST, REQUEST_STREAMED, BODY_IN, END_IN, ABORT_IN = 1, 2, 3, 4, 5
HEAD, BODY, END, FILE, ABORT = 1 << 24, 2 << 24, 3 << 24, 4 << 24, 5 << 24
LENGTH_MASK = 0xFFFFFF
HEADER_SIZE = 4
HEADER = Struct("<I")
FILE_FRAME = Struct("<IQQ")
END_FRAME = HEADER.pack(END)
ABORT_FRAME = HEADER.pack(ABORT)

# Bytes of one connection's receive buffer. A longer request gets a buffer of its own, once.
BUFFER_SIZE = 64 * 1024
# Pieces of a body from this size on go to the edge as a memory file, which it can `sendfile`.
LARGE_PIECE = 128 * 1024
# Bytes that `wsgi.file_wrapper` reads at a time where no descriptor can be passed.
BLOCK_SIZE = 64 * 1024
# A thread's stack; only the part that is used costs memory.
STACK_SIZE = 4 * 1024 * 1024
# An app that takes longer than this (in seconds) to end after its last byte gets the next
# PATIENCE responses ended only after it did, so that no visitor waits behind its clean-up.
SLOW_END = 0.01
PATIENCE = 100
# How long a thread that has just received a request has to say so before a drain looks for idle ones.
DRAIN_GRACE = 0.02
# Distinct header names and status lines that are remembered as valid.
REMEMBERED = 1024

EXIT_USAGE = 2
EXIT_APP = 3
FIRST_DESCRIPTOR = 3

HOP_BY_HOP = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "trailers", "transfer-encoding", "upgrade",
))
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# What a header name means to the worker.
ORDINARY, CONTENT_LENGTH, REFUSED = 1, 2, 3

header_names = {}
status_lines = {}
log_lock = allocate_lock()


class EdgeGone(ConnectionError):
    """The edge closed the connection; nobody waits for the response any more."""


class VisitorGone(ConnectionError):
    """The visitor left before the whole request body had come."""


class Malformed(Exception):
    """The edge sent something that the protocol does not know."""


class WSGIError(Exception):
    """The app broke a rule of PEP 3333."""


# --- The log -------------------------------------------------------------------------------


def log(text):
    """Write one line to stderr; a broken stderr must not break a request."""
    try:
        with log_lock:
            sys.stderr.write("stead: %s\n" % text)
            sys.stderr.flush()
    except BaseException:
        pass


def log_exception(text, error):
    """Write a line and the error's traceback, without the worker's own frames at its top."""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        with log_lock:
            sys.stderr.write("stead: %s\n" % text)
            sys.__excepthook__(type(error), error.with_traceback(trace), trace)
            sys.stderr.flush()
    except BaseException:
        log("%s (%s)" % (text, type(error).__name__))


# --- Heads ---------------------------------------------------------------------------------


def classify_name(name):
    """Say what a header name means, and remember it."""
    if not isinstance(name, str):
        raise WSGIError("header name %r is not a str" % (name,))
    if not name or not TOKEN.issuperset(name):
        raise WSGIError("header name %r is not a token" % name)
    lower = name.lower()
    kind = CONTENT_LENGTH if lower == "content-length" else ORDINARY
    if lower in HOP_BY_HOP:
        kind = REFUSED
        log("header %r dropped: it is the edge's to set (PEP 3333, hop-by-hop)" % name)
    if len(header_names) < REMEMBERED:
        header_names[name] = kind
    return kind


def has_body(status):
    """Check a status line, say whether its response may have a body, and remember that."""
    if not isinstance(status, str):
        raise WSGIError("status %r is not a str" % (status,))
    code = status[:3]
    if not code.isdigit() or not "200" <= code <= "999" or status[3:4] not in ("", " "):
        raise WSGIError("status %r is not like \"200 OK\"" % status)
    allowed = code not in ("204", "304")
    if len(status_lines) < REMEMBERED:
        status_lines[status] = allowed
    return allowed


def parse_length(value, before):
    """Read a Content-Length; a second one must agree with the first."""
    if not isinstance(value, str) or not value.isdigit() or len(value) > 18:
        raise WSGIError("Content-Length %r is not a number" % (value,))
    length = int(value)
    if before is not None and before != length:
        raise WSGIError("Content-Length is given twice, as %d and %d" % (before, length))
    return length


def explain_head(parts, error):
    """Make an error of a head that could not be encoded."""
    for part in parts:
        if not isinstance(part, str):
            return WSGIError("header value %r is not a str" % (part,))
        if any(char in part for char in "\r\n\0"):
            return WSGIError("%r in the response's head contains CR, LF or NUL" % part)
        try:
            part.encode("latin-1")
        except UnicodeEncodeError:
            return WSGIError("%r in the response's head is not latin-1" % part)
    return error


# --- Bodies of requests --------------------------------------------------------------------


class StreamedBody(io.RawIOBase):
    """`wsgi.input` of a request whose body comes in frames; a `BufferedReader` sits on top."""

    def __init__(self, exchange):
        self.exchange = exchange

    def readable(self):
        return True

    def readinto(self, target):
        if self.exchange is None:
            raise ValueError("the request is over: its body cannot be read any more")
        return self.exchange.read_body(target)


class FileWrapper(object):
    """`wsgi.file_wrapper`: as an iterable it reads blocks; returned to the worker as it is, a real
    file is passed to the edge as a descriptor."""

    def __init__(self, filelike, block_size=BLOCK_SIZE):
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.block_size)
        if data:
            return data
        raise StopIteration


def plain_file(filelike):
    """The binary file beneath `filelike` if its bytes are the file's own, else None: a GzipFile,
    too, has a `fileno`, but of other bytes."""
    tempfile = sys.modules.get("tempfile")
    if isinstance(filelike, getattr(tempfile, "_TemporaryFileWrapper", ())):
        filelike = filelike.file
    if type(getattr(filelike, "raw", filelike)) is io.FileIO and filelike.readable():
        if type(filelike) in (io.BufferedReader, io.BufferedRandom, io.FileIO):
            return filelike
    return None


# --- One connection ------------------------------------------------------------------------


class Exchange(object):
    """A connection from the edge, with the request and response that are on it. It is reused for
    every request of the connection: nothing but the `environ` is made anew."""

    __slots__ = (
        "worker", "connection", "send_some", "buffer", "view", "start", "end", "idle",
        "frame_left", "body_open", "gone", "environ",
        "head", "head_sent", "left", "bodyless", "ended", "head_request", "end_early_after",
    )

    def __init__(self, worker, connection):
        self.worker = worker
        self.connection = connection
        self.send_some = connection.send
        self.buffer = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        # What was received and not yet used is buffer[start:end].
        self.start = self.end = 0
        self.idle = True
        # Of a streamed body: bytes left of the current frame, whether more frames come, and
        # whether the visitor left.
        self.frame_left = 0
        self.body_open = False
        self.gone = False
        self.environ = None
        self.reset()

    def reset(self):
        # `head` is what start_response was given, encoded; `left` what Content-Length still wants.
        self.head = None
        self.head_sent = False
        self.left = None
        self.ended = False

    # Receiving

    def fill(self, size):
        """Have at least `size` bytes (at most a buffer's) at buffer[start:]."""
        if self.start + size > BUFFER_SIZE or self.start == self.end:
            kept = self.end - self.start
            self.buffer[:kept] = self.buffer[self.start:self.end]
            self.start, self.end = 0, kept
        while self.end - self.start < size:
            received = self.connection.recv_into(self.view[self.end:])
            if not received:
                raise EdgeGone("the edge closed the connection within a frame")
            self.end += received

    def take_header(self):
        """Take a frame's header off the connection; return its kind and its length."""
        self.fill(HEADER_SIZE)
        header = HEADER.unpack_from(self.buffer, self.start)[0]
        self.start += HEADER_SIZE
        return header >> 24, header & LENGTH_MASK

    def take_payload(self, length):
        """Take `length` bytes off the connection into a buffer that may be kept."""
        payload = bytearray(length)
        kept = min(length, self.end - self.start)
        payload[:kept] = self.view[self.start:self.start + kept]
        self.start += kept
        target = memoryview(payload)
        while kept < length:
            received = self.connection.recv_into(target[kept:])
            if not received:
                raise EdgeGone("the edge closed the connection within a frame")
            kept += received
        return payload

    def take_request(self, size):
        """Take a request that is not just one frame in one piece; `size` bytes were received."""
        self.end += size
        kind, length = self.take_header()
        if kind not in (REQUEST, REQUEST_STREAMED):
            raise Malformed("frame of kind %d where a request should begin" % kind)
        environ = loads(self.take_payload(length))
        if kind == REQUEST_STREAMED:
            self.frame_left, self.body_open, self.gone = 0, True, False
            environ["wsgi.input"] = io.BufferedReader(StreamedBody(self), BLOCK_SIZE)
        else:
            environ["wsgi.input"] = io.BytesIO(environ.get("wsgi.input", b""))
        return environ

    def next_body_frame(self):
        """Go to the next frame of the body that holds something, or to the body's end."""
        while self.body_open and not self.frame_left:
            kind, length = self.take_header()
            if kind == BODY_IN:
                self.frame_left = length
            elif kind in (END_IN, ABORT_IN) and not length:
                self.body_open = False
                self.gone = kind == ABORT_IN
            else:
                raise Malformed("frame of kind %d within a body" % kind)

    def read_body(self, target):
        """Read some of a streamed body into `target`; 0 at its end."""
        self.next_body_frame()
        if self.gone:
            raise VisitorGone("the visitor left before the whole request body had come")
        if not self.frame_left or not len(target):
            return 0
        size = min(len(target), self.frame_left)
        kept = self.end - self.start
        if kept:
            size = min(size, kept)
            target[:size] = self.view[self.start:self.start + size]
            self.start += size
        else:
            size = self.connection.recv_into(target, size)
            if not size:
                raise EdgeGone("the edge closed the connection within a body")
        self.frame_left -= size
        return size

    def drop_body(self):
        """Read and drop what the app left of a streamed body."""
        scrap = memoryview(bytearray(BLOCK_SIZE))
        try:
            while self.read_body(scrap):
                pass
        except VisitorGone:
            pass

    # Sending

    def send(self, data):
        """Send all of `data`."""
        try:
            sent = self.send_some(data)
            if sent != len(data):
                self.connection.sendall(memoryview(data)[sent:])
        except OSError as error:
            raise EdgeGone("the edge closed the connection within a response") from error

    def send_with_descriptor(self, data, descriptor):
        """Send all of `data`; `descriptor` comes along with its first byte."""
        rights = [(SOL_SOCKET, SCM_RIGHTS, DESCRIPTOR.pack(descriptor))]
        try:
            sent = self.connection.sendmsg([data], rights)
            if sent != len(data):
                self.connection.sendall(memoryview(data)[sent:])
        except OSError as error:
            raise EdgeGone("the edge closed the connection within a response") from error

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333's `start_response`. Raises at once what is wrong with the head."""
        if exc_info:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.head is not None:
            raise WSGIError("start_response was called a second time, without exc_info")
        bodied = status_lines.get(status)
        if bodied is None:
            bodied = has_body(status)
        parts = [status]
        length = None
        for name, value in headers:
            kind = header_names.get(name) or classify_name(name)
            if kind != ORDINARY:
                if kind == REFUSED:
                    continue
                length = parse_length(value, length)
            parts.append(name)
            parts.append(value)
        try:
            head = "\0".join(parts).encode("latin-1")
        except (TypeError, UnicodeEncodeError) as error:
            raise explain_head(parts, error) from None
        if b"\n" in head or b"\r" in head or head.count(b"\0") != len(parts) - 1:
            raise explain_head(parts, None)
        self.head = head
        self.left = length
        self.bodyless = self.head_request or not bodied
        return self.write

    def write(self, data):
        """The `write` callable that `start_response` returns."""
        self.send_piece(data)

    def take_head(self):
        """The frame of the head if it was not sent yet, else nothing."""
        if self.head_sent:
            return b""
        if self.head is None:
            raise WSGIError("the app gave no head: start_response was not called")
        self.head_sent = True
        return HEADER.pack(len(self.head) | HEAD) + self.head

    def send_piece(self, data, last=False):
        """Send a piece of the body at once, and the head before the first one. Returns False
        when there is no use for more. `last`: nothing follows it."""
        if not isinstance(data, bytes):
            raise WSGIError("a piece of the body is %s, not bytes" % type(data).__name__)
        if not data:
            return True
        if self.head is None:
            raise WSGIError("the app gave a body before it called start_response")
        if self.bodyless:
            return True
        if self.left is not None:
            if len(data) > self.left:
                log("%s: the body is longer than its Content-Length; the rest is dropped" % describe(self.environ))
                data = data[:self.left]
                if not data:
                    return False
            self.left -= len(data)
        end = b""
        if (last or self.left == 0) and self.worker.ends_early():
            self.ended = True
            end = END_FRAME
        self.send_data(data, end)
        return True

    def send_data(self, data, end):
        size = len(data)
        head = self.take_head()
        if size >= LARGE_PIECE and memory_file is not None:
            descriptor = memory_file(data)
            if descriptor is not None:
                try:
                    self.send_with_descriptor(head + FILE_FRAME.pack(FILE | 16, 0, size) + end, descriptor)
                finally:
                    os.close(descriptor)
                return
        if size <= LENGTH_MASK:
            self.send(b"".join((head, HEADER.pack(size | BODY), data, end)))
            return
        view = memoryview(data)
        for start in range(0, size, LENGTH_MASK):
            piece = view[start:start + LENGTH_MASK]
            self.send(b"".join((head, HEADER.pack(len(piece) | BODY), piece)))
            head = b""
        if end:
            self.send(end)

    def send_file(self, filelike):
        """Pass a real file's descriptor to the edge; False: it has to be read instead."""
        file = plain_file(filelike)
        if file is None or self.head is None:
            return False
        if isinstance(file, io.BufferedRandom):
            file.flush()
        descriptor = file.fileno()
        offset = file.tell()
        status = os.fstat(descriptor)
        size = status.st_size - offset
        if status.st_mode & 0o170000 != 0o100000 or size <= 0:
            return False
        if self.bodyless:
            return True
        if self.left is not None:
            size = min(size, self.left)
            self.left -= size
            if not size:
                return True
        self.send_with_descriptor(self.take_head() + FILE_FRAME.pack(FILE | 16, offset, size), descriptor)
        return True

    def finish(self):
        """End the response, unless it has ended early."""
        if self.ended:
            return
        if self.left and not self.bodyless:
            raise WSGIError("the body is %d bytes shorter than its Content-Length" % self.left)
        self.send(self.take_head() + END_FRAME)
        self.ended = True

    def respond(self, result):
        """Send what the app returned, whatever iterable it is, and close it."""
        try:
            if isinstance(result, (list, tuple)):
                self.send_piece(b"".join(result), True)
            elif isinstance(result, FileWrapper) and self.send_file(result.filelike):
                pass
            elif isinstance(result, (str, bytes)):
                raise WSGIError("the app returned %s, not an iterable of bytes" % type(result).__name__)
            else:
                for piece in result:
                    if not self.send_piece(piece):
                        break
        finally:
            started = monotonic()
            close = getattr(result, "close", None)
            if close is not None:
                close()
            if self.ended and monotonic() - started > SLOW_END:
                self.worker.patience = PATIENCE
        self.finish()

    def fail(self, error):
        """The app failed: say so in the log and to the edge."""
        if self.ended:
            outcome = "after its response was complete"
        elif self.head_sent:
            outcome = "within its response; the visitor's connection is cut"
        else:
            outcome = "; the visitor gets the 500 page"
        log_exception("%s failed %s" % (describe(self.environ), outcome), error)
        if not self.ended:
            self.ended = True
            self.send(ABORT_FRAME)


DESCRIPTOR = Struct("i")


def describe(environ):
    """A request's line for the log."""
    try:
        target = environ.get("REQUEST_URI") or environ.get("PATH_INFO") or "/"
        line = "%s %s" % (environ.get("REQUEST_METHOD"), target)
        return ascii(line)[1:-1]
    except Exception:
        return "request"


def create_memory_file(data):
    """A memory file with `data` in it, or None where the system has none to give."""
    try:
        descriptor = os.memfd_create("stead-body", os.MFD_CLOEXEC)
    except OSError:
        return None
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view):]
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


memory_file = create_memory_file if hasattr(os, "memfd_create") else None


class Worker(object):
    """The app and how it is served; one for the process."""

    def __init__(self, app, threads):
        self.app = app
        self.threads = threads
        self.draining = False
        self.patience = 0
        self.base = {
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": threads > 1,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
        }

    def ends_early(self):
        if self.patience:
            self.patience -= 1
            return False
        return True


def serve_requests(worker, exchange):
    """Answer the requests of one connection until the edge closes it or the worker drains."""
    app = worker.app
    update_from = worker.base
    connection = exchange.connection
    recv_into = connection.recv_into
    send = exchange.send
    buffer = exchange.buffer
    view = exchange.view
    start_response = exchange.start_response
    unpack = HEADER.unpack_from
    pack = HEADER.pack
    make_input = io.BytesIO
    while True:
        exchange.idle = True
        if worker.draining:
            connection.shutdown(SHUT_RD)
        if exchange.start == exchange.end:
            exchange.start = exchange.end = 0
            size = recv_into(buffer)
            if not size:
                return
        else:
            size = 0
        exchange.idle = False
        if size > HEADER_SIZE and unpack(buffer)[0] == size - HEADER_SIZE | REQUEST << 24:
            environ = loads(view[HEADER_SIZE:size])
            environ["wsgi.input"] = make_input(environ.get("wsgi.input", b""))
        else:
            environ = exchange.take_request(size)
        environ.update(update_from)
        exchange.environ = environ
        exchange.head = exchange.left = None
        exchange.head_sent = exchange.ended = False
        exchange.head_request = environ["REQUEST_METHOD"] == "HEAD"
        try:
            result = app(environ, start_response)
            head = exchange.head
            if (
                type(result) is list and len(result) == 1 and head is not None and not exchange.head_sent
                and type(result[0]) is bytes and 0 < len(result[0]) < LARGE_PIECE and not exchange.bodyless
                and (exchange.left is None or exchange.left == len(result[0]))
            ):
                body = result[0]
                send(b"".join((
                    pack(len(head) | HEAD), head, pack(len(body) | BODY), body, END_FRAME)))
            else:
                exchange.respond(result)
        except (EdgeGone, Malformed):
            raise
        except BaseException as error:
            exchange.fail(error)
        result = environ = exchange.environ = None
        if exchange.body_open:
            exchange.drop_body()


def serve_connection(worker, connection):
    exchange = Exchange(worker, connection)
    try:
        serve_requests(worker, exchange)
    except EdgeGone:
        pass
    except (OSError, Malformed, ValueError, EOFError, TypeError) as error:
        log("connection closed: %s" % error)
    finally:
        connection.close()


def load_app(entry):
    module_name, _, attribute = entry.partition(":")
    __import__(module_name)
    target = sys.modules[module_name]
    attribute = attribute or "application"
    call = attribute.endswith("()")
    for part in (attribute[:-2] if call else attribute).split("."):
        target = getattr(target, part)
    return target() if call else target


def main():
    threads = 1
    entry = None
    arguments = sys.argv[1:]
    while arguments:
        argument = arguments.pop(0)
        if argument == "--threads":
            threads = int(arguments.pop(0))
        else:
            entry = argument
    sys.argv[:] = [entry]
    sys.path[0] = os.getcwd()
    listener = socket(AF_UNIX, SOCK_STREAM, 0, FIRST_DESCRIPTOR)
    app = load_app(entry)
    worker = Worker(app, threads)
    if threads == 1:
        while True:
            descriptor, _ = listener._accept()
            serve_connection(worker, socket(AF_UNIX, SOCK_STREAM, 0, descriptor))
    while True:
        descriptor, _ = listener._accept()
        start_new_thread(serve_connection, (worker, socket(AF_UNIX, SOCK_STREAM, 0, descriptor)))


if __name__ == "__main__":
    main()
