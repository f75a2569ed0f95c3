"""Stead's WSGI worker: one file, no dependencies, Python 3.6 to 3.14. Beside it there may be a native part.

    python stead_worker.py [--threads N] [--preload] package.module:attribute

It has a WSGI app (PEP 3333) answer the edge's requests. What the two say to each other, and how the
agent starts a worker, is in docs/worker-protocol.md; the names of frames are that document's.

Invariants:
- A request costs one `recv` and one `send`, unless it is large or streamed.
- Whatever the app or the edge does, only that request or that connection fails.
- Before the app, nothing is imported but what is compiled into Python: a `socket.py` or `signal.py`
  of the app's own stays the app's, and an idle worker is hardly larger than a bare interpreter.
- Threads are those of `_thread` and sockets those of `_socket`, so that an app may monkey-patch.
"""

import io
import os
import sys
from _signal import SIG_BLOCK, SIG_DFL, SIG_IGN, SIG_UNBLOCK, SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM
from _signal import pthread_sigmask, set_wakeup_fd, signal
from _socket import (
    AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SHUT_RD, SHUT_RDWR, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET,
    socket)
from _struct import Struct
from _thread import _count, allocate_lock, stack_size, start_new_thread
from marshal import loads
from select import POLLIN, poll
from time import monotonic, sleep

# Kinds of frames from the edge.
REQUEST, REQUEST_STREAMED, BODY_OF_REQUEST, END_OF_REQUEST, ABORT_OF_REQUEST, ON_CONNECTION = range(1, 7)
MEMORY_READ = 7  # Or 8, MEMORY_UNREADABLE.
# Kinds of frames to the edge, where they are in a frame's header: above the payload's length.
HEAD, BODY, END, FILE, ABORT, HINTS, MEMORY = 1 << 24, 2 << 24, 3 << 24, 4 << 24, 5 << 24, 6 << 24, 7 << 24
LENGTH_BITS = 24
LONGEST_PAYLOAD = (1 << LENGTH_BITS) - 1
HEADER = Struct("<I")
HEADER_SIZE = HEADER.size
END_FRAME = HEADER.pack(END)
ABORT_FRAME = HEADER.pack(ABORT)
FILE_FRAME = Struct("<IQQ")
FILE_HEADER = FILE | FILE_FRAME.size - HEADER_SIZE
MEMORY_FRAME = Struct("<IQQB")
MEMORY_HEADER = MEMORY | MEMORY_FRAME.size - HEADER_SIZE
DESCRIPTOR = Struct("i")
READS_MEMORY = b"\1"  # Comes with the mailbox.
# From a `bytes` to its first byte; its type counts the NUL behind the last, too.
BYTES_OFFSET = bytes.__basicsize__ - 1

# Bytes that a mailbox or a connection gives at a time. A request that is too long for a mailbox comes
# over the connection and gets memory of its own.
BUFFER_SIZE = 64 * 1024
# A piece of a body from this size on is sent from where it is instead of copied behind its head.
# (As a memory file, which the edge could `sendfile`, 1 MB costs the two of them twice as much.)
LARGE_PIECE = 32 * 1024
# One from this size on is read by the edge from where it is: for a smaller one waiting for that costs more.
MEMORY_PIECE = 128 * 1024
# Bytes that `wsgi.file_wrapper` reads at a time where the edge cannot read the file itself.
BLOCK_SIZE = 64 * 1024
# A thread's stack. Only what is used of it costs memory.
STACK_SIZE = 4 * 1024 * 1024
# If an app goes on for SLOW_END seconds after its last byte, the next PATIENCE responses are
# ended only when the app has, so that no visitor waits behind its cleaning up.
SLOW_END = 0.01
PATIENCE = 100
# Milliseconds in which a connection must bring its mailbox: the edge sends it first of all.
MAILBOX_PATIENCE = 3000
WAKE_SIZE = 4096  # Bytes read from a wake pipe or from the agent at a time.
REMEMBERED = 1000  # Distinct status lines and header names that are known to be valid.

NATIVE = "stead_native.so"
FIRST_DESCRIPTOR = 3
PR_SET_PDEATHSIG = 1
# Of `st_mode`; the module `stat` has them under less plain names.
FILE_TYPE_BITS, REGULAR_FILE, SOCKET = 0o170000, 0o100000, 0o140000
EXIT_USAGE = 2
EXIT_NO_APP = 3

# What a header name means here, as remembered in `header_names`.
ORDINARY, CONTENT_LENGTH, HOP_BY_HOP = 1, 2, 3
HOP_BY_HOP_NAMES = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "trailer", "trailers", "transfer-encoding", "upgrade"))
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
BODILESS_CODES = ("204", "304")
NUL, LF, CR = 0, 10, 13

RESPONSE_LOST = "the edge closed the connection within a response"

header_names = {}
# Status line → whether a response with it may have a body.
status_lines = {}
log_lock = allocate_lock()


class EdgeGone(ConnectionError):
    """The edge closed the connection: nobody waits for the response any more."""

    __module__ = "stead"


class VisitorGone(ConnectionError):
    """The visitor left before the whole request body had come."""

    __module__ = "stead"


class WSGIError(Exception):
    """The app broke a rule of PEP 3333."""

    __module__ = "stead"


# --- The log -------------------------------------------------------------------------------


def log(text):
    """Write a line to stderr. A broken stderr breaks nothing else."""
    try:
        with log_lock:
            sys.stderr.write("stead: %s\n" % text)
            sys.stderr.flush()
    except BaseException:
        pass


def log_exception(text, error):
    """Write a line, and the error's traceback from the app's first frame on."""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == log.__code__.co_filename:
            trace = trace.tb_next
        with log_lock:
            sys.stderr.write("stead: %s\n" % text)
            sys.__excepthook__(type(error), error.with_traceback(trace), trace)
            sys.stderr.flush()
    except BaseException:
        log("%s (%s)" % (text, type(error).__name__))


def describe(environ):
    """A request's method and target, safe to print."""
    try:
        target = environ.get("REQUEST_URI") or environ.get("PATH_INFO") or "/"
        return ascii("%s %s" % (environ.get("REQUEST_METHOD"), target))[1:-1]
    except Exception:
        return "a request"


# --- Heads of responses --------------------------------------------------------------------


def check_status(status):
    """Say whether a response with this status line may have a body. Raises WSGIError."""
    if not isinstance(status, str):
        raise WSGIError("status %r is not a str" % (status,))
    code = status[:3]
    if code < "200" or code > "599" or not code.isdigit() or status[3:4] not in ("", " "):
        raise WSGIError("status %r is not like '200 OK', from 200 to 599" % status)
    if len(status_lines) < REMEMBERED:
        status_lines[status] = code not in BODILESS_CODES
    return code not in BODILESS_CODES


def check_name(name):
    """Say what a header name means. Raises WSGIError."""
    if not isinstance(name, str) or not name or not TOKEN.issuperset(name):
        raise WSGIError("header name %r is not a str of letters, digits and dashes" % (name,))
    kind = ORDINARY
    if name.lower() == "content-length":
        kind = CONTENT_LENGTH
    elif name.lower() in HOP_BY_HOP_NAMES:
        kind = HOP_BY_HOP
        log("header `%s` is dropped: it concerns a connection, and those are the edge's (PEP 3333)" % name)
    if len(header_names) < REMEMBERED:
        header_names[name] = kind
    return kind


def parse_length(value, before):
    """Read a Content-Length; if there was one before, they must agree. Raises WSGIError."""
    if not isinstance(value, str) or not value.isdigit() or len(value) > 18:
        raise WSGIError("Content-Length %r is not a str of digits" % (value,))
    if before not in (None, int(value)):
        raise WSGIError("Content-Length is both %d and %s" % (before, value))
    return int(value)


def explain_head(parts):
    """What is wrong with a head that cannot be sent."""
    for part in parts:
        if not isinstance(part, str):
            return WSGIError("header value %r is not a str" % (part,))
        if any(ord(character) > 255 or character in "\r\n\0" for character in part):
            return WSGIError("%r cannot be in a head: it has a line end, a NUL or a character beyond latin-1" % part)
    return WSGIError("the head cannot be sent")


# --- Files ---------------------------------------------------------------------------------


class FileWrapper(object):
    """`wsgi.file_wrapper`. Anybody can iterate over it; if the worker itself gets it, the edge is
    given the file's descriptor instead."""

    def __init__(self, filelike, block_size=BLOCK_SIZE):
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data


def find_file(filelike):
    """The descriptor, offset and length of the bytes that `filelike` would give, if they are the
    rest of a regular file; else None. A GzipFile, too, has a descriptor, but gives other bytes."""
    if type(filelike) is getattr(sys.modules.get("tempfile"), "_TemporaryFileWrapper", None):
        filelike = filelike.file
    if type(filelike) not in (io.BufferedReader, io.BufferedRandom, io.FileIO):
        return None
    if type(getattr(filelike, "raw", filelike)) is not io.FileIO or not filelike.readable():
        return None
    if type(filelike) is io.BufferedRandom:
        filelike.flush()
    descriptor = filelike.fileno()
    status = os.fstat(descriptor)
    if status.st_mode & FILE_TYPE_BITS != REGULAR_FILE:
        return None
    offset = filelike.tell()
    # A file of the kernel's, as in /proc, has a size of 0 and content nevertheless.
    return (descriptor, offset, status.st_size - offset) if status.st_size > offset else None


# --- One connection ------------------------------------------------------------------------


class StreamedBody(io.RawIOBase):
    """The body of a request in frames; a BufferedReader on top makes it `wsgi.input`."""

    def __init__(self, exchange):
        # None once the request is over: the frames that follow are another visitor's.
        self.exchange = exchange

    def readable(self):
        return True

    def readinto(self, target):
        if self.exchange is None:
            raise ValueError("the body cannot be read any more: its request is over")
        return self.exchange.read_body(target)


class Exchange(object):
    """A connection from the edge, with the request and the response that are on it. It serves one
    request after the other, so that nothing needs to be made for each."""

    __slots__ = (
        "worker", "connection", "mailbox", "buffer", "view", "ahead", "start", "end", "environ",
        "stream", "frame_left", "body_ended", "visitor_gone", "reads_memory",
        "head", "head_sent", "head_request", "bodiless", "left", "ended", "ended_at", "write")

    def __init__(self, worker, connection):
        self.worker = worker
        self.connection = connection
        # Where requests come in, each a message, so that the edge can take back what was not read.
        self.mailbox = None
        self.buffer = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        # What the connection has given beyond what was used yet: ahead[start:end]. Not in the mailbox's
        # buffer: the next request may begin right behind a body, before its message is read.
        self.ahead = None
        self.start = self.end = 0
        self.environ = None
        # Of a streamed body: its raw stream, what is left of the current frame, and how it ended.
        self.stream = None
        self.frame_left = 0
        self.body_ended = self.visitor_gone = False
        # The edge may read from this process's memory.
        self.reads_memory = False
        # What start_response made of its arguments, encoded, and whether the edge has it.
        self.head = None
        self.head_sent = False
        self.head_request = self.bodiless = False
        # What Content-Length still asks for, if there is one.
        self.left = None
        # Whether END or ABORT was sent, and when if that was early.
        self.ended = False
        self.ended_at = None
        self.write = self.send_piece

    # Receiving.

    def stop_receiving(self):
        """Let the mailbox end after what the edge has already put in; what it puts in now fails there.
        A mailbox that is on its way is left to the thread that waits for it."""
        try:
            if self.mailbox is not None:
                self.mailbox.shutdown(SHUT_RD)
            elif not self.has_received(0):
                self.connection.shutdown(SHUT_RD)
        except (OSError, ValueError):
            # It was closed meanwhile.
            pass

    def has_received(self, patience):
        """Wait for so many milliseconds until there is something to receive, or the end."""
        ready = poll()
        ready.register(self.connection, POLLIN)
        return bool(ready.poll(patience))

    def receive_mailbox(self):
        """Take the mailbox, the first thing that comes over a connection. False: none came."""
        if not self.has_received(MAILBOX_PATIENCE):
            return False
        # A drain finds the mailbox either in the connection or here.
        with self.worker.mailbox_lock:
            data, ancillary, _, _ = self.connection.recvmsg(1, CMSG_SPACE(DESCRIPTOR.size), MSG_CMSG_CLOEXEC)
            for level, kind, content in ancillary:
                if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                    for descriptor, in DESCRIPTOR.iter_unpack(content):
                        self.take_mailbox(descriptor)
        if data and self.mailbox is None:
            raise ValueError("a connection without a mailbox")
        self.reads_memory = data == READS_MEMORY and sys.implementation.name == "cpython"
        return bool(data)

    def take_mailbox(self, descriptor):
        """Make a descriptor the mailbox, if it is the first and a socket; else close it."""
        if self.mailbox is None and os.fstat(descriptor).st_mode & FILE_TYPE_BITS == SOCKET:
            self.mailbox = socket(AF_UNIX, SOCK_SEQPACKET, 0, descriptor)
            self.mailbox.settimeout(None)
        else:
            os.close(descriptor)

    def receive(self, target):
        """Receive some bytes from the connection, first those that came along with earlier ones."""
        waiting = self.end - self.start
        if not waiting:
            received = self.connection.recv_into(target)
            if not received:
                raise EdgeGone("the edge closed the connection within a request")
            return received
        size = min(waiting, len(target))
        target[:size] = self.ahead[self.start:self.start + size]
        self.start += size
        return size

    def receive_exactly(self, length):
        """Receive so many bytes."""
        payload = bytearray(length)
        rest = memoryview(payload)
        while rest:
            rest = rest[self.receive(rest):]
        return payload

    def receive_header(self):
        """Receive a frame's header; its kind and its payload's length."""
        if self.start == self.end:
            # A header and what follows it in one go.
            if self.ahead is None:
                self.ahead = memoryview(bytearray(BUFFER_SIZE))
            self.start = self.end = 0
            self.end = self.receive(self.ahead)
        header = HEADER.unpack(self.receive_exactly(HEADER_SIZE))[0]
        return header >> LENGTH_BITS, header & LONGEST_PAYLOAD

    def receive_request(self, size):
        """Take in a request: its message is in the buffer, or (`size` 0) the header of a frame whose payload
        comes over the connection. Of a body that is streamed what follows comes there, too."""
        header = 0 if 0 < size < HEADER_SIZE else HEADER.unpack_from(self.buffer)[0]
        kind, length = header >> LENGTH_BITS, header & LONGEST_PAYLOAD
        if kind == ON_CONNECTION and size == HEADER_SIZE:
            (kind, length), size = self.receive_header(), 0
        if not size:
            payload = self.receive_exactly(length)
        elif size != HEADER_SIZE + length:
            raise ValueError("a message of %d bytes with a frame of %d" % (size, length))
        else:
            payload = self.view[HEADER_SIZE:size]
        if kind not in (REQUEST, REQUEST_STREAMED):
            raise ValueError("a frame of kind %d" % kind)
        environ = loads(payload)
        if kind == REQUEST_STREAMED:
            self.frame_left = 0
            self.body_ended = self.visitor_gone = False
            self.stream = StreamedBody(self)
            environ["wsgi.input"] = io.BufferedReader(self.stream, BLOCK_SIZE)
        else:
            environ["wsgi.input"] = io.BytesIO(environ.get("wsgi.input"))
        return environ

    def read_body(self, target):
        """Read some bytes of a streamed body; 0 at its end."""
        while not self.frame_left and not self.body_ended:
            kind, length = self.receive_header()
            if kind == BODY_OF_REQUEST:
                self.frame_left = length
            elif kind in (END_OF_REQUEST, ABORT_OF_REQUEST) and not length:
                self.body_ended = True
                self.visitor_gone = kind == ABORT_OF_REQUEST
            else:
                log("connection closed: the edge sent a frame of kind %d within a body" % kind)
                self.body_ended = self.visitor_gone = True
                self.stop_receiving()
                self.connection.shutdown(SHUT_RDWR)
                raise EdgeGone("the edge sent what is not a body")
        if self.visitor_gone:
            raise VisitorGone("the visitor left before the whole request body had come")
        if not self.frame_left:
            return 0
        # RawIOBase.read() passes a bytearray, of which a slice would be a copy.
        received = self.receive(memoryview(target)[:self.frame_left])
        self.frame_left -= received
        return received

    def drop_body(self):
        """Receive what the app has left of a streamed body."""
        self.stream.exchange = None
        self.stream = None
        scrap = memoryview(bytearray(BLOCK_SIZE))
        try:
            while self.read_body(scrap):
                pass
        except VisitorGone:
            pass

    # Sending.

    def send(self, data):
        """Send all of `data`."""
        try:
            sent = self.connection.send(data)
            if sent != len(data):
                # A signal came in between.
                self.connection.sendall(memoryview(data)[sent:])
        except OSError as error:
            raise EdgeGone(RESPONSE_LOST) from error

    def send_parts(self, parts, descriptor=None):
        """Send several parts as one; a descriptor comes along with the first byte."""
        rights = () if descriptor is None else ((SOL_SOCKET, SCM_RIGHTS, DESCRIPTOR.pack(descriptor)),)
        try:
            sent = self.connection.sendmsg(parts, rights)
        except OSError as error:
            raise EdgeGone(RESPONSE_LOST) from error
        if sent != sum(map(len, parts)):
            self.send(memoryview(b"".join(parts))[sent:])

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333's `start_response`. Raises at once if the head cannot be sent."""
        if exc_info:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.head is not None:
            raise WSGIError("start_response was called twice without exc_info")
        may_have_body = status_lines.get(status)
        if may_have_body is None:
            may_have_body = check_status(status)
        parts = [status]
        left = None
        for name, value in headers:
            kind = header_names.get(name) or check_name(name)
            if kind == CONTENT_LENGTH:
                left = parse_length(value, left)
            elif kind == HOP_BY_HOP:
                continue
            parts.append(name)
            parts.append(value)
        try:
            head = "\0".join(parts).encode("latin-1")
        except (TypeError, UnicodeEncodeError):
            raise explain_head(parts) from None
        if LF in head or CR in head or head.count(NUL) != len(parts) - 1:
            raise explain_head(parts)
        self.head = head
        self.left = left
        self.bodiless = self.head_request or not may_have_body
        return self.write

    def send_hints(self, headers):
        """`wsgi.early_hints`: tell the visitor's browser what the page will need (103, RFC 8297), while the
        app still works at it. After the head it comes too late, and is dropped."""
        parts = []
        for name, value in headers:
            if (header_names.get(name) or check_name(name)) == ORDINARY:
                parts += name, value
        try:
            hints = "\0".join(parts).encode("latin-1")
        except (TypeError, UnicodeEncodeError):
            raise explain_head(parts) from None
        if LF in hints or CR in hints or parts and hints.count(NUL) != len(parts) - 1:
            raise explain_head(parts)
        if parts and not self.head_sent and not self.ended:
            self.send(HEADER.pack(len(hints) | HINTS) + hints)

    def take_head(self):
        """The frame of the head, unless it was sent."""
        if self.head_sent:
            return b""
        self.head_sent = True
        return HEADER.pack(len(self.head) | HEAD) + self.head

    def send_piece(self, data, last=False):
        """Send a piece of the body at once. False: no more of it can be of use."""
        if not isinstance(data, bytes):
            raise WSGIError("the body has a piece %s, not bytes" % kind_of(data))
        if not data:
            return True
        if self.head is None:
            raise WSGIError("the body begins before start_response was called")
        if self.bodiless:
            return False
        excess = self.left is not None and len(data) > self.left
        if excess:
            log("%s: the body is longer than its Content-Length, the rest is dropped" % describe(self.environ))
            data = data[:self.left]
        if self.left is not None:
            self.left -= len(data)
            last = not self.left
        if data:
            self.send_data(data, self.end_early() if last else b"")
        return not excess

    def end_early(self):
        """END, if it may go along with the body's last byte, before the app has cleaned up."""
        if self.worker.patience:
            self.worker.patience -= 1
            return b""
        self.ended = True
        self.ended_at = monotonic()
        return END_FRAME

    def send_data(self, data, end):
        """Send bytes of the body between what is due of the head and of the end."""
        head = self.take_head()
        if len(data) >= MEMORY_PIECE and self.reads_memory and self.stream is None and type(data) is bytes:
            self.show(data, head, end)
            if self.reads_memory:
                return
            head = b""
        if len(data) > LONGEST_PAYLOAD:
            rest = memoryview(data)
            while len(rest) > LONGEST_PAYLOAD:
                self.send_parts((head + HEADER.pack(LONGEST_PAYLOAD | BODY), rest[:LONGEST_PAYLOAD]))
                head, rest = b"", rest[LONGEST_PAYLOAD:]
            data = rest
        head += HEADER.pack(len(data) | BODY)
        if len(data) < LARGE_PIECE:
            self.send(b"".join((head, data, end)))
        else:
            self.send_parts((head, data, end))

    def show(self, data, head, end):
        """Have the edge read bytes, and wait until it has. If it may not, they and the end are still to be sent."""
        self.send(head + MEMORY_FRAME.pack(MEMORY_HEADER, id(data) + BYTES_OFFSET, len(data), bool(end)))
        try:
            kind, _ = self.receive_header()
        except OSError as error:
            raise EdgeGone(RESPONSE_LOST) from error
        self.reads_memory = kind == MEMORY_READ
        if end:
            self.ended_at = monotonic()

    def send_file(self, filelike):
        """Have the edge read a file itself. False: it cannot."""
        found = find_file(filelike)
        if found is None or self.head is None or self.bodiless:
            return False
        descriptor, offset, size = found
        if self.left is not None:
            size = min(size, self.left)
            self.left -= size
        if size:
            end = b"" if self.left else self.end_early()
            file = FILE_FRAME.pack(FILE_HEADER, offset, size)
            self.send_parts((self.take_head(), file, end), descriptor)
        return True

    def respond(self, result):
        """Send what the app returned, close it, and end the response, in this order: a thread is
        free only when the app is done with the request."""
        try:
            self.send_body(result)
        except BaseException:
            self.close_body(result)
            raise
        try:
            self.close_body(result)
        finally:
            # The body was complete, even if the app then failed to clean up.
            if not self.ended:
                self.finish()

    def send_body(self, result):
        """Send what the app returned, piece by piece as it comes."""
        if isinstance(result, (str, bytes)):
            raise WSGIError("the app returned a %s instead of a list of bytes" % type(result).__name__)
        if type(result) in (list, tuple) and sum(map(len, result)) < LARGE_PIECE:
            # All of it is there: nothing is held back by sending it as one.
            wrong = [piece for piece in result if not isinstance(piece, bytes)]
            self.send_piece(wrong[0] if wrong else b"".join(result), True)
        elif type(result) is not FileWrapper or not self.send_file(result.filelike):
            only = hasattr(result, "__len__") and len(result) == 1
            for piece in result:
                if not self.send_piece(piece, only):
                    break

    def close_body(self, result):
        """Close what the app returned. If it takes long, the next responses end only afterwards."""
        try:
            if hasattr(result, "close"):
                result.close()
        finally:
            if self.ended_at is not None and type(result) is not list and monotonic() - self.ended_at > SLOW_END:
                self.worker.patience = PATIENCE
            self.ended_at = None

    def finish(self):
        """End a response that has not ended early."""
        if self.head is None:
            raise WSGIError("the app ended and start_response was not called")
        if self.left and not self.bodiless:
            raise WSGIError("the body is %d bytes shorter than its Content-Length" % self.left)
        self.send(self.take_head() + END_FRAME)
        self.ended = True

    def fail(self, error):
        """The app failed: tell the log and the edge."""
        if self.ended:
            outcome = "failed after its response was complete"
        elif self.head_sent:
            outcome = "failed within its response: the visitor's connection is cut"
        else:
            outcome = "failed: the visitor gets the 500 page"
        if isinstance(error, VisitorGone):
            log("%s: %s" % (describe(self.environ), error))
        else:
            log_exception("%s %s" % (describe(self.environ), outcome), error)
        if not self.ended:
            self.ended = True
            self.send(ABORT_FRAME)


# --- Serving -------------------------------------------------------------------------------


class Worker(object):
    """The app, how it is served, and the connections that are open."""

    def __init__(self, app, threads):
        self.app = app
        self.threads = threads
        self.draining = False
        self.exchanges = set()
        # Held while a mailbox is taken from its connection.
        self.mailbox_lock = allocate_lock()
        # For so many more responses END waits until the app has cleaned up.
        self.patience = 0
        self.native = load_native()
        # Signals, and connections that end, write a byte to this pipe; the accepting loop reads it.
        self.wake_reader, self.wake_writer = wake_pipe()
        self.environ = {
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": threads > 1,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
        }

    def forget(self, exchange):
        """A connection ended: there is room for another one."""
        self.exchanges.discard(exchange)
        wake(self.wake_writer, 0)


def load_native():
    """The native part, which does the same as this file for ordinary requests (worker/native); None where this Python
    cannot load it: another C library, an interpreter that shows libraries nothing, a free-threaded one."""
    path = os.environ.pop("STEAD_WORKER_NATIVE", os.path.join(os.path.dirname(os.path.abspath(__file__)), NATIVE))
    try:
        import _imp
        from _frozen_importlib import ModuleSpec

        return _imp.create_dynamic(ModuleSpec("stead_native", None, origin=path))
    except ImportError:
        return None


def wake_pipe():
    """A pipe whose reader is polled and whose writer never blocks."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


def wake(writer, reason):
    """Write a byte to a wake pipe; when it is full, whoever reads it wakes anyway."""
    try:
        os.write(writer, bytes((reason,)))
    except OSError:
        pass


def wake_on_signals(writer, signals):
    """From now on these signals do nothing but write their number to a wake pipe, even when the
    main thread is blocked."""
    for number in signals:
        signal(number, lambda number, frame: wake(writer, number))
    set_wakeup_fd(writer)


def serve_requests(worker, exchange):
    """Answer the requests of one connection until the edge closes it or the worker drains."""
    app, start_response = worker.app, exchange.start_response
    worker_environ = dict(worker.environ)
    worker_environ["wsgi.early_hints"] = exchange.send_hints
    recv_into, buffer = exchange.mailbox.recv_into, exchange.buffer

    def answer(size):
        """Answer the request whose message is in the buffer, as `receive_request` wants it."""
        environ = exchange.receive_request(size)
        environ.update(worker_environ)
        exchange.environ = environ
        exchange.head = None
        exchange.head_sent = exchange.ended = False
        exchange.head_request = environ["REQUEST_METHOD"] == "HEAD"
        try:
            exchange.respond(app(environ, start_response))
        except EdgeGone:
            raise
        except BaseException as error:
            exchange.fail(error)
        environ = exchange.environ = None
        if exchange.stream is not None:
            exchange.drop_body()

    if worker.draining:
        exchange.stop_receiving()
    if worker.native is not None:
        # Does all this for ordinary requests, and has `answer` do it for others.
        worker.native.serve(exchange, app, worker_environ, answer, EdgeGone, status_lines, header_names, io.BytesIO)
        return
    while True:
        # The end is read twice: a message that came just before it may have been overlooked (recv(2)
        # looks whether there is a message and then whether there will be any, not both at once).
        size = recv_into(buffer) or recv_into(buffer)
        if not size:
            return
        answer(size)


def serve_connection(worker, exchange):
    """Serve one connection to its end, whatever happens on it."""
    try:
        if exchange.receive_mailbox():
            serve_requests(worker, exchange)
    except OSError:
        # The edge closed it, perhaps within a frame: nobody waits for an answer.
        pass
    except Exception as error:
        log("connection closed: the edge sent what is not a request (%s: %s)" % (type(error).__name__, error))
    finally:
        if exchange.mailbox is not None:
            # The edge has a copy of this end: without this it could put messages in for ever.
            exchange.stop_receiving()
            exchange.mailbox.close()
        exchange.connection.close()
        worker.forget(exchange)


def serve_in_thread(worker, exchange):
    """What a request thread runs."""
    threading = sys.modules.get("threading")
    if threading is not None:
        # Loggers show it.
        threading.current_thread().name = "request-%d" % exchange.connection.fileno()
    serve_connection(worker, exchange)


def accept_connections(worker, listener, begin):
    """Accept connections, at most as many as there are threads, and `begin` each, until SIGTERM."""
    ready = poll()
    ready.register(worker.wake_reader, POLLIN)
    listening = False
    while not worker.draining:
        if listening != (len(worker.exchanges) < worker.threads):
            listening = not listening
            if listening:
                ready.register(listener, POLLIN)
            else:
                ready.unregister(listener)
        for descriptor, _ in ready.poll():
            if descriptor == worker.wake_reader:
                worker.draining = SIGTERM in os.read(descriptor, WAKE_SIZE)
            else:
                accept_connection(worker, listener, begin)


def accept_connection(worker, listener, begin):
    """Accept one connection, if it is still there."""
    try:
        descriptor, _ = listener._accept()
    except (BlockingIOError, ConnectionAbortedError):
        return
    except OSError as error:
        log("cannot accept a connection: %s; visitors wait, next attempt in a second" % error)
        sleep(1)
        return
    connection = socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
    # An app may have set a default timeout for its own sockets.
    connection.settimeout(None)
    exchange = Exchange(worker, connection)
    worker.exchanges.add(exchange)
    try:
        begin(worker, exchange)
    except RuntimeError as error:
        log("cannot start a thread for a connection, it is closed: %s" % error)
        connection.close()
        worker.forget(exchange)


def drain(worker):
    """Have every connection end after the requests that were already put into its mailbox."""
    worker.draining = True
    with worker.mailbox_lock:
        for exchange in list(worker.exchanges):
            exchange.stop_receiving()
    ready = poll()
    ready.register(worker.wake_reader, POLLIN)
    while worker.exchanges:
        ready.poll()
        os.read(worker.wake_reader, WAKE_SIZE)


def yield_to_the_edge():
    """Wake without preempting: the edge hands out all that it has before a worker takes the processor
    from it, which saves both of them switches (sched(7), SCHED_BATCH). The share of time stays."""
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):
        pass


def serve(app, threads, listener):
    """Serve until SIGTERM, then finish what was begun. Returns in the main thread."""
    yield_to_the_edge()
    worker = Worker(app, threads)
    wake_on_signals(worker.wake_writer, (SIGTERM,))
    pthread_sigmask(SIG_UNBLOCK, (SIGTERM,))
    listener.setblocking(False)
    stack_size(STACK_SIZE)
    if threads > 1:
        accept_connections(worker, listener, lambda *both: start_new_thread(serve_in_thread, both))
        listener.close()
        drain(worker)
    else:
        serve_in_main_thread(worker, listener)


def serve_in_main_thread(worker, listener):
    """Serve one connection at a time here, where an app that knows nothing of threads belongs.
    Another thread accepts and drains: one that is blocked in `recv` can miss a signal."""
    handed = []
    something_handed = allocate_lock()
    something_handed.acquire()

    def hand_over(_, exchange):
        handed.append(exchange)
        something_handed.release()

    def accept_and_drain():
        try:
            accept_connections(worker, listener, hand_over)
            listener.close()
            drain(worker)
        finally:
            hand_over(worker, None)

    start_new_thread(accept_and_drain, ())
    while True:
        something_handed.acquire()
        exchange = handed.pop()
        if exchange is None:
            return
        serve_connection(worker, exchange)


# --- The app -------------------------------------------------------------------------------


class NoApp(Exception):
    """There is no app to serve; the text is one line that says why."""


def load_app(entry):
    """Import the app that `entry` names. Raises NoApp, or whatever the app's own code raises."""
    module_name, _, path = entry.partition(":")
    called = path.endswith("()")
    names = (path[:-2] if called else path).split(".")
    if not all(name.isidentifier() for name in module_name.split(".") + names):
        raise NoApp("it is not like `package.module:attribute` or `package.module:factory()`")
    try:
        __import__(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise NoApp("there is no module `%s` in %s or the environment" % (error.name, os.getcwd()))
        raise
    target = module = sys.modules[module_name]
    for name in names:
        if not hasattr(target, name):
            raise NoApp("the module has no `%s`; %s" % (path, describe_callables(module)))
        target = getattr(target, name)
    if not callable(target):
        raise NoApp("it is %s, which cannot be called; %s" % (kind_of(target), describe_callables(module)))
    if called:
        target = target()
        if not callable(target):
            raise NoApp("the factory returned %s, which cannot be called" % kind_of(target))
    return target


def kind_of(value):
    """What a value is, for a message."""
    return "None" if value is None else "of type `%s`" % type(value).__name__


def describe_callables(module):
    """Name what could be meant: what the module itself defines, and objects that can be called."""
    names = []
    for name, value in sorted(vars(module).items()):
        code = isinstance(value, (type, type(load_app), type(len)))
        imported = code and getattr(value, "__module__", None) != module.__name__
        if callable(value) and not imported and not name.startswith("_"):
            names.append("`%s`" % name)
    return "its callables are " + ", ".join(names) if names else "it has no callables"


def load_app_or_exit(entry):
    """Import the app; if there is none, say why and end the process."""
    try:
        return load_app(entry)
    except NoApp as error:
        log("cannot load `%s`: %s" % (entry, error))
    except SystemExit as error:
        log_exception("cannot load `%s`: it ended the process while it was imported" % entry, error)
    except ImportError as error:
        log_exception("cannot load `%s`: it was found, but an import within it failed" % entry, error)
    except BaseException as error:
        log_exception("cannot load `%s`: its code failed while it was imported" % entry, error)
    try:
        sys.stdout.flush()
    finally:
        # Threads that the app has started must not keep the process.
        os._exit(EXIT_NO_APP)


# --- Preloading ----------------------------------------------------------------------------


def fork_instances(control, descriptors):
    """Fork an instance for each `fork SLOT` from the agent. Returns the slot in a forked process.
    In the parent, None: the agent is gone or SIGTERM came, and all instances have ended."""
    prepare_to_fork()
    prctl = load_prctl()
    reader, writer = wake_pipe()
    wake_on_signals(writer, (SIGTERM, SIGCHLD))
    ready = poll()
    ready.register(reader, POLLIN)
    ready.register(control, POLLIN)
    # Process id → slot of the instances that run.
    slots = {}
    parent = os.getpid()
    pending = b""
    ending = False
    tell(control, "ready")
    while slots or not ending:
        for descriptor, _ in ready.poll():
            if descriptor == reader:
                stop = SIGTERM in os.read(reader, WAKE_SIZE)
                report_ended(control, slots)
            else:
                received = receive(control)
                stop = not received
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    slot = parse_fork(line, descriptors)
                    if slot is not None and not ending and fork_instance(control, slot, slots):
                        become_instance(slot, descriptors, [control, reader, writer], parent, prctl)
                        return slot
                if stop:
                    ready.unregister(control)
            if stop and not ending:
                ending = True
                for pid in slots:
                    os.kill(pid, SIGTERM)
    return None


def prepare_to_fork():
    """Have the instances share as much memory as they can, and say what they will lack."""
    import gc
    import warnings

    if _count():
        log("the app started %d threads while it was imported: they run in none of its instances" % _count())
    # The line above is clearer than what `os.fork` says.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()


def load_prctl():
    """The system's `prctl`, or None where Python cannot reach it."""
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None


def parse_fork(line, descriptors):
    """The slot of a `fork SLOT` line; None, and a line in the log, if it is not one."""
    words = line.split()
    if len(words) == 2 and words[0] == b"fork" and words[1].isdigit() and int(words[1]) < descriptors:
        return int(words[1])
    log("the agent sent `%s`, which is not `fork SLOT` with a slot below %d" % (ascii(line)[2:-1], descriptors))
    return None


def fork_instance(control, slot, slots):
    """Fork one instance; true in the forked process."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Until the new process has its own handlers, a signal to it must not wake the parent.
    pthread_sigmask(SIG_BLOCK, (SIGTERM, SIGCHLD))
    try:
        pid = os.fork()
    except OSError as error:
        log("cannot fork an instance: %s" % error)
        pid = None
    if pid == 0:
        return True
    pthread_sigmask(SIG_UNBLOCK, (SIGTERM, SIGCHLD))
    if pid:
        slots[pid] = slot
        tell(control, "forked %d %d" % (slot, pid))
    return False


def become_instance(slot, descriptors, inherited, parent, prctl):
    """In a forked process: let go of what is the parent's or another instance's."""
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    set_wakeup_fd(-1)
    signal(SIGCHLD, SIG_DFL)
    pthread_sigmask(SIG_UNBLOCK, (SIGCHLD,))
    others = [FIRST_DESCRIPTOR + other for other in range(descriptors) if other != slot]
    for descriptor in others + inherited:
        os.close(descriptor)
    # Instances must not draw the same random numbers.
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed()


def report_ended(control, slots):
    """Tell the agent which instances have ended. Other children are the app's own."""
    for pid, slot in list(slots.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del slots[pid]
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            tell(control, "exited %d %d %d" % (slot, pid, code))


def tell(control, line):
    """Write a line to the agent, if it is still there."""
    try:
        os.write(control, line.encode() + b"\n")
    except OSError:
        pass


def receive(control):
    """Read from the agent; nothing when it is gone."""
    try:
        return os.read(control, WAKE_SIZE)
    except OSError:
        return b""


# --- The process ---------------------------------------------------------------------------


def usage(text):
    """Refuse to start: whoever started the worker made a mistake."""
    log(text + "\nusage: python stead_worker.py [--threads N] [--preload] package.module:attribute")
    sys.exit(EXIT_USAGE)


def parse_arguments(arguments):
    """The number of threads, whether to preload, and the app's entry point."""
    threads, preload, entries = "1", False, []
    arguments = iter(arguments)
    for argument in arguments:
        if argument == "--threads":
            threads = next(arguments, "")
        elif argument == "--preload":
            preload = True
        elif argument.startswith("-"):
            usage("unknown argument `%s`" % argument)
        else:
            entries.append(argument)
    if not threads.isdigit() or int(threads) < 1:
        usage("`--threads` wants a number from 1 on, not `%s`" % threads)
    if len(entries) != 1 or ":" not in entries[0]:
        usage("one entry point like `package.module:attribute` is needed")
    return int(threads), preload, entries[0]


def take_descriptors():
    """How many listening sockets were passed; the app and its children shall not see them."""
    passed = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_PID", None)
    try:
        count = int(passed)
        for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count):
            os.set_inheritable(descriptor, False)
    except (ValueError, OSError) as error:
        usage("LISTEN_FDS is `%s`, not the number of listening sockets from descriptor 3 on (%s)" % (passed, error))
    if count < 1:
        usage("no listening socket was passed: LISTEN_FDS says how many there are from descriptor 3 on")
    return count


def take_control():
    """The descriptor of the agent's control connection."""
    passed = os.environ.pop("STEAD_CONTROL_FD", "")
    try:
        os.set_inheritable(int(passed), False)
    except (ValueError, OSError):
        usage("`--preload` needs STEAD_CONTROL_FD, which is `%s`" % passed)
    return int(passed)


def use_line_buffers():
    """Have what the app prints appear at once, and never fail for its characters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding
            stream = io.TextIOWrapper(stream.detach(), encoding, "backslashreplace", line_buffering=True)
            setattr(sys, name, stream)
            setattr(sys, "__%s__" % name, stream)


def use_apps_path(entry):
    """Have the app find its own modules and arguments, not the worker's."""
    own = os.path.dirname(os.path.realpath(__file__))
    if sys.path and os.path.realpath(sys.path[0]) == own:
        del sys.path[0]
    sys.path.insert(0, os.getcwd())
    sys.argv[:] = [entry]


def main():
    """Import the app, then serve it until SIGTERM."""
    for number in (SIGINT, SIGHUP):
        signal(number, SIG_IGN)
    use_line_buffers()
    threads, preload, entry = parse_arguments(sys.argv[1:])
    descriptors = take_descriptors()
    control = take_control() if preload else None
    use_apps_path(entry)
    app = load_app_or_exit(entry)
    slot = fork_instances(control, descriptors) if preload else 0
    if slot is not None:
        serve(app, threads, socket(AF_UNIX, SOCK_STREAM, 0, FIRST_DESCRIPTOR + slot))


if __name__ == "__main__":
    main()
