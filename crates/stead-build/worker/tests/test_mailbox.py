"""The mailbox: how requests come in, how the edge takes them back, and how it ends."""

import json
import os
import threading
import unittest

from frames import (ABORT, BODY, END, PATIENCE, REQUEST, ServedTest, WorkerTest, environ_for, for_each_python, frame,
                    marshalled, sockets_of, wait_until)

load_tests = for_each_python

HELLO = {"shop.py": """
def app(environ, start_response):
    print("began", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""}


def request(target, body=b""):
    return frame(REQUEST, marshalled(environ_for(target, "POST", **{"wsgi.input": body})))


def descriptors_of(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


class Messages(ServedTest):
    def begin_paused(self):
        """Have a request run until `release`."""
        self.edge.send(request("/paused"))
        self.assertEqual(self.edge.next_frame()[0], "HEAD")
        self.assertEqual(self.edge.next_frame(), ("BODY", b"first"))

    def release(self):
        """Have it end; what is left of its response."""
        other = self.worker.connect()
        self.addCleanup(other.close)
        self.assertEqual(other.ask("/release").body, b"hello\n")
        self.assertEqual(self.edge.next_frame(), ("BODY", b"second"))
        self.assertEqual(self.edge.next_frame(), ("END", b""))

    def test_message_behind_a_running_request_is_answered_next(self):
        self.begin_paused()
        self.edge.send(request("/read-all", b"next"))
        self.release()
        self.assertEqual(self.edge.response().body, b"next")
        self.assert_still_serves()

    def test_message_behind_a_request_that_fails_is_answered_next(self):
        self.edge.send(request("/raises") + request("/raises-within") + request("/read-all", b"next"))
        self.assertEqual(self.edge.response().frames, ["ABORT"])
        self.assertEqual(self.edge.response().frames, ["HEAD", "BODY", "ABORT"])
        self.assertEqual(self.edge.response().body, b"next")

    def test_messages_are_answered_in_their_order(self):
        for number in range(30):
            self.edge.send(request("/read-all", b"%d" % number))
        for number in range(30):
            self.assertEqual(self.edge.response().body, b"%d" % number)

    def test_longest_message_is_answered(self):
        body = b"x" * (48 * 1024 - len(request("/read-all")))
        message = request("/read-all", body)
        self.assertEqual(len(message), 48 * 1024)
        self.edge.put(message)
        self.assertEqual(self.edge.response().body, body)

    def test_unread_message_is_taken_back_once_and_not_answered(self):
        self.ask("/seen")
        self.begin_paused()
        # Whoever calls this one leaves a trace.
        self.edge.send(request("/exact"))
        self.assertTrue(self.edge.take_back())
        self.assertFalse(self.edge.take_back())
        self.release()
        self.assertEqual(json.loads(self.ask("/seen").body.decode()), [])

    def test_message_may_follow_one_that_was_taken_back(self):
        self.begin_paused()
        self.edge.send(request("/read-all", b"taken"))
        self.assertTrue(self.edge.take_back())
        self.edge.send(request("/read-all", b"left"))
        self.release()
        self.assertEqual(self.edge.response().body, b"left")

    def test_running_request_cannot_be_taken_back(self):
        self.begin_paused()
        self.assertFalse(self.edge.take_back())
        self.release()

    def test_message_is_either_taken_back_or_answered(self):
        """Whoever of the two is faster."""
        for number in range(300):
            self.edge.send(request("/read-all", b"%d" % number))
            if number % 3:
                # Give the worker a start that differs from turn to turn.
                sum(range(number * 20))
            if not self.edge.take_back():
                self.assertEqual(self.edge.response().body, b"%d" % number)
        self.assert_still_serves()

    def test_streamed_request_may_wait_in_the_mailbox(self):
        self.begin_paused()
        self.edge.begin("/read-all")
        self.edge.body(b"streamed")
        self.edge.end()
        self.release()
        self.assertEqual(self.edge.response().body, b"streamed")

    def test_message_waits_for_the_end_of_a_body_that_the_app_leaves(self):
        self.edge.begin("/hello")
        self.edge.body(b"left")
        self.assertEqual(self.edge.response().body, b"hello\n")
        # Not before the body's end does the worker read this one.
        self.edge.send(request("/read-all", b"taken"))
        self.assertTrue(self.edge.take_back())
        self.edge.send(request("/read-all", b"next"))
        self.edge.send(frame(BODY, b"left") + frame(ABORT))
        self.assertEqual(self.edge.response().body, b"next")

    def test_message_of_the_other_size_follows(self):
        """The mailbox's and the connection's requests in turn, behind each other's bodies."""
        large = b"x" * 100000
        for last in (END, ABORT):
            self.edge.begin("/hello")
            self.edge.send(frame(BODY, large) + frame(last) + request("/read-all", large) + request("/read-all", b"small"))
            self.assertEqual(self.edge.response().body, b"hello\n")
            self.assertEqual(self.edge.response().body, large)
            self.assertEqual(self.edge.response().body, b"small")


class Endings(WorkerTest):
    """The mailbox ends, or the connection, or there never was one of them."""

    def begin(self, threads="2"):
        worker = self.start("shop:app", "--threads", threads, files=HELLO)
        worker.connect().ask("/")
        worker.connections.pop().close()
        self.wait_for_idle(worker)
        return worker

    def wait_for_idle(self, worker):
        """Wait until a worker holds no connection and no mailbox, as before the first one."""
        wait_until(lambda: sockets_of(worker.process.pid) == 1, lambda: "a connection or a mailbox is left open")

    def check_quiet(self, worker):
        self.wait_for_idle(worker)
        self.assertNotIn("stead:", worker.log())
        self.assertNotIn("Traceback", worker.log())
        self.assertEqual(worker.connect().ask("/").body, b"hello")
        worker.terminate()
        self.assertEqual(worker.wait(), 0)

    def test_mailbox_that_the_edge_closes_ends_the_connection_after_what_is_in_it(self):
        worker = self.begin()
        edge = worker.connect()
        edge.send(request("/first") + request("/second"))
        # The edge's copy of the worker's end stays open.
        edge.mailbox.close()
        for _ in range(2):
            self.assertEqual(edge.response().body, b"hello")
        self.assertTrue(edge.closed())
        self.check_quiet(worker)

    def test_idle_mailbox_that_the_edge_closes_ends_the_connection(self):
        worker = self.begin()
        edge = worker.connect()
        self.assertEqual(edge.ask("/").body, b"hello")
        edge.mailbox.close()
        self.assertTrue(edge.closed())
        self.check_quiet(worker)

    def test_connection_that_the_edge_closes_ends_the_mailbox_with_the_next_request(self):
        worker = self.begin()
        edge = worker.connect()
        self.assertEqual(edge.ask("/").body, b"hello")
        edge.socket.close()
        edge.send(request("/unheard"))
        edge.put_until_refused(request("/unheard"))
        self.check_quiet(worker)

    def test_connection_that_the_edge_closes_does_not_hold_up_the_end(self):
        for threads in ("1", "2"):
            worker = self.begin(threads)
            edge = worker.connect()
            self.assertEqual(edge.ask("/").body, b"hello")
            edge.socket.close()
            worker.terminate()
            self.assertEqual(worker.wait(), 0)

    def test_edge_that_sends_no_more_on_the_connection_is_answered(self):
        worker = self.begin()
        edge = worker.connect()
        edge.socket.shutdown(1)
        self.assertEqual(edge.ask("/").body, b"hello")
        self.assertEqual(edge.ask("/").body, b"hello")
        edge.close()
        self.check_quiet(worker)

    def test_edge_that_is_killed_leaves_nothing_behind(self):
        worker = self.begin()
        for _ in range(10):
            edge = worker.connect()
            edge.send(request("/unheard") + request("/unheard"))
            edge.close()
        self.check_quiet(worker)

    def test_connection_that_closes_before_its_mailbox_is_dropped_quietly(self):
        worker = self.begin()
        worker.connect(mailbox=False).close()
        worker.connections.pop()
        self.check_quiet(worker)

    def test_connection_that_never_brings_a_mailbox_makes_room_for_another(self):
        worker = self.begin("1")
        silent = worker.connect(mailbox=False)
        self.assertEqual(worker.connect().ask("/").body, b"hello")
        worker.connections.pop().close()
        self.assertTrue(silent.closed())
        self.check_quiet(worker)

    def test_bytes_without_a_mailbox_end_the_connection(self):
        worker = self.begin()
        edge = worker.connect(mailbox=False)
        edge.socket.sendall(request("/"))
        self.assertTrue(edge.closed())
        worker.wait_for_log("a connection without a mailbox")
        self.assertEqual(worker.connect().ask("/").body, b"hello")

    def test_descriptor_that_is_no_mailbox_ends_the_connection(self):
        worker = self.begin()
        reader, writer = os.pipe()
        before = descriptors_of(worker.process.pid)
        for _ in range(5):
            edge = worker.connect(mailbox=False)
            edge.pass_descriptors(reader)
            os.write(writer, request("/pipe"))
            self.assertTrue(edge.closed())
        os.close(reader)
        os.close(writer)
        wait_until(lambda: descriptors_of(worker.process.pid) <= before, lambda: "a descriptor is left open")
        self.assertNotIn("began /pipe", worker.log())
        self.assertEqual(worker.connect().ask("/").body, b"hello")

    def test_further_descriptors_are_closed(self):
        worker = self.begin()
        edge = worker.connect(mailbox=False)
        edge.pass_descriptors(edge.theirs.fileno(), *[edge.mailbox.fileno()] * 5)
        self.assertEqual(edge.ask("/").body, b"hello")
        edge.close()
        self.check_quiet(worker)

    def test_mailbox_is_not_inherited_by_the_apps_children(self):
        worker = self.start("shop:app", files={"shop.py": """
import subprocess

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [subprocess.check_output(["ls", "-l", "/proc/self/fd"], close_fds=False)]
"""})
        listed = worker.connect().ask("/").body
        self.assertIn(b" 1 -> ", listed)
        self.assertNotIn(b"socket:", listed)

    def test_threads_share_no_mailbox(self):
        worker = self.begin("4")
        wrong = []

        def ask_often():
            edge = worker.connect()
            for _ in range(50):
                if edge.ask("/").body != b"hello":
                    wrong.append("another's response")

        threads = [threading.Thread(target=ask_often, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
