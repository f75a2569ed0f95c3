"""A bare WSGI app: what is measured is the server, not the app."""

import os
import time

# When this instance was started, so that a reload can be seen from outside.
BORN = ("%d" % time.time_ns()).encode()
MEGABYTE = os.urandom(1 << 20)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/upload":
        stream, size = environ["wsgi.input"], 0
        while True:
            piece = stream.read(65536)
            if not piece:
                break
            size += len(piece)
        body = b"%d" % size
    elif path == "/megabyte":
        body = MEGABYTE
    elif path == "/born":
        body = BORN
    elif path == "/sleep":
        time.sleep(0.02)
        body = b"Slept well\n"
    else:
        body = b"Hello, World!\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
