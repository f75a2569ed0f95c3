"""`--preload`: one import, an instance per listening socket."""

import json
import os
import signal
import unittest

from frames import PATIENCE, WorkerTest, for_each_python, wait_until

load_tests = for_each_python

APP = {"shop.py": """
import atexit, json, os, random
imported_by = os.getpid()
atexit.register(lambda: print("end of %d" % os.getpid()))

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    return [json.dumps([os.getpid(), imported_by, random.random(), environ["wsgi.multiprocess"]]).encode()]
"""}


class Preloading(WorkerTest):
    def preload(self, files=APP, threads="1"):
        return self.start("shop:app", "--preload", "--threads", threads, files=files, sockets=2, control=True)

    def tell(self, worker, line):
        worker.control.sendall(line.encode() + b"\n")

    def line(self, worker):
        return worker.lines.readline().rstrip("\n")

    def fork(self, worker, slot):
        self.tell(worker, "fork %d" % slot)
        word, forked, pid = self.line(worker).split()
        self.assertEqual((word, int(forked)), ("forked", slot))
        return int(pid)

    def facts(self, worker, slot):
        return json.loads(worker.connect(slot).ask("/").body.decode())

    def test_instances_share_one_import_and_no_random_numbers(self):
        for threads in ("1", "4"):
            worker = self.preload(threads=threads)
            self.assertEqual(self.line(worker), "ready")
            pids = [self.fork(worker, slot) for slot in (0, 1)]
            facts = [self.facts(worker, slot) for slot in (0, 1)]
            self.assertEqual([fact[0] for fact in facts], pids)
            self.assertEqual({fact[1] for fact in facts}, {worker.process.pid})
            self.assertNotEqual(facts[0][2], facts[1][2])

    def test_end_of_an_instance_is_told(self):
        worker = self.preload()
        self.line(worker)
        pid = self.fork(worker, 1)
        self.facts(worker, 1)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.line(worker), "exited 1 %d 0" % pid)
        self.assertIn("end of %d" % pid, worker.log())
        pid = self.fork(worker, 1)
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.line(worker), "exited 1 %d -9" % pid)
        pid = self.fork(worker, 1)
        self.assertEqual(self.facts(worker, 1)[0], pid)

    def test_instance_that_is_terminated_at_once_ends(self):
        worker = self.preload()
        self.line(worker)
        for _ in range(10):
            pid = self.fork(worker, 0)
            os.kill(pid, signal.SIGTERM)
            self.assertEqual(self.line(worker), "exited 0 %d 0" % pid)
        self.assertIsNone(worker.process.poll())

    def test_lost_agent_ends_all(self):
        worker = self.preload()
        self.line(worker)
        pids = [self.fork(worker, slot) for slot in (0, 1)]
        self.facts(worker, 0)
        worker.control.shutdown(2)
        self.assertEqual(worker.wait(), 0)
        for pid in pids:
            self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_sigterm_ends_all(self):
        worker = self.preload()
        self.line(worker)
        pids = [self.fork(worker, slot) for slot in (0, 1)]
        worker.terminate()
        self.assertEqual(sorted(self.line(worker).split()[2] for _ in pids), sorted(map(str, pids)))
        self.assertEqual(worker.wait(), 0)

    def test_killed_parent_takes_its_instances_along(self):
        if not self.has_ctypes():
            self.skipTest("this Python has no ctypes, so PR_SET_PDEATHSIG cannot be set")
        worker = self.preload()
        self.line(worker)
        pid = self.fork(worker, 0)
        self.facts(worker, 0)
        worker.process.kill()
        worker.wait()
        wait_until(lambda: not alive(pid), lambda: "instance %d outlives its parent" % pid)

    def has_ctypes(self):
        import subprocess
        return subprocess.call(
            [self.python, "-c", "import ctypes"], stderr=subprocess.DEVNULL, timeout=PATIENCE) == 0

    def test_nonsense_from_the_agent_is_logged(self):
        worker = self.preload()
        self.line(worker)
        for line in ("fork 2", "fork x", "dance", "fork"):
            self.tell(worker, line)
            worker.wait_for_log("`%s`" % line)
        self.fork(worker, 0)

    def test_threads_of_the_import_are_warned_of(self):
        worker = self.preload(files={"shop.py": APP["shop.py"] + (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n")})
        self.assertEqual(self.line(worker), "ready")
        self.assertEqual(worker.log().count("the app started 1 threads"), 1)
        self.fork(worker, 0)
        self.facts(worker, 0)
        self.assertNotIn("Warning", worker.log())

    def test_app_that_cannot_be_imported_ends_the_worker(self):
        worker = self.preload(files={"shop.py": "import missing_thing"})
        self.assertEqual(worker.wait(), 3)
        self.assertEqual(self.line(worker), "")


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
