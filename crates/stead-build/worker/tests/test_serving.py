"""Threads, signals and the end."""

import json
import os
import signal
import threading
import time
import unittest

from frames import (PATIENCE, REQUEST, WorkerTest, environ_for, for_each_python, frame, marshalled, sockets_of,
                    wait_until)

load_tests = for_each_python

WAITS = """
import atexit, json, os, signal, sys, threading
go = threading.Event()
signal.signal(signal.SIGUSR1, lambda *ignored: go.set())
atexit.register(print, "atexit ran")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    print("began", path)
    if path == "/wait":
        go.wait(20)
    if path == "/go":
        go.set()
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    main = threading.current_thread() is threading.main_thread()
    return [json.dumps([path, main, threading.current_thread().name, len(body)]).encode()]
"""
APP = {"shop.py": WAITS}


def request(target):
    return frame(REQUEST, marshalled(environ_for(target)))


def facts(response):
    return json.loads(response.body.decode())


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid) as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def threads_of(pid):
    return len(os.listdir("/proc/%d/task" % pid))


class Threads(WorkerTest):
    def test_one_thread_is_the_main_thread(self):
        worker = self.start("shop:app", "--threads", "1", files=APP)
        self.assertEqual(facts(worker.connect().ask("/"))[1], True)

    def test_several_threads_have_names(self):
        worker = self.start("shop:app", "--threads", "2", files=APP)
        _, main, name, _ = facts(worker.connect().ask("/"))
        self.assertEqual((main, name.startswith("request-")), (False, True))

    def test_slow_request_does_not_hold_up_another_connection(self):
        worker = self.start("shop:app", "--threads", "2", files=APP)
        slow = worker.connect()
        slow.send(request("/wait"))
        self.assertEqual(facts(worker.connect().ask("/go"))[0], "/go")
        self.assertEqual(facts(slow.response())[0], "/wait")

    def test_no_more_connections_are_held_than_there_are_threads(self):
        for threads in (1, 3):
            worker = self.start("shop:app", "--threads", str(threads), files=APP)
            held = [worker.connect() for _ in range(threads)]
            for edge in held:
                edge.ask("/")
            late = worker.connect()
            late.send(request("/late"))
            for edge in held:
                edge.ask("/")
            late.socket.setblocking(False)
            self.assertRaises(BlockingIOError, late.receive)
            late.socket.settimeout(PATIENCE)
            held[0].close()
            worker.connections.remove(held[0])
            self.assertEqual(facts(late.response())[0], "/late")

    def test_idle_worker_uses_no_processor(self):
        worker = self.start("shop:app", "--threads", "2", files=APP)
        worker.connect().ask("/")
        before = cpu_ticks(worker.process.pid)
        time.sleep(0.5)
        self.assertEqual(cpu_ticks(worker.process.pid), before)

    def test_threads_end_with_their_connections(self):
        worker = self.start("shop:app", "--threads", "4", files=APP)
        for _ in range(20):
            edge = worker.connect()
            edge.ask("/")
            worker.connections.remove(edge)
            edge.close()
        wait_until(lambda: threads_of(worker.process.pid) == 1, lambda: "threads are left")

    def test_app_may_use_signals_in_the_main_thread(self):
        worker = self.start("shop:app", files={"shop.py": WAITS.replace(
            "    path =", "    import signal\n    signal.signal(signal.SIGALRM, print)\n    path =")})
        self.assertEqual(facts(worker.connect().ask("/"))[1], True)


class Ends(WorkerTest):
    """SIGTERM, with several threads."""

    threads = "4"

    def begin(self):
        return self.start("shop:app", "--threads", self.threads, files=APP)

    def check_ended(self, worker):
        self.assertEqual(worker.wait(), 0)
        self.assertIn("atexit ran", worker.log())
        self.assertNotIn("stead:", worker.log())

    def test_worker_without_connections_ends(self):
        worker = self.begin()
        worker.connect().ask("/")
        worker.connections.pop().close()
        worker.terminate()
        self.check_ended(worker)

    def test_worker_with_idle_connections_ends(self):
        worker = self.begin()
        edge = worker.connect()
        edge.ask("/")
        worker.terminate()
        self.assertTrue(edge.closed())
        self.check_ended(worker)

    def test_connection_that_never_had_a_request_ends(self):
        # The second one has not even brought its mailbox.
        for mailbox, sockets in ((True, 3), (False, 2)):
            worker = self.begin()
            worker.connect().ask("/")
            worker.connections.pop().close()
            wait_until(lambda: sockets_of(worker.process.pid) == 1, lambda: "not closed")
            edge = worker.connect(mailbox=mailbox)
            wait_until(lambda: sockets_of(worker.process.pid) == sockets, lambda: "not accepted")
            worker.terminate()
            self.assertTrue(edge.closed())
            self.check_ended(worker)

    def test_request_in_flight_and_those_in_the_mailbox_are_finished(self):
        worker = self.begin()
        edge = worker.connect()
        edge.send(request("/wait"))
        worker.wait_for_log("began /wait")
        edge.send(request("/next"))
        worker.terminate()
        accepted = edge.put_until_refused(request("/after"))
        self.assertIsNone(worker.process.poll())
        worker.process.send_signal(signal.SIGUSR1)
        self.assertEqual(facts(edge.response())[0], "/wait")
        self.assertEqual(facts(edge.response())[0], "/next")
        for _ in range(accepted):
            self.assertEqual(facts(edge.response())[0], "/after")
        self.assertTrue(edge.closed())
        self.check_ended(worker)

    def test_request_is_taken_back_from_a_worker_that_ends(self):
        worker = self.begin()
        edge = worker.connect()
        edge.send(request("/wait"))
        worker.wait_for_log("began /wait")
        edge.send(request("/next"))
        worker.terminate()
        for _ in range(edge.put_until_refused(request("/after"))):
            self.assertTrue(edge.take_back())
        self.assertTrue(edge.take_back())
        self.assertFalse(edge.take_back())
        worker.process.send_signal(signal.SIGUSR1)
        self.assertEqual(facts(edge.response())[0], "/wait")
        self.assertTrue(edge.closed())
        self.check_ended(worker)
        self.assertNotIn("began /next", worker.log())

    def test_body_of_a_request_in_the_mailbox_may_come_after_the_signal(self):
        worker = self.begin()
        edge = worker.connect()
        edge.send(request("/wait"))
        worker.wait_for_log("began /wait")
        edge.begin("/slurp")
        worker.terminate()
        accepted = edge.put_until_refused(request("/after"))
        worker.process.send_signal(signal.SIGUSR1)
        self.assertEqual(facts(edge.response())[0], "/wait")
        edge.body(b"x" * 1000)
        edge.end()
        self.assertEqual(facts(edge.response())[3], 1000)
        for _ in range(accepted):
            self.assertEqual(facts(edge.response())[0], "/after")
        self.assertTrue(edge.closed())
        self.check_ended(worker)

    def test_streamed_request_in_flight_is_finished(self):
        worker = self.begin()
        edge = worker.connect()
        edge.begin("/slurp")
        edge.body(b"x" * 1000)
        worker.wait_for_log("began /slurp")
        worker.terminate()
        time.sleep(0.1)
        edge.body(b"x" * 1000)
        edge.end()
        self.assertEqual(facts(edge.response())[3], 2000)
        self.assertTrue(edge.closed())
        self.check_ended(worker)

    def test_nothing_is_accepted_any_more(self):
        worker = self.begin()
        edge = worker.connect()
        edge.begin("/slurp")
        worker.wait_for_log("began /slurp")
        worker.terminate()
        # Long enough for a worker that did accept, and to its own favour if it is not.
        time.sleep(0.1)
        late = worker.connect()
        late.send(request("/late"))
        edge.end()
        edge.response()
        self.check_ended(worker)
        late.socket.setblocking(False)
        self.assertRaises(BlockingIOError, late.receive)

    def test_terminal_signals_are_ignored(self):
        worker = self.begin()
        edge = worker.connect()
        edge.ask("/")
        for number in (signal.SIGINT, signal.SIGHUP):
            worker.process.send_signal(number)
        self.assertEqual(facts(edge.ask("/still"))[0], "/still")

    def test_no_request_is_lost_while_the_worker_ends(self):
        """Under load: whatever was put without an error is answered."""
        worker = self.begin()
        lost = []
        begun = threading.Event()

        def load():
            edge = worker.connect()
            waiting = 0
            try:
                while True:
                    # One that runs and one that waits in the mailbox.
                    try:
                        while waiting < 2:
                            edge.send(request("/"))
                            waiting += 1
                    except BrokenPipeError:
                        break
                    edge.response()
                    waiting -= 1
                    begun.set()
                while waiting:
                    edge.response()
                    waiting -= 1
                if not edge.closed():
                    lost.append("too many responses")
            except Exception as error:
                lost.append("%d unanswered: %r" % (waiting, error))

        loads = [threading.Thread(target=load, daemon=True) for _ in range(int(self.threads))]
        for thread in loads:
            thread.start()
        self.assertTrue(begun.wait(PATIENCE))
        time.sleep(0.05)
        worker.terminate()
        for thread in loads:
            thread.join(PATIENCE)
        self.check_ended(worker)
        self.assertEqual(lost, [])


class EndsOfOneThread(Ends):
    """The same with one thread, where the main thread serves."""

    threads = "1"


if __name__ == "__main__":
    unittest.main()
