"""Bodies of requests, in one frame or streamed, and what a worker makes of nonsense."""

import json
import os
import random
import struct
import threading
import unittest

from frames import (ABORT, BODY, END, REQUEST, REQUEST_STREAMED, ServedTest, environ_for, for_each_python, frame,
                    marshalled)

load_tests = for_each_python

# Types of marshal that an environ never has: code, and what may claim to be gigabytes long.
CONTAINERS = b"c([<>)" + bytes(0x80 | byte for byte in b"c([<>)")

TEXT = b"abfirst\nsecond\nthird\nfourth\nfifth\nsixth"
PARTS_OF_TEXT = b"ab|first\n|sec|ond\n|third\n|fourth\nfifth\nsixth||"


class Bodies(ServedTest):
    def test_absent_body_is_empty(self):
        self.assertEqual(self.ask("/read-all").body, b"")

    def test_body_in_the_request_is_read(self):
        self.assertEqual(self.ask("/echo", "POST", b"body").body, b"body")

    def test_body_in_the_request_is_read_by_lines(self):
        self.assertEqual(self.ask("/lines", "POST", TEXT).body, PARTS_OF_TEXT)

    def test_request_larger_than_the_buffer_is_read(self):
        body = os.urandom(1 << 20)
        sender = threading.Thread(target=self.edge.send, args=(
            frame(REQUEST, marshalled(environ_for("/read-all", "POST", **{"wsgi.input": body}))),))
        sender.start()
        self.assertEqual(self.edge.response().body, body)
        sender.join()
        self.assert_still_serves()

    def test_request_may_come_byte_by_byte(self):
        for byte in frame(REQUEST, marshalled(environ_for("/hello"))):
            self.edge.send(bytes([byte]))
        self.assertEqual(self.edge.response().body, b"hello\n")

    def test_streamed_body_is_read(self):
        self.edge.begin("/read-all")
        for piece in (b"one ", b"", b"two ", b"three"):
            self.edge.body(piece)
        self.edge.end()
        self.assertEqual(self.edge.response().body, b"one two three")
        self.assert_still_serves()

    def test_streamed_body_may_come_with_its_request(self):
        self.edge.send(frame(REQUEST_STREAMED, marshalled(environ_for("/read-all"))) + frame(BODY, b"all at once")
                       + frame(END) + frame(REQUEST, marshalled(environ_for("/hello"))))
        self.assertEqual(self.edge.response().body, b"all at once")
        self.assertEqual(self.edge.response().body, b"hello\n")

    def test_streamed_body_is_read_by_lines(self):
        for size in (1, 3, 7, 100):
            self.edge.begin("/lines")
            for start in range(0, len(TEXT), size):
                self.edge.body(TEXT[start:start + size])
            self.edge.end()
            self.assertEqual(self.edge.response().body, PARTS_OF_TEXT, size)

    def test_streamed_body_is_there_before_its_end(self):
        self.edge.begin("/first-line")
        self.edge.body(b"line\nrest")
        self.assertEqual(self.edge.response().body, b"line\n")
        self.edge.end()
        self.assert_still_serves()

    def test_body_that_the_app_leaves_is_dropped(self):
        self.edge.begin("/hello")
        for _ in range(10):
            self.edge.body(b"x" * 100000)
        self.assertEqual(self.edge.response().body, b"hello\n")
        self.edge.body(b"x" * 100000)
        self.edge.end()
        self.assert_still_serves()

    def test_body_that_the_app_leaves_may_be_aborted(self):
        self.edge.begin("/hello")
        self.edge.body(b"x")
        self.assertEqual(self.edge.response().body, b"hello\n")
        self.edge.abort()
        self.assert_still_serves()

    def test_large_upload_takes_no_more_memory_than_a_small_one(self):
        pid = json.loads(self.ask("/process").body.decode())["pid"]

        def peak():
            with open("/proc/%d/status" % pid) as status:
                return int([line.split()[1] for line in status if line.startswith("VmHWM")][0])

        def upload(frames):
            self.edge.begin("/count")
            for _ in range(frames):
                self.edge.body(b"x" * (1 << 20))
            self.edge.end()
            self.assertEqual(self.edge.response().body, b"%d" % (frames << 20))

        upload(1)
        before = peak()
        upload(64)
        self.assertLess(peak() - before, 4096)

    def test_visitor_that_leaves_is_an_os_error(self):
        self.ask("/seen")
        self.edge.begin("/gone")
        self.edge.body(b"some")
        self.edge.abort()
        self.assertEqual(self.edge.response().status, "400 Bad Request")
        self.assertEqual(json.loads(self.ask("/seen").body.decode()), ["VisitorGone"])

    def test_visitor_that_leaves_is_one_line_in_the_log(self):
        def leave():
            self.edge.begin("/read-all")
            self.edge.abort()
            self.assertEqual(self.edge.response().frames, ["ABORT"])

        log = self.log_since(leave)
        self.assertEqual(log.count("\n"), 1, log)
        self.assertIn("POST /read-all: the visitor left", log)

    def test_body_of_another_request_cannot_be_read(self):
        self.edge.begin("/keep-input")
        self.edge.end()
        self.edge.response()
        self.edge.begin("/use-kept-input")
        self.edge.body(b"secret")
        self.edge.end()
        self.assertEqual(self.edge.response().body, b"the body cannot be read any more: its request is over")


class ValidatedBodies(Bodies):
    """The same beneath the validator, but for what its own input wrapper refuses or lacks."""

    entry = "apps:validated"
    test_body_of_another_request_cannot_be_read = None
    test_large_upload_takes_no_more_memory_than_a_small_one = None


class Nonsense(ServedTest):
    """The edge is trusted, but a mistake of its own must not cost a worker."""

    def check_closed(self, data):
        edge = self.worker.connect()
        edge.send(data)
        self.assertTrue(edge.closed())
        self.assert_still_serves()

    def test_unknown_frame_closes_the_connection(self):
        log = self.log_since(lambda: self.check_closed(frame(9, b"what")))
        self.assertIn("a frame of kind 9", log)

    def test_body_without_a_request_closes_the_connection(self):
        self.check_closed(frame(BODY, b"what"))
        self.check_closed(frame(END))
        self.check_closed(frame(ABORT))

    def test_payload_that_is_not_an_environ_closes_the_connection(self):
        for payload in (b"", b"?", b"{", b"i\1\0\0\0", b"{0", b"N", marshalled({"REQUEST_METHOD": "GET"})[:-9]):
            self.check_closed(frame(REQUEST, payload))

    def test_half_a_frame_closes_the_connection_quietly(self):
        def hang_up():
            edge = self.worker.connect()
            edge.send(frame(REQUEST, marshalled(environ_for("/hello")))[:50])
            edge.socket.shutdown(1)
            self.assertTrue(edge.closed())

        self.assertEqual(self.log_since(hang_up), "")

    def test_nonsense_within_a_body_closes_the_connection(self):
        self.check_closed(
            frame(REQUEST_STREAMED, marshalled(environ_for("/read-all"))) + frame(BODY, b"x") + frame(7, b"y"))

    def test_edge_that_leaves_within_a_body_closes_the_connection(self):
        edge = self.worker.connect()
        edge.begin("/read-all")
        edge.body(b"x")
        edge.close()
        self.assert_still_serves()

    def test_edge_that_leaves_within_a_response_has_the_iterable_closed(self):
        self.ask("/seen")
        edge = self.worker.connect()
        edge.send(frame(REQUEST, marshalled(environ_for("/huge"))))
        edge.close()
        edge = self.worker.connect()
        edge.send(frame(REQUEST, marshalled(environ_for("/excess-forever"))))
        edge.close()
        self.assert_still_serves()
        self.assertNotIn("Traceback", self.worker.log())

    def test_random_bytes_never_end_the_worker(self):
        seeded = random.Random(20)
        good = frame(REQUEST, marshalled(environ_for("/hello")))
        for _ in range(300):
            size = seeded.randrange(200)
            noise = bytes(seeded.randrange(256) for _ in range(size)).translate(None, CONTAINERS)
            choice = seeded.randrange(3)
            if choice == 0:
                data = noise
            elif choice == 1:
                data = frame(seeded.choice((REQUEST, REQUEST_STREAMED)), b"{" + noise)
            else:
                place = seeded.randrange(len(good))
                data = good[:place] + noise + good[place:]
            edge = self.worker.connect()
            try:
                edge.send(data)
                edge.socket.shutdown(1)
                while edge.receive():
                    pass
            except OSError:
                pass
            self.worker.connections.remove(edge)
            edge.close()
        self.assert_still_serves()
        self.assertIsNone(self.worker.process.poll())


if __name__ == "__main__":
    unittest.main()
