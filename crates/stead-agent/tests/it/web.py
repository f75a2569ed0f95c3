"""A small HTTP server on descriptor 3, $PORT or $STEAD_SOCKET. GET /slow?2 takes two seconds, /env?NAME says a variable."""
import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
import time

import_time = float(os.environ.get("IMPORT_TIME", "0"))
time.sleep(import_time)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        status, body = 200, "release " + os.environ.get("NUMBER", "?")
        if path == "/slow":
            time.sleep(float(query))
        elif path == "/env":
            body = os.environ.get(query, "(unset)")
        elif path == "/status":
            status = int(query)
        elif path == "/exit":
            os._exit(int(query))
        elif path == "/pid":
            body = str(os.getpid())
        elif path == "/eat":
            global eaten
            eaten = b"x" * (int(query) * 1000000)
        elif path == "/fds":
            body = " ".join(sorted(os.listdir("/proc/self/fd")))
        elif path == "/":
            status = int(os.environ.get("STATUS", "200"))
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "edge"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, listener):
        http.server.HTTPServer.__init__(self, ("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def get_request(self):
        request, _ = self.socket.accept()
        return request, ("edge", 0)


if os.environ.get("FIXED_PORT"):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", int(os.environ["FIXED_PORT"])))
    listener.listen(64)
elif os.environ.get("LISTEN_FDS"):
    assert os.environ["LISTEN_PID"] == str(os.getpid()), "LISTEN_PID"
    listener = socket.socket(fileno=3)
elif os.environ.get("PORT"):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((os.environ["HOST"], int(os.environ["PORT"])))
    listener.listen(64)
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["STEAD_SOCKET"])
    listener.listen(64)

server = Server(listener)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("web is ready", flush=True)
server.serve_forever(poll_interval=0.02)
server.server_close()
print("web ends", flush=True)
