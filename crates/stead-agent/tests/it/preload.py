"""The worker's side of preloading (docs/worker-protocol.md), with an HTTP server for an app."""
import http.server
import os
import signal
import socket
import socketserver
import sys

if os.environ.get("BROKEN"):
    sys.exit("cannot import the app")
control = socket.socket(fileno=int(os.environ["STEAD_CONTROL_FD"]))
count = int(os.environ["LISTEN_FDS"])
assert "--preload" in sys.argv
master = os.getpid()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/exit":
            os._exit(int(query))
        body = ("%d of %d" % (os.getpid(), master)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "edge"

    def log_message(self, *_):
        pass


class Server(socketserver.TCPServer):
    def __init__(self, listener):
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.socket = listener

    def get_request(self):
        return self.socket.accept()[0], ("edge", 0)


slots = {}


def reap(*_):
    while slots:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            break
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        control.sendall(b"exited %d %d %d\n" % (slots.pop(pid), pid, code))


signal.signal(signal.SIGCHLD, reap)
print("imported once", flush=True)
control.sendall(b"ready\n")
pending = b""
while True:
    received = control.recv(4096)
    if not received:
        break
    *lines, pending = (pending + received).split(b"\n")
    for line in lines:
        slot = int(line.split()[1])
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            control.close()
            Server(socket.socket(fileno=3 + slot)).serve_forever(poll_interval=0.02)
        slots[pid] = slot
        control.sendall(b"forked %d %d\n" % (slot, pid))
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for pid in slots:
    os.kill(pid, signal.SIGTERM)
