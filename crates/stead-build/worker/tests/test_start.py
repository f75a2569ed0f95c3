"""How a worker starts, and what it says when there is no app to serve."""

import json
import subprocess
import unittest

from frames import PATIENCE, WORKER, WorkerTest, for_each_python

load_tests = for_each_python

HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
FACTS = """
import json, os, sys

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [json.dumps(facts()).encode()]
"""


class EntryPoints(WorkerTest):
    def check_serves(self, entry, **files):
        worker = self.start(entry, files=files)
        self.assertEqual(worker.connect().ask("/").body, b"hello")
        return worker

    def check_refused(self, entry, *reasons, **options):
        worker = self.start(entry, files=options.get("files", {"shop.py": HELLO}))
        self.assertEqual(worker.wait(), 3)
        for reason in reasons:
            self.assertIn(reason, worker.log())
        if options.get("one_line", True):
            self.assertEqual(worker.log().count("\n"), 1, worker.log())
        return worker.log()

    def test_attribute_of_a_module(self):
        self.start("shop:app", files={"shop.py": HELLO})
        worker = self.start("pack.shop:app", files={"pack/__init__.py": "", "pack/shop.py": HELLO})
        self.assertEqual(worker.connect().ask("/").body, b"hello")

    def test_dotted_attribute(self):
        worker = self.start("shop:Site.app", files={
            "shop.py": "class Site:\n    @staticmethod\n" + HELLO.strip().replace("def", "    def").replace("\n", "\n    ")})
        self.assertEqual(worker.connect().ask("/").body, b"hello")

    def test_factory(self):
        worker = self.start("shop:create_app()", files={"shop.py": HELLO + "def create_app(name=None): return app"})
        self.assertEqual(worker.connect().ask("/").body, b"hello")

    def test_missing_module_is_named(self):
        self.check_refused("stop:app", "cannot load `stop:app`: there is no module `stop` in /")

    def test_missing_submodule_is_named(self):
        self.check_refused(
            "pack.shop:app", "there is no module `pack.shop`", files={"pack/__init__.py": ""})

    def test_import_that_fails_within_the_module_is_told_from_a_missing_module(self):
        log = self.check_refused(
            "shop:app", "it was found, but an import within it failed", "No module named 'missing_thing'", "shop.py",
            files={"shop.py": "import missing_thing"}, one_line=False)
        self.assertNotIn("stead_worker.py", log)
        self.assertNotIn("importlib", log)

    def test_missing_attribute_is_one_line_with_the_callables(self):
        source = HELLO + "from json import dumps\ndef create_app(): pass\nclass Api: pass\n_hidden = app\nlimit = 3\n"
        self.check_refused(
            "shop:application", "has no `application`; its callables are `Api`, `app`, `create_app`\n",
            files={"shop.py": source})

    def test_attribute_that_cannot_be_called_is_one_line(self):
        self.check_refused("shop:limit", "of type `int`, which cannot be called", files={"shop.py": "limit = 3"})

    def test_factory_that_returns_nothing_is_one_line(self):
        self.check_refused(
            "shop:create_app()", "the factory returned None", files={"shop.py": "def create_app(): pass"})

    def test_path_is_not_a_module(self):
        self.check_refused("./shop.py:app", "it is not like `package.module:attribute`")
        self.check_refused("shop:create_app('x')", "it is not like `package.module:attribute`")

    def test_syntax_error_is_shown(self):
        self.check_refused("shop:app", "SyntaxError", "def app(", files={"shop.py": "def app("}, one_line=False)

    def test_exit_during_import_is_told(self):
        self.check_refused(
            "shop:app", "it ended the process while it was imported", files={"shop.py": "import sys; sys.exit(0)"},
            one_line=False)

    def test_failing_import_is_not_held_up_by_threads(self):
        self.check_refused("shop:app", "RuntimeError: no", one_line=False, files={
            "shop.py": "import threading\nthreading.Thread(target=threading.Event().wait).start()\nraise RuntimeError('no')"})

    def test_failing_factory_is_shown(self):
        self.check_refused("shop:create_app()", "ZeroDivisionError", one_line=False, files={
            "shop.py": "def create_app(): return 1 / 0"})


class Surroundings(WorkerTest):
    def facts(self, source, entry="shop:app", **files):
        files.update({"shop.py": FACTS + source})
        worker = self.start(entry, files=files)
        return worker, json.loads(worker.connect().ask("/").body.decode())

    def test_app_sees_its_directory_and_its_entry_point(self):
        worker, facts = self.facts("def facts(): return sys.path[0], sys.argv")
        self.assertEqual(facts, [worker.directory, ["shop:app"]])

    def test_workers_directory_is_not_on_the_path(self):
        _, facts = self.facts("import importlib.util\ndef facts(): return bool(importlib.util.find_spec('stead_worker'))")
        self.assertEqual(facts, False)

    def test_descriptors_are_not_for_the_apps_children(self):
        _, facts = self.facts(
            "def facts(): return os.environ.get('LISTEN_FDS'), [n for n in range(3, 20) if inherits(n)]\n"
            "def inherits(n):\n    try: return os.get_inheritable(n)\n    except OSError: return False")
        self.assertEqual(facts, [None, []])

    def test_modules_of_the_app_do_not_break_the_worker(self):
        own = {name + ".py": "name = 'own'" for name in ("socket", "signal", "marshal", "struct", "typing", "shop_io")}
        worker = self.start("shop:app", "--threads", "2", files=dict(own, **{
            "shop.py": "import socket\n" + HELLO.replace('b"hello"', "socket.name.encode()")}))
        self.assertEqual(worker.connect().ask("/").body, b"own")
        worker.terminate()
        self.assertEqual(worker.wait(), 0)

    def test_output_appears_at_once_whatever_the_locale(self):
        worker = self.start("shop:app", files={"shop.py": HELLO.replace(
            "    return", "    print(u'caf\\u00e9'); environ['wsgi.errors'].write(u'\\u4e2d\\n')\n    return")},
            environment={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})
        self.assertEqual(worker.connect().ask("/").body, b"hello")
        worker.wait_for_log("caf")
        worker.wait_for_log("\n")

    def test_default_timeout_of_the_app_is_not_the_workers(self):
        worker = self.start("shop:app", files={"shop.py": "import socket, time\nsocket.setdefaulttimeout(0.01)\n" + HELLO})
        edge = worker.connect()
        self.assertEqual(edge.ask("/").body, b"hello")
        edge.socket.settimeout(0.1)
        self.assertRaises(OSError, edge.receive)
        edge.socket.settimeout(20)
        self.assertEqual(edge.ask("/").body, b"hello")

    def test_log_is_free_of_warnings(self):
        worker = self.start("shop:app", "--threads", "2", files={"shop.py": HELLO})
        worker.connect().ask("/")
        worker.terminate()
        self.assertEqual((worker.wait(), worker.log()), (0, ""))


class Invocations(WorkerTest):
    def check_usage(self, *arguments, **environment):
        process = subprocess.Popen(
            [self.python, WORKER] + list(arguments), env=environment, stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, universal_newlines=True)
        _, log = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 2, log)
        self.assertNotIn("Traceback", log)
        return log

    def test_wrong_arguments_are_explained(self):
        self.assertIn("unknown argument `--fast`", self.check_usage("--fast", "a:b"))
        self.assertIn("one entry point", self.check_usage())
        self.assertIn("one entry point", self.check_usage("module"))
        for threads in ("0", "many", "-1"):
            self.assertIn("wants a number from 1 on", self.check_usage("--threads", threads, "a:b"))

    def test_missing_sockets_are_explained(self):
        self.assertIn("LISTEN_FDS", self.check_usage("a:b"))
        self.assertIn("LISTEN_FDS", self.check_usage("a:b", LISTEN_FDS="x"))

    def test_preloading_needs_a_control_connection(self):
        worker = self.start("shop:app", "--preload", files={"shop.py": HELLO})
        self.assertEqual(worker.wait(), 2)
        self.assertIn("STEAD_CONTROL_FD", worker.log())


if __name__ == "__main__":
    unittest.main()
