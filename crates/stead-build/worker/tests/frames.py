"""What the tests stand on: the edge's and the agent's side of docs/worker-protocol.md.

The tests run with every interpreter in STEAD_TEST_PYTHONS (separated by `:`), or else with the one
that runs the tests and all `python3.X` on PATH.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(os.path.dirname(HERE), "stead_worker.py")

REQUEST, REQUEST_STREAMED, BODY, END, ABORT, ON_CONNECTION, MEMORY_READ, MEMORY_UNREADABLE = range(1, 9)
# Longest message of a mailbox, bytes.
LONGEST_MESSAGE = 48 * 1024
KINDS = {1: "HEAD", 2: "BODY", 3: "END", 4: "FILE", 5: "ABORT", 6: "HINTS", 7: "MEMORY"}
# Nothing here takes that long: whoever waits longer has found a hang.
PATIENCE = 20


def find_pythons():
    """The interpreters to test with, each once per version."""
    given = os.environ.get("STEAD_TEST_PYTHONS")
    if given:
        return given.split(":")
    found = {sys.version_info[:2]: sys.executable}
    for minor in range(6, 15):
        path = shutil.which("python3.%d" % minor)
        # A version manager's stand-in may be on PATH without the version behind it.
        if path and (3, minor) not in found and subprocess.call(
                [path, "-c", "import marshal"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                timeout=PATIENCE) == 0:
            found[3, minor] = path
    return [found[version] for version in sorted(found)]


PYTHONS = find_pythons()


def for_each_python(loader, tests, pattern):
    """A module's `load_tests`: its cases once for every interpreter."""
    suite = unittest.TestSuite()
    for case_class in sorted({type(test) for group in tests for test in group}, key=lambda case: case.__name__):
        for path in PYTHONS:
            name = "%s_with_%s" % (case_class.__name__, os.path.basename(os.path.realpath(path)).replace(".", "_"))
            suite.addTests(loader.loadTestsFromTestCase(type(name, (case_class,), {"python": path})))
    return suite


def marshalled(environ):
    """An environ as the edge marshals it: short ASCII strings, the keys interned."""
    parts = [b"{"]
    for key, value in environ.items():
        parts.append(b"Z" + struct.pack("B", len(key)) + key.encode("ascii"))
        if isinstance(value, bytes):
            parts.append(b"s" + struct.pack("<i", len(value)) + value)
        elif len(value) < 256 and all(ord(character) < 128 for character in value):
            parts.append(b"z" + struct.pack("B", len(value)) + value.encode("ascii"))
        else:
            encoded = value.encode("utf-8")
            parts.append(b"u" + struct.pack("<i", len(encoded)) + encoded)
    return b"".join(parts) + b"0"


def frame(kind, payload=b""):
    return struct.pack("<I", len(payload) | kind << 24) + payload


def environ_for(target, method="GET", **more):
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
        "REQUEST_URI": target, "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "4711", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http",
    }
    environ.update(more)
    return environ


class Response(object):
    """What came until END or ABORT."""

    def __init__(self):
        self.status = None
        self.headers = []
        self.body = b""
        # The kinds of frames, in order.
        self.frames = []

    @property
    def complete(self):
        return self.frames[-1:] == ["END"]

    def header(self, name):
        return dict(self.headers).get(name)


class Connection(object):
    """The edge's side of one connection. `mailbox=False` leaves out the mailbox, with which a
    connection begins; with `reads_memory` the edge says that it does, and `refuses` then says that it may not."""

    def __init__(self, path, mailbox=True, reads_memory=False, refuses=False):
        self.first_byte = b"\1" if reads_memory else b"\0"
        self.refuses = refuses
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        # The edge has both ends: it takes messages back from the worker's one.
        self.mailbox, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.mailbox.settimeout(PATIENCE)
        if mailbox:
            self.pass_descriptors(self.theirs.fileno())
        self.received = b""
        self.descriptors = []

    def close(self):
        self.socket.close()
        self.mailbox.close()
        self.theirs.close()
        for descriptor in self.descriptors:
            os.close(descriptor)

    def pass_descriptors(self, *descriptors):
        """Send a byte with descriptors, as that of the mailbox comes."""
        self.socket.sendmsg([self.first_byte], [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("%di" % len(descriptors), *descriptors))])

    def send(self, frames):
        """Send whole frames: those of requests as messages of the mailbox if they fit, all others over
        the connection."""
        while frames:
            header = int.from_bytes(frames[:4], "little")
            size = 4 + (header & 0xFFFFFF)
            if header >> 24 not in (REQUEST, REQUEST_STREAMED):
                self.socket.sendall(frames[:size])
            elif size > LONGEST_MESSAGE:
                self.send_on_connection(frames[:size])
            else:
                self.put(frames[:size])
            frames = frames[size:]

    def send_on_connection(self, request):
        """Send a request's frame as one that is too long for the mailbox."""
        self.put(frame(ON_CONNECTION))
        self.socket.sendall(request)

    def put(self, message):
        """Put a message into the mailbox, whatever it is."""
        self.mailbox.send(message)

    def take_back(self):
        """Take back the message that the worker has not read; true if there was one."""
        try:
            return bool(self.theirs.recv(1, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False

    def put_until_refused(self, message):
        """Put messages in until the worker's end takes no more; how many it took."""
        accepted = 0
        while True:
            try:
                self.put(message)
            except BrokenPipeError:
                return accepted
            accepted += 1
            time.sleep(0.01)

    def ask(self, target, method="GET", body=None, **more):
        """Send a request in one frame and wait for its response."""
        environ = environ_for(target, method, **more)
        if body is not None:
            environ["wsgi.input"] = body
            environ.setdefault("CONTENT_LENGTH", str(len(body)))
        self.send(frame(REQUEST, marshalled(environ)))
        return self.response()

    def begin(self, target, method="POST", **more):
        """Send the head of a request whose body is streamed."""
        self.send(frame(REQUEST_STREAMED, marshalled(environ_for(target, method, **more))))

    def body(self, data):
        self.send(frame(BODY, data))

    def end(self):
        self.send(frame(END))

    def abort(self):
        self.send(frame(ABORT))

    def receive(self):
        data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(64))
        for level, kind, content in ancillary:
            self.descriptors += struct.unpack("%di" % (len(content) // 4), content[:len(content) // 4 * 4])
        self.received += data
        return data

    def take(self, size):
        while len(self.received) < size:
            if not self.receive():
                raise EOFError("the worker closed the connection")
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def next_frame(self):
        """The next frame's name and payload."""
        header, = struct.unpack("<I", self.take(4))
        return KINDS[header >> 24], self.take(header & 0xFFFFFF)

    def response(self):
        response = Response()
        while response.frames[-1:] not in (["END"], ["ABORT"]):
            kind, payload = self.next_frame()
            response.frames.append(kind)
            if kind == "HEAD":
                response.status, *rest = payload.decode("latin-1").split("\0")
                response.headers = list(zip(rest[::2], rest[1::2]))
            elif kind == "BODY":
                response.body += payload
            elif kind == "FILE":
                offset, size = struct.unpack("<QQ", payload)
                descriptor = self.descriptors.pop(0)
                response.body += os.pread(descriptor, size, offset)
                os.close(descriptor)
            elif kind == "MEMORY":
                response.body += self.read_memory(payload)
                if not self.refuses and payload[-1:] == b"\1":
                    response.frames.append("END")
        return response

    def read_memory(self, payload):
        """What a MEMORY frame shows, of the process that listens."""
        address, size, _ = struct.unpack("<QQB", payload)
        if self.refuses:
            self.send(frame(MEMORY_UNREADABLE))
            return b""
        with open("/proc/%d/mem" % self.worker_pid, "rb", 0) as memory:
            data = os.pread(memory.fileno(), size, address)
        self.send(frame(MEMORY_READ))
        return data

    def closed(self):
        """Wait until the worker closes; true if it sent nothing before."""
        try:
            return self.receive() == b""
        except ConnectionResetError:
            return True


class WorkerProcess(object):
    """A worker and the directory that its app is in."""

    def __init__(self, python, entry, *arguments, **options):
        self.directory = tempfile.mkdtemp(prefix="stead-worker-")
        for name, text in options.get("files", {}).items():
            path = os.path.join(self.directory, name)
            if not os.path.isdir(os.path.dirname(path)):
                os.makedirs(os.path.dirname(path))
            with open(path, "w") as file:
                file.write(text)
        self.log_path = os.path.join(self.directory, "log")
        count = options.get("sockets", 1)
        self.listeners = []
        for number in range(count):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.path(number))
            listener.listen(64)
            self.listeners.append(listener)
        environment = dict(os.environ, LISTEN_FDS=str(count), PYTHONDONTWRITEBYTECODE="1")
        environment.pop("PYTHONPATH", None)
        environment.update(options.get("environment", {}))
        self.control = None
        passed = [listener.fileno() for listener in self.listeners]
        if options.get("control"):
            self.control, theirs = socket.socketpair(socket.AF_UNIX)
            self.control.settimeout(PATIENCE)
            environment["STEAD_CONTROL_FD"] = str(3 + count)
            passed.append(theirs.fileno())

        def pass_descriptors():
            # First out of the way of each other, then from 3 on.
            moved = [os.dup(descriptor) for descriptor in passed]
            high = [os.dup2(descriptor, 100 + place) or 100 + place for place, descriptor in enumerate(moved)]
            for place in range(len(high)):
                os.dup2(100 + place, 3 + place)
                os.set_inheritable(3 + place, True)
            os.closerange(3 + len(high), 200)

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [python, "-W", "error::DeprecationWarning:__main__", WORKER] + list(arguments) + [entry],
                cwd=self.directory, env=environment, preexec_fn=pass_descriptors, close_fds=False,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if self.control is not None:
            theirs.close()
            self.lines = self.control.makefile("r")
        self.connections = []

    def path(self, number=0):
        return os.path.join(self.directory, "%d.sock" % number)

    def connect(self, number=0, mailbox=True, **options):
        connection = Connection(self.path(number), mailbox, **options)
        connection.worker_pid = self.process.pid
        self.connections.append(connection)
        return connection

    def log(self):
        with open(self.log_path, "rb") as log:
            return log.read().decode("utf-8", "replace")

    def wait_for_log(self, text):
        """Wait until the log has `text`."""
        wait_until(lambda: text in self.log(), lambda: "no %r in the log:\n%s" % (text, self.log()))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """The exit status."""
        return self.process.wait(timeout=PATIENCE)

    def close(self):
        for connection in self.connections:
            connection.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE)
        for listener in self.listeners:
            listener.close()
        if self.control is not None:
            self.lines.close()
            self.control.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def sockets_of(pid):
    """How many sockets a worker has open; the listening one is one of them."""
    directory = "/proc/%d/fd" % pid
    count = 0
    for name in os.listdir(directory):
        try:
            count += os.readlink(os.path.join(directory, name)).startswith("socket:")
        except FileNotFoundError:
            # It was closed meanwhile.
            pass
    return count


def wait_until(condition, describe):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(describe())
        time.sleep(0.005)


class WorkerTest(unittest.TestCase):
    """A test that starts workers of its own."""

    python = sys.executable

    def start(self, entry, *arguments, **options):
        worker = WorkerProcess(self.python, entry, *arguments, **options)
        self.addCleanup(worker.close)
        return worker

    def version(self):
        text = subprocess.check_output(
            [self.python, "-c", "import sys; print(*sys.version_info[:2])"], timeout=PATIENCE)
        return tuple(map(int, text.split()))


class ServedTest(WorkerTest):
    """Tests that share one worker, which serves `apps.py`; each has a connection of its own."""

    entry = "apps:app"
    arguments = ("--threads", "4")

    @classmethod
    def setUpClass(cls):
        with open(os.path.join(HERE, "apps.py")) as source:
            cls.worker = WorkerProcess(cls.python, cls.entry, *cls.arguments, files={"apps.py": source.read()})

    @classmethod
    def tearDownClass(cls):
        cls.worker.close()

    def setUp(self):
        self.edge = self.worker.connect()
        self.addCleanup(self.hang_up)

    def hang_up(self):
        self.worker.connections.remove(self.edge)
        self.edge.close()

    def ask(self, target, method="GET", body=None, **more):
        return self.edge.ask(target, method, body, **more)

    def log_since(self, act):
        """What `act` adds to the log."""
        before = len(self.worker.log())
        act()
        return self.worker.log()[before:]

    def assert_still_serves(self):
        self.assertEqual(self.ask("/hello").body, b"hello\n")
