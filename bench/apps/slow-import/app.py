"""The bare app, but it needs two seconds to import."""

import time

BORN = ("%d" % time.time_ns()).encode()
time.sleep(2)


def application(environ, start_response):
    body = BORN if environ["PATH_INFO"] == "/born" else b"Hello, World!\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
