"""A WSGI app that says which instance it is; `/hold` waits until there is a file `let-go`."""

import os
import time


def app(environ, start_response):
    while environ["PATH_INFO"] == "/hold" and not os.path.exists("let-go"):
        time.sleep(0.01)
    body = os.environ["INSTANCE"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
