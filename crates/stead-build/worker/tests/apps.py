"""The apps that the tests have served, by path."""

import io
import json
import os
import sys
import tempfile
import threading
import time
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
events = []
block = threading.Event()


class Closing(object):
    """An iterable that remembers whether it was closed."""

    def __init__(self, pieces, name):
        self.pieces = iter(pieces)
        self.name = name

    def __iter__(self):
        return self.pieces

    def close(self):
        events.append(self.name)


def with_length(length, pieces, name="closed"):
    def app(environ, start_response):
        start_response("200 OK", TEXT + [("Content-Length", str(length))])
        return Closing(pieces, name)
    return app


def answer(status, headers, result):
    def app(environ, start_response):
        start_response(status, headers)
        return result() if callable(result) else result
    return app


def hello(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello\n"]


def seen(environ, start_response):
    """Which close() were called, and forget them."""
    start_response("200 OK", TEXT)
    names = json.dumps(events)
    del events[:]
    return [names.encode()]


def show_environ(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    shown = {key: value for key, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return [json.dumps(shown).encode()]


def process(environ, start_response):
    start_response("200 OK", TEXT)
    facts = {
        "argv": sys.argv, "path": sys.path[0], "pid": os.getpid(), "main": threading.current_thread() is
        threading.main_thread(), "thread": threading.current_thread().name,
    }
    return [json.dumps(facts).encode()]


def write(environ, start_response):
    put = start_response("200 OK", TEXT)
    put(b"written ")
    put(b"twice ")
    return [b"and returned"]


def hints(environ, start_response):
    send = environ["wsgi.early_hints"]
    send([("Link", "</a.css>"), ("Link", "</b.js>"), ("Connection", "close"), ("Content-Length", "3")])
    send([])
    start_response("200 OK", TEXT)
    send([("Link", "</c.css>")])
    yield b"first"
    send([("Link", "</too-late.css>")])


def wrong_hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "a\r\nSet-Cookie: b")])


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    for number in range(3):
        yield b"piece %d\n" % number


def late_head(environ, start_response):
    """A generator: start_response is called when it is first asked, and the first piece is empty."""
    start_response("201 Created", TEXT)
    yield b""
    yield b"late"


def paused(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"first"
    block.wait(20)
    block.clear()
    yield b"second"


def release(environ, start_response):
    block.set()
    return hello(environ, start_response)


def replaced(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("500 Replaced", TEXT, sys.exc_info())
    return [b"replaced"]


def not_replaced(environ, start_response):
    start_response("200 OK", TEXT)(b"sent")
    try:
        raise ValueError("head is gone")
    except ValueError:
        start_response("500 Replaced", TEXT, sys.exc_info())
    return [b"never"]


def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never"]


def raises(environ, start_response):
    raise RuntimeError("deliberate failure")


def raises_within(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun"
    raise RuntimeError("failure within")


def raises_exit(environ, start_response):
    sys.exit(7)


def raises_interrupt(environ, start_response):
    raise KeyboardInterrupt


def recurses(environ, start_response):
    return recurses(environ, start_response)


def exhausts(environ, start_response):
    raise MemoryError


def raises_in_close(environ, start_response):
    class Broken(Closing):
        def close(self):
            raise RuntimeError("failure in close")

    start_response("200 OK", TEXT)
    return Broken([b"whole"], "")


def one_of(environ, start_response):
    """An iterable that is not a list but has a length of 1."""
    class One(Closing):
        def __len__(self):
            return 1

    start_response("200 OK", TEXT)
    return One([b"only"], "one")


def after_yield(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "4")])
    yield b"done"
    events.append("worked on")


def slow_close(environ, start_response):
    class Slow(Closing):
        def close(self):
            block.wait(20)
            block.clear()

    start_response("200 OK", TEXT + [("Content-Length", "4")])
    return Slow([b"slow"], "")


def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write(u"one \u00e9\n")
    stream.writelines(["two\n", "three\n"])
    stream.flush()
    print("printed")
    return hello(environ, start_response)


def echo(environ, start_response):
    body = environ["wsgi.input"].read(-1 if environ["QUERY_STRING"] else int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", TEXT)
    return [body]


def read_all(environ, start_response):
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", TEXT)
    return [body]


def count(environ, start_response):
    total = 0
    while True:
        data = environ["wsgi.input"].read(65536)
        if not data:
            break
        total += len(data)
    start_response("200 OK", TEXT)
    return [b"%d" % total]


def lines(environ, start_response):
    body = environ["wsgi.input"]
    result = [body.read(2), body.readline(), body.readline(3), body.readline(), body.readlines(1)[0], b"".join(body),
              body.read(5), body.readline()]
    start_response("200 OK", TEXT)
    return [b"|".join(result)]


def first_line(environ, start_response):
    body = environ["wsgi.input"].readline()
    start_response("200 OK", TEXT)
    return [body]


def gone(environ, start_response):
    """Turn a visitor that left into a fact."""
    try:
        environ["wsgi.input"].read(-1)
    except OSError as error:
        events.append(type(error).__name__)
    start_response("400 Bad Request", TEXT)
    return [b"gone"]


kept = []


def keep_input(environ, start_response):
    kept.append(environ["wsgi.input"])
    return hello(environ, start_response)


def use_kept_input(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        return [kept.pop().read()]
    except ValueError as error:
        return [str(error).encode()]


def file_with(content, kind=lambda path: open(path, "rb"), length=None, skip=0):
    def app(environ, start_response):
        path = os.path.join(os.getcwd(), "served-%d" % len(content))
        with open(path, "wb") as made:
            made.write(content)
        served = kind(path)
        served.read(skip)
        start_response("200 OK", TEXT + ([("Content-Length", str(length))] if length is not None else []))
        return environ["wsgi.file_wrapper"](served, 4096)
    return app


def gzipped(path):
    import gzip
    with gzip.open(path, "wb") as made:
        made.write(b"unpacked" * 100)
    return gzip.open(path, "rb")


def temporary(path):
    made = tempfile.NamedTemporaryFile()
    made.write(b"temporary" * 100)
    made.seek(9)
    return made


def file_closed(environ, start_response):
    class Noted(io.FileIO):
        def close(self):
            events.append("file")
            io.FileIO.close(self)

    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](Noted(__file__), 1024)


def wrapped_file(environ, start_response):
    """A middleware that iterates over the wrapper."""
    start_response("200 OK", TEXT)
    return (piece.upper() for piece in environ["wsgi.file_wrapper"](io.BytesIO(b"shouted"), 3))


def pipe_file(environ, start_response):
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"))


def kernel_file(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](open("/proc/self/status", "rb"))


def sleepy(environ, start_response):
    time.sleep(0.2)
    return hello(environ, start_response)


apps = {
    "/hello": hello, "/seen": seen, "/environ": show_environ, "/process": process, "/write": write,
    "/generator": generator, "/hints": hints, "/wrong-hints": wrong_hints, "/late-head": late_head, "/paused": paused, "/release": release,
    "/replaced": replaced, "/not-replaced": not_replaced, "/twice": twice, "/raises": raises,
    "/raises-within": raises_within, "/raises-exit": raises_exit, "/raises-interrupt": raises_interrupt,
    "/recurses": recurses, "/exhausts": exhausts, "/raises-in-close": raises_in_close, "/one-of": one_of,
    "/after-yield": after_yield, "/slow-close": slow_close, "/errors": errors, "/echo": echo, "/count": count,
    "/read-all": read_all, "/lines": lines, "/first-line": first_line, "/gone": gone, "/keep-input": keep_input,
    "/use-kept-input": use_kept_input, "/file-closed": file_closed, "/wrapped-file": wrapped_file,
    "/pipe-file": pipe_file, "/kernel-file": kernel_file, "/sleepy": sleepy,
    "/no-head": lambda environ, start_response: [b"x"],
    "/no-head-empty": lambda environ, start_response: [],
    "/none": lambda environ, start_response: start_response("200 OK", TEXT) and None,
    "/empty": answer("200 OK", TEXT, []),
    "/tuple": answer("200 OK", TEXT, (b"a", b"b")),
    "/list": answer("200 OK", TEXT, [b"a", b"", b"b"]),
    "/str": answer("200 OK", TEXT, ["text"]),
    "/str-later": answer("200 OK", TEXT, lambda: iter([b"bytes", "text"])),
    "/bare-bytes": answer("200 OK", TEXT, b"bare"),
    "/bare-str": answer("200 OK", TEXT, "bare"),
    "/no-content": answer("204 No Content", [], [b"dropped"]),
    "/not-modified": answer("304 Not Modified", [("ETag", '"x"')], lambda: iter([b"dropped"])),
    "/head-forever": answer("200 OK", TEXT, lambda: iter(lambda: b"x", b"")),
    "/latin": answer("200 OK", TEXT + [("X-Name", u"caf\u00e9")], [b""]),
    "/not-latin": answer("200 OK", TEXT + [("X-Name", u"\u4e2d")], [b""]),
    "/split": answer("200 OK", TEXT + [("X-Name", "a\r\nSet-Cookie: b")], [b""]),
    "/nul": answer("200 OK", TEXT + [("X-Name", "a\0b")], [b""]),
    "/split-name": answer("200 OK", TEXT + [("X: a\r\nY", "b")], [b""]),
    "/split-status": answer("200 OK\r\nX: y", TEXT, [b""]),
    "/bad-status": answer("fine", TEXT, [b""]),
    "/beyond-status": answer("600 Beyond", TEXT, [b""]),
    "/informational": answer("101 Switching Protocols", TEXT, [b""]),
    "/int-status": answer(200, TEXT, [b""]),
    "/int-value": answer("200 OK", [("X-Count", 1)], [b""]),
    "/bytes-name": answer("200 OK", [(b"X-Name", "x")], [b""]),
    "/hop": answer("200 OK", TEXT + [("Connection", "keep-alive"), ("Transfer-Encoding", "chunked")], [b"x"]),
    "/bad-length": answer("200 OK", TEXT + [("Content-Length", "-1")], [b""]),
    "/two-lengths": answer("200 OK", TEXT + [("Content-Length", "1"), ("content-length", "2")], [b""]),
    "/exact": with_length(6, [b"abc", b"def"]),
    "/excess": with_length(4, [b"abc", b"def", b"ghi"]),
    "/excess-forever": with_length(2, iter(lambda: b"x", b"")),
    "/excess-list": answer("200 OK", TEXT + [("Content-Length", "2")], [b"abc"]),
    "/shortage": with_length(9, [b"abc"]),
    "/shortage-empty": with_length(9, []),
    "/large": answer("200 OK", TEXT, [b"x" * 1000000]),
    "/large-pieces": answer("200 OK", TEXT, lambda: iter([b"x" * 300000, b"y" * 10, b"z" * 300000])),
    "/huge": answer("200 OK", TEXT, [b"0123456789abcdef" * (5 << 18)]),
    "/file": file_with(b"0123456789" * 1000),
    "/file-offset": file_with(b"0123456789" * 1000, skip=5),
    "/file-part": file_with(b"0123456789" * 1000, length=12),
    "/file-short": file_with(b"0123456789", length=12),
    "/file-empty": file_with(b""),
    "/file-text": file_with(b"text", kind=open),
    "/file-gzip": file_with(b"packed", kind=gzipped),
    "/file-temporary": file_with(b"x", kind=temporary),
}


def app(environ, start_response):
    return apps[environ["PATH_INFO"]](environ, start_response)


validated = validator(app)
