"""An instance: `/` answers who it is, `/stream` goes on until `/end` is asked for, and an upgrade is echoed."""

import http.server
import os
import socketserver
import sys
import threading

path, name = sys.argv[1:]
end = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def do_GET(self):
        if self.headers.get("Upgrade"):
            self.echo()
        elif self.path == "/stream":
            self.stream()
        else:
            if self.path == "/end":
                end.set()
            body = name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not end.wait(0.02):
            self.wfile.write(b"5\r\npiece\r\n")
            self.wfile.flush()
        self.wfile.write(b"3\r\nend\r\n0\r\n\r\n")

    def echo(self):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.end_headers()
        self.wfile.flush()
        while True:
            data = self.connection.recv(4096)
            if not data:
                break
            self.connection.sendall(data)
        self.close_connection = True

    def address_string(self):
        return "edge"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(path + ".new", Handler)
os.rename(path + ".new", path)
server.serve_forever()
