"""Ordinary requests, one after the other on one thread, which the native part answers where there is one: each gets what it
said and nothing of the one before, and what is not ordinary is the same with it and without."""

import json
import os
import socket
import unittest

from frames import BODY, END, ON_CONNECTION, REQUEST, REQUEST_STREAMED, WorkerTest, environ_for, for_each_python, frame, marshalled

load_tests = for_each_python

SHOP = {"shop.py": """
import json

TEXT = [("Content-Type", "text/plain")]
kept = []
closed = []

class Iterable:
    def __init__(self, steps):
        self.steps = steps

    def __iter__(self):
        for step in self.steps:
            if step == "raise":
                raise KeyError("on the way")
            yield step.encode() if step != "str" else "four"

    def close(self):
        closed.append(self)
        if "close-raises" in self.steps:
            raise KeyError("at the end")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/environ":
        shown = {key: value for key, value in environ.items() if isinstance(value, str)}
        shown["body"] = environ["wsgi.input"].read().decode("latin-1")
        shown["keys"] = sorted(environ)
        environ["HTTP_LEFT_BEHIND"] = "by the app"
        del environ["REQUEST_URI"]
        start_response("200 OK", TEXT)
        return [json.dumps(shown).encode()]
    if path == "/head":
        status, headers = json.loads(environ["QUERY_STRING"].replace("%22", '"'))
        start_response(status, [tuple(header) for header in headers])
        return [b"four"]
    if path == "/by-name":
        start_response(headers=TEXT, status="200 OK")
    elif path == "/third-by-name":
        start_response("200 OK", TEXT, exc_info=None)
    elif path == "/three":
        start_response("200 OK", TEXT, None)
    elif path == "/one":
        start_response("200 OK")
    elif path == "/twice":
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
    elif path == "/keep":
        kept.append(start_response)
        kept.append(start_response("200 OK", TEXT))
    elif path == "/use-kept":
        outcomes = []
        for function, arguments in ((kept[0], ("404 Not Found", TEXT)), (kept[1], (b"late",))):
            try:
                function(*arguments)
                outcomes.append("done")
            except Exception as error:
                outcomes.append(type(error).__name__)
        return [json.dumps(outcomes).encode()]
    elif path == "/write":
        start_response("200 OK", TEXT)(b"written ")
    elif path == "/raise":
        start_response("200 OK", TEXT)
        raise KeyError("the app's own")
    elif path.startswith("/iterable/"):
        start_response("200 OK", TEXT + [("Content-Length", "4")])
        return Iterable(environ["QUERY_STRING"].split(","))
    elif path == "/closed":
        start_response("200 OK", TEXT)
        return [("%d" % len(closed)).encode()]
    elif path == "/variable":
        start_response("200 OK", TEXT)
        import os
        return [str("STEAD_WORKER_NATIVE" in os.environ).encode()]
    else:
        start_response("200 OK", TEXT)
    return [b"hello"]
"""}
WORKERS_OWN = {
    "wsgi.early_hints", "wsgi.errors", "wsgi.file_wrapper", "wsgi.input", "wsgi.input_terminated", "wsgi.multiprocess",
    "wsgi.multithread", "wsgi.run_once", "wsgi.version"}


class Ordinary(WorkerTest):
    def serve(self):
        self.worker = self.start("shop:app", "--threads", "2", files=SHOP)
        return self.worker.connect()

    def check_environ(self, edge, environ, body=""):
        message = dict(environ)
        if body:
            message["wsgi.input"] = body.encode("latin-1")
        edge.send(frame(REQUEST, marshalled(message)))
        shown = json.loads(edge.response().body.decode())
        self.assertEqual(shown.pop("body"), body)
        self.assertEqual(set(shown.pop("keys")), set(environ) | WORKERS_OWN)
        self.assertEqual(shown, environ)

    def test_each_environ_is_what_its_request_said(self):
        edge = self.serve()
        plain = environ_for("/environ")
        more = environ_for("/environ", HTTP_COOKIE="a=b", HTTP_ACCEPT="*/*")
        other = environ_for("/environ?x", "POST", HTTP_COOKIE="a=c", HTTP_ACCEPT="*/*")
        turned = environ_for("/environ", HTTP_ACCEPT="*/*", HTTP_COOKIE="a=b")
        long = environ_for("/environ", HTTP_COOKIE="x" * 300, HTTP_ACCEPT="\u00e4\u00ff")
        named = environ_for("/environ", **{"HTTP_" + "X" * 200: "long name"})
        for environ in (plain, plain, more, other, more, turned, long, long, more, plain, named, named, plain):
            self.check_environ(edge, environ)
        for body in ("first", "second", "", "x" * 40000, "\0\xff", ""):
            self.check_environ(edge, more, body)

    def test_requests_over_the_connection_follow_each_other_and_those_of_the_mailbox(self):
        edge = self.serve()
        for size in (60000, 10, 60001, 200000, 0, 900000, 60000):
            self.check_environ(edge, environ_for("/environ", HTTP_SIZE=str(size)), "x" * size)
        # Longer ones, and those whose body is streamed, are Python's; what comes along with its end is the next request.
        for _ in range(2):
            long = environ_for("/environ", "POST", HTTP_LONG="y" * 60000)
            edge.send_on_connection(frame(REQUEST_STREAMED, marshalled(long)))
            plain = environ_for("/environ")
            plain["wsgi.input"] = b"z" * 60000
            edge.put(frame(ON_CONNECTION))
            edge.socket.sendall(frame(BODY, b"body") + frame(END) + frame(REQUEST, marshalled(plain)))
            self.assertEqual(json.loads(edge.response().body.decode())["body"], "body")
            self.assertEqual(json.loads(edge.response().body.decode())["body"], "z" * 60000)
            self.check_environ(edge, environ_for("/environ"), "w" * 1100000)

    def test_request_over_the_connection_that_is_cut_off_or_none_closes_it(self):
        steady = self.serve()
        whole = frame(REQUEST, marshalled(environ_for("/", HTTP_LONG="x" * 60000)))
        wrong = frame(REQUEST, b"x" * 60000), frame(BODY, b"x" * 60000), frame(REQUEST, marshalled({"HTTP_HOST": "a"}))
        for message in (b"", whole[:2], whole[:4], whole[:1000], whole[:-1]) + wrong:
            edge = self.worker.connect()
            self.assertEqual(edge.ask("/").body, b"hello")
            edge.put(frame(ON_CONNECTION))
            edge.socket.sendall(message)
            edge.socket.shutdown(socket.SHUT_WR)
            self.assertTrue(edge.closed(), message[:20])
        self.assertEqual(steady.ask("/").body, b"hello")
        self.assertEqual(self.worker.log().count("the edge sent what is not a request"), len(wrong))

    def test_body_may_stand_anywhere_in_the_environ(self):
        edge = self.serve()
        for body in (b"one", b"two"):
            environ = {"wsgi.input": body}
            environ.update(environ_for("/environ"))
            edge.put(frame(REQUEST, marshalled(environ)))
            self.assertEqual(json.loads(edge.response().body.decode())["body"], body.decode())

    def test_key_that_comes_twice_counts_once_as_the_last(self):
        edge = self.serve()
        twice = marshalled(environ_for("/environ"))[:-1] + marshalled({"SERVER_NAME": "other"})[1:]
        for _ in range(2):
            edge.put(frame(REQUEST, twice))
            self.assertEqual(json.loads(edge.response().body.decode())["SERVER_NAME"], "other")

    def test_worker_has_the_last_word_about_its_own_keys(self):
        edge = self.serve()
        for _ in range(2):
            shown = json.loads(edge.ask("/environ", **{"wsgi.version": "9"}).body.decode())
            self.assertNotIn("wsgi.version", shown)

    def test_response_to_head_has_no_body_between_others_that_have(self):
        edge = self.serve()
        for method, body in (("GET", b"hello"), ("HEAD", b""), ("HEAD", b""), ("GET", b"hello")):
            self.assertEqual(edge.ask("/", method).body, body)

    def test_every_truncation_closes_its_connection_and_no_other(self):
        steady = self.serve()
        whole = marshalled(environ_for("/", HTTP_COOKIE="\u00e4"))
        messages = [frame(REQUEST, whole[:size]) for size in range(len(whole))]
        messages += [frame(REQUEST, whole)[:size] for size in range(1, len(whole) + 4, 7)]
        messages += [frame(REQUEST, whole + b"x")[:-1], frame(REQUEST, b"{0"), frame(REQUEST, b"i\1\0\0\0")]
        for message in messages:
            edge = self.worker.connect()
            # The first one is answered: what follows has something to differ from.
            self.assertEqual(edge.ask("/").body, b"hello")
            edge.put(message)
            self.assertTrue(edge.closed(), message)
            self.worker.connections.remove(edge)
            edge.close()
        self.assertEqual(steady.ask("/").body, b"hello")

    def test_heads_are_refused_however_often_their_like_was_right(self):
        edge = self.serve()
        # Headers, as JSON, and whether the response comes.
        cases = (
            ([["X-Tone", "a"], ["Content-Length", "4"]], True), ([["X-Tone", "a\\nb"]], False), ([["X-Tone", "a\\u0000"]], False),
            ([["X-Tone", 1]], False), ([["X-Tone", "\\u20ac"]], False), ([["X-Tone", "\\u00e4"]], True), ([["X-Tone"]], False),
            ([["Content-Length", "-4"]], False), ([["Content-Length", "4"], ["Content-Length", "4"]], True),
            ([["Content-Length", "4"], ["Content-Length", "5"]], False), ([["Content-Length", "5"]], False),
            ([["Connection", "close"]], True), ([["X Tone", "a"]], False), ([], True))
        for _ in range(3):
            for headers, comes in cases:
                text = json.dumps(["200 OK", headers]).replace("\\\\", "\\")
                self.assertEqual(edge.ask("/head?" + text).complete, comes, headers)
            for status, comes in (("200 OK", True), ("200", True), ("600 Odd", False), ("2000", False), (200, False)):
                self.assertEqual(edge.ask("/head?" + json.dumps([status, []])).complete, comes, status)
            empty = edge.ask("/head?" + json.dumps(["204 No Content", []]))
            self.assertEqual((empty.complete, empty.body), (True, b""))
            shorter = edge.ask("/head?" + json.dumps(["200 OK", [["Content-Length", "3"]]]))
            self.assertEqual((shorter.complete, shorter.body), (True, b"fou"))

    def test_start_response_may_be_called_in_each_way(self):
        edge = self.serve()
        for _ in range(2):
            for path in ("/by-name", "/three", "/third-by-name"):
                self.assertEqual(edge.ask(path).body, b"hello", path)
            for path in ("/one", "/twice", "/raise"):
                self.assertEqual(edge.ask(path).frames, ["ABORT"], path)
            self.assertEqual(edge.ask("/write").body, b"written hello")
        for text in ("TypeError", "start_response was called twice without exc_info", "KeyError: \"the app's own\""):
            self.assertIn(text, self.worker.log())

    def test_iterables_are_sent_and_closed_whatever_they_give(self):
        edge = self.serve()
        whole, cut = ["HEAD", "BODY", "END"], ["HEAD", "BODY", "ABORT"]
        # What it gives, what is sent, and what the log says.
        cases = (
            ("four", whole, ""), (",four", whole, ""), ("four,", whole, ""), ("fo,ur", ["HEAD", "BODY", "BODY", "END"], ""),
            ("fourty", whole, "the body is longer"), ("four,more", whole, "the body is longer"), ("fo", cut, "2 bytes shorter"),
            ("", ["ABORT"], "4 bytes shorter"), ("raise", ["ABORT"], "on the way"), ("four,raise", whole, "on the way"),
            ("fo,raise", cut, "on the way"), ("str", ["ABORT"], "`str`"), ("four,str", whole, "`str`"),
            ("four,close-raises", whole, "at the end"), ("raise,close-raises", ["ABORT"], "at the end"))
        count = 0
        for _ in range(3):
            for steps, frames, text in cases:
                before = len(self.worker.log())
                self.assertEqual(edge.ask("/iterable/?" + steps).frames, frames, steps)
                count += 1
                # Its END may come before the app is done; the next answer does not.
                self.assertEqual(edge.ask("/closed").body, b"%d" % count, steps)
                log = self.worker.log()[before:]
                self.assertEqual(text in log, True, log)
                self.assertEqual(bool(log), bool(text), log)
            head = edge.ask("/iterable/?four", "HEAD")
            count += 1
            self.assertEqual(head.frames, ["HEAD", "END"])

    def test_functions_of_a_response_that_is_over_and_of_a_connection_that_is_closed_do_no_harm(self):
        edge = self.serve()
        self.assertEqual(edge.ask("/keep").body, b"hello")
        edge.close()
        self.worker.connections.remove(edge)
        edge = self.worker.connect()
        edge.ask("/use-kept")
        self.assertEqual(edge.ask("/").body, b"hello")

    def test_native_part_is_used_where_it_is_given_and_not_shown_to_the_app(self):
        edge = self.serve()
        self.assertEqual(edge.ask("/variable").body, b"False")
        with open("/proc/%d/maps" % self.worker.process.pid) as maps:
            is_loaded = "stead_native" in maps.read()
        self.assertEqual(is_loaded, os.path.exists(os.environ.get("STEAD_WORKER_NATIVE", "")))


if __name__ == "__main__":
    unittest.main()
