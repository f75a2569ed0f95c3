"""An authority that fails: passes requests on to a real one, and does to some of them what the file `fault` says.

Arguments: the port, the authority's port, its certificate, its key, a directory.
`fault` holds one line: the beginning of a path, what to do, and perhaps an argument. `requests` gets a line for each; who
is killed, the file `pid` says. With a file `renewals` it says when to renew, which the real one does not.
"""
import base64, http.client, http.server, json, os, signal, ssl, sys, time

port, behind, certificate, key, place = sys.argv[1:]
plain = ssl.create_default_context()
plain.check_hostname = False
plain.verify_mode = ssl.CERT_NONE


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def fault(self):
        """What to do now, once; `always` is done again and again."""
        try:
            with open(os.path.join(place, "fault")) as file:
                path, act, *rest = file.read().split()
        except (FileNotFoundError, ValueError):
            return "none", []
        if not self.path.startswith(path):
            return "none", []
        if not act.endswith("-always"):
            os.remove(os.path.join(place, "fault"))
        return act.removesuffix("-always"), rest

    def kill(self):
        while True:
            try:
                with open(os.path.join(place, "pid")) as file:
                    os.kill(int(file.read()), signal.SIGKILL)
                break
            except FileNotFoundError:
                time.sleep(0.01)
        self.close_connection = True

    def renewal_info(self):
        """When to renew (RFC 9773): the first certificate that is asked about in the past, others in a year."""
        first = os.path.join(place, "first")
        if not os.path.exists(first):
            with open(first, "w") as file:
                file.write(self.path)
        with open(first) as file:
            year = time.gmtime().tm_year + (-1 if file.read() == self.path else 1)
        window = {"start": f"{year}-01-02T00:00:00Z", "end": f"{year}-01-03T00:00:00Z"}
        text = json.dumps({"suggestedWindow": window}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "21600")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def pass_on(self):
        with open(os.path.join(place, "requests"), "a") as log:
            log.write(f"{self.command} {self.path}\n")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # A nonce that is refused makes the client come again: the fault is for the one that counts.
        act, rest = self.fault()
        if self.path.startswith("/renewal/"):
            return self.renewal_info()
        if act == "hang":
            time.sleep(600)
        if act == "kill-before":
            return self.kill()
        if act == "limit":
            text = b'{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many of them"}'
            self.send_response(429)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Retry-After", rest[0])
            self.send_header("Replay-Nonce", "none")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            return self.wfile.write(text)
        connection = http.client.HTTPSConnection("127.0.0.1", int(behind), context=plain)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if self.path == "/dir" and os.path.exists(os.path.join(place, "renewals")):
            known = json.loads(text)
            known["renewalInfo"] = f"https://127.0.0.1:{port}/renewal"
            text = json.dumps(known).encode()
        if self.path == "/order-plz" and answer.status == 201:
            # An authority that knows of renewals says which certificate an order replaces.
            payload = json.loads(body)["payload"]
            replaces = json.loads(base64.urlsafe_b64decode(payload + "==")).get("replaces")
            if replaces:
                text = json.dumps({**json.loads(text), "replaces": replaces}).encode()
        if answer.status == 400 and b"badNonce" in text and act in ("lose", "kill-after"):
            with open(os.path.join(place, "fault"), "w") as file:
                file.write(" ".join([self.path, act, *rest]))
            act = "none"
        if act == "kill-after":
            return self.kill()
        if act == "lose":
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if act == "drip":
            for byte in text:
                self.wfile.write(bytes([byte]))
                time.sleep(1)
        self.wfile.write(text)

    do_GET = do_HEAD = do_POST = pass_on


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, address):
        try:
            super().finish_request(context.wrap_socket(request, server_side=True), address)
        except OSError:
            pass

    def handle_error(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
Server(("127.0.0.1", int(port)), Handler).serve_forever()
