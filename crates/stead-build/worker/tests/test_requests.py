"""Bodies of requests, in one frame or streamed, and what a worker makes of nonsense."""

import json
import os
import random
import struct
import threading
import unittest

from frames import (ABORT, BODY, END, ON_CONNECTION, PATIENCE, REQUEST, REQUEST_STREAMED, ServedTest, environ_for,
                    for_each_python, frame, marshalled)

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
        sender.join(PATIENCE)
        self.assert_still_serves()

    def test_request_on_the_connection_is_read(self):
        self.edge.send_on_connection(frame(REQUEST, marshalled(environ_for("/hello"))))
        self.assertEqual(self.edge.response().body, b"hello\n")
        self.assert_still_serves()

    def test_request_on_the_connection_may_come_byte_by_byte(self):
        self.edge.put(frame(ON_CONNECTION))
        for byte in frame(REQUEST, marshalled(environ_for("/hello"))):
            self.edge.socket.sendall(bytes([byte]))
        self.assertEqual(self.edge.response().body, b"hello\n")

    def test_request_on_the_connection_may_be_there_before_it_is_announced(self):
        self.edge.socket.sendall(frame(REQUEST, marshalled(environ_for("/hello"))))
        self.edge.put(frame(ON_CONNECTION))
        self.assertEqual(self.edge.response().body, b"hello\n")

    def test_request_on_the_connection_may_have_a_streamed_body(self):
        self.edge.send_on_connection(frame(REQUEST_STREAMED, marshalled(environ_for("/read-all", HTTP_X="x" * 100000))))
        self.edge.body(b"body")
        self.edge.end()
        self.assertEqual(self.edge.response().body, b"body")
        self.assert_still_serves()

    def test_streamed_body_may_come_byte_by_byte(self):
        self.edge.begin("/read-all")
        for byte in frame(BODY, b"byte") + frame(BODY, b" by byte") + frame(END):
            self.edge.socket.sendall(bytes([byte]))
        self.assertEqual(self.edge.response().body, b"byte by byte")

    def test_streamed_body_is_read(self):
        self.edge.begin("/read-all")
        for piece in (b"one ", b"", b"two ", b"three"):
            self.edge.body(piece)
        self.edge.end()
        self.assertEqual(self.edge.response().body, b"one two three")
        self.assert_still_serves()

    def test_streamed_body_may_come_in_one_go(self):
        self.edge.begin("/read-all")
        self.edge.socket.sendall(frame(BODY, b"all ") + frame(BODY, b"at once") + frame(END))
        self.assertEqual(self.edge.response().body, b"all at once")
        self.assert_still_serves()

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

    def test_message_follows_a_body_that_the_app_leaves(self):
        for last in (END, ABORT):
            self.edge.begin("/hello")
            self.edge.body(b"left")
            self.assertEqual(self.edge.response().body, b"hello\n")
            self.edge.send(frame(REQUEST, marshalled(environ_for("/read-all", "POST", **{"wsgi.input": b"next"}))))
            self.edge.body(b"left, too")
            self.edge.send(frame(last))
            self.assertEqual(self.edge.response().body, b"next")

    def test_request_on_the_connection_follows_a_body_at_once(self):
        """The end of a body and the next request come in one piece: the mailbox's message in between
        must not cost what is already there."""
        following = frame(REQUEST, marshalled(environ_for("/read-all", "POST", **{"wsgi.input": b"n" * 100000})))
        for target, last in (("/hello", ABORT), ("/hello", END), ("/read-all", END)):
            self.edge.begin(target)
            self.edge.socket.sendall(frame(BODY, b"first") + frame(last) + following)
            self.assertEqual(self.edge.response().body, b"hello\n" if target == "/hello" else b"first")
            self.edge.put(frame(ON_CONNECTION))
            self.assertEqual(self.edge.response().body, b"n" * 100000)

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

    def connect(self):
        edge = self.worker.connect()
        self.addCleanup(edge.close)
        return edge

    def check_closed(self, *messages, **options):
        """Messages in the mailbox, and then bytes `on_connection`, end a connection and nothing else;
        they end its mailbox, too."""
        edge = self.connect()
        for message in messages:
            edge.put(message)
        if "on_connection" in options:
            edge.socket.sendall(options["on_connection"])
        self.assertTrue(edge.closed())
        self.assertRaises(BrokenPipeError, edge.put, b"late")
        self.assert_still_serves()

    def test_unknown_frame_closes_the_connection(self):
        log = self.log_since(lambda: self.check_closed(frame(9, b"what")))
        self.assertIn("a frame of kind 9", log)
        log = self.log_since(lambda: self.check_closed(frame(ON_CONNECTION), on_connection=frame(8, b"what")))
        self.assertIn("a frame of kind 8", log)

    def test_frame_without_a_request_closes_the_connection(self):
        for kind in (0, BODY, END, ABORT):
            self.check_closed(frame(kind, b"what"))
            self.check_closed(frame(kind))
            self.check_closed(frame(ON_CONNECTION), on_connection=frame(kind))
        self.check_closed(frame(ON_CONNECTION, b"what"))
        self.check_closed(frame(ON_CONNECTION), on_connection=frame(ON_CONNECTION))

    def test_message_that_is_cut_closes_the_connection(self):
        whole = frame(REQUEST, marshalled(environ_for("/hello")))
        for size in (1, 2, 3, 4, 5, 50, len(whole) - 1):
            log = self.log_since(lambda: self.check_closed(whole[:size]))
            self.assertEqual(log.count("\n"), 1, log)

    def test_message_with_more_than_its_frame_closes_the_connection(self):
        whole = frame(REQUEST, marshalled(environ_for("/hello")))
        log = self.log_since(lambda: self.check_closed(whole + whole))
        self.assertIn("a message of %d bytes with a frame of %d" % (2 * len(whole), len(whole) - 4), log)
        self.check_closed(whole + b"x")
        self.check_closed(frame(ON_CONNECTION) + b"x")

    def test_message_that_is_too_long_closes_the_connection(self):
        for size in (65536 - 4, 65536, 100000):
            self.check_closed(frame(REQUEST, marshalled({"wsgi.input": b"x" * size})))

    def test_payload_that_is_not_an_environ_closes_the_connection(self):
        for payload in (b"", b"?", b"{", b"i\1\0\0\0", b"{0", b"N", marshalled({"REQUEST_METHOD": "GET"})[:-9]):
            self.check_closed(frame(REQUEST, payload))
            self.check_closed(frame(REQUEST_STREAMED, payload))
            self.check_closed(frame(ON_CONNECTION), on_connection=frame(REQUEST, payload))

    def test_half_a_frame_closes_the_connection_quietly(self):
        def hang_up():
            for size in (0, 1, 3, 4, 50):
                edge = self.connect()
                edge.put(frame(ON_CONNECTION))
                edge.socket.sendall(frame(REQUEST, marshalled(environ_for("/hello")))[:size])
                edge.socket.shutdown(1)
                self.assertTrue(edge.closed())

        self.assertEqual(self.log_since(hang_up), "")

    def test_nonsense_within_a_body_closes_the_connection(self):
        """What follows it is no body, even if it looks like one."""
        nonsense = frame(7, frame(BODY, b"secret") + frame(END)) + frame(BODY, b"secret") + frame(END)
        for target in ("/read-all", "/count", "/gone"):
            log = self.log_since(lambda: self.check_closed(
                frame(REQUEST_STREAMED, marshalled(environ_for(target))), on_connection=frame(BODY, b"x") + nonsense))
            self.assertIn("a frame of kind 7 within a body", log)

    def test_nonsense_within_a_body_that_the_app_leaves_closes_the_connection(self):
        edge = self.connect()
        edge.begin("/hello")
        self.assertEqual(edge.response().body, b"hello\n")
        edge.send(frame(END, b"y"))
        self.assertTrue(edge.closed())
        self.assert_still_serves()

    def test_edge_that_leaves_within_a_body_closes_the_connection(self):
        edge = self.connect()
        edge.begin("/read-all")
        edge.body(b"x")
        edge.close()
        self.assert_still_serves()

    def test_edge_that_leaves_within_a_response_has_the_iterable_closed(self):
        self.ask("/seen")
        for target in ("/huge", "/excess-forever"):
            edge = self.connect()
            edge.send(frame(REQUEST, marshalled(environ_for(target))))
            edge.close()
        self.assert_still_serves()
        self.assertNotIn("Traceback", self.worker.log())

    def test_random_bytes_never_end_the_worker(self):
        """As messages, as what follows `ON_CONNECTION`, and as bodies."""
        seeded = random.Random(20)
        good = frame(REQUEST, marshalled(environ_for("/hello")))
        for turn in range(300):
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
                if turn % 3 == 0:
                    edge.put(data)
                elif turn % 3 == 1:
                    edge.send_on_connection(data)
                else:
                    edge.begin("/read-all")
                    edge.socket.sendall(data)
                edge.socket.shutdown(1)
                edge.mailbox.shutdown(1)
                while edge.receive():
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.worker.connections.remove(edge)
            edge.close()
        self.assert_still_serves()
        self.assertIsNone(self.worker.process.poll())


if __name__ == "__main__":
    unittest.main()
