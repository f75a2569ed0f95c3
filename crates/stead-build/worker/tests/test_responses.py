"""What an app answers, and what the edge gets of it."""

import json
import os
import unittest

from frames import REQUEST, ServedTest, environ_for, for_each_python, frame, marshalled, wait_until

load_tests = for_each_python


class Conforming(ServedTest):
    """Apps that keep to PEP 3333. They are served once more beneath wsgiref's validator."""

    def test_small_response_is_one_head_one_body_and_the_end(self):
        response = self.ask("/hello")
        self.assertEqual(response.status, "200 OK")
        self.assertEqual(response.headers, [("Content-Type", "text/plain")])
        self.assertEqual(response.body, b"hello\n")
        self.assertEqual(response.frames, ["HEAD", "BODY", "END"])

    def test_many_requests_follow_each_other_on_a_connection(self):
        for _ in range(50):
            self.assertEqual(self.ask("/hello").body, b"hello\n")

    def test_environ_has_what_pep_3333_wants(self):
        environ = json.loads(self.ask("/environ?a=b", HTTP_X_NAME=u"caf\u00c3\u00a9").body.decode())
        self.assertEqual(environ["QUERY_STRING"], "a=b")
        self.assertEqual(environ["HTTP_X_NAME"], u"caf\u00c3\u00a9")
        self.assertEqual(environ["wsgi.version"], [1, 0])
        self.assertEqual(environ["wsgi.url_scheme"], "http")
        self.assertEqual(environ["wsgi.multithread"], True)
        self.assertEqual(environ["wsgi.multiprocess"], True)
        self.assertEqual(environ["wsgi.run_once"], False)
        self.assertEqual(environ["wsgi.input_terminated"], True)

    def test_written_pieces_come_before_returned_ones(self):
        response = self.ask("/write")
        self.assertEqual(response.body, b"written twice and returned")
        self.assertEqual(response.frames[:2], ["HEAD", "BODY"])

    def test_early_hints_are_sent_at_once_until_the_head_is(self):
        self.edge.send(frame(REQUEST, marshalled(environ_for("/hints"))))
        self.assertEqual(self.edge.next_frame(), ("HINTS", b"Link\0</a.css>\0Link\0</b.js>"))
        self.assertEqual(self.edge.next_frame(), ("HINTS", b"Link\0</c.css>"))
        response = self.edge.response()
        self.assertEqual((response.body, response.frames), (b"first", ["HEAD", "BODY", "END"]))
        self.assertEqual(self.ask("/wrong-hints").frames, ["ABORT"])

    def test_generator_is_sent_piece_by_piece(self):
        response = self.ask("/generator")
        self.assertEqual(response.body, b"piece 0\npiece 1\npiece 2\n")
        self.assertEqual(response.frames, ["HEAD", "BODY", "BODY", "BODY", "END"])

    def test_head_waits_for_the_first_byte(self):
        response = self.ask("/late-head")
        self.assertEqual((response.status, response.body), ("201 Created", b"late"))
        self.assertEqual(response.frames, ["HEAD", "BODY", "END"])

    def test_piece_is_not_held_back_until_the_next(self):
        self.edge.send(frame(REQUEST, marshalled(environ_for("/paused"))))
        self.assertEqual(self.edge.next_frame()[0], "HEAD")
        self.assertEqual(self.edge.next_frame(), ("BODY", b"first"))
        self.worker.connect().ask("/release")
        self.assertEqual(self.edge.next_frame(), ("BODY", b"second"))
        self.assertEqual(self.edge.next_frame(), ("END", b""))

    def test_head_is_replaced_while_it_is_not_sent(self):
        response = self.ask("/replaced")
        self.assertEqual((response.status, response.body), ("500 Replaced", b"replaced"))

    def test_empty_list_is_a_head_and_the_end(self):
        self.assertEqual(self.ask("/empty").frames, ["HEAD", "END"])

    def test_list_with_an_empty_piece_is_sent(self):
        self.assertEqual(self.ask("/list").body, b"ab")

    def test_tuple_is_sent(self):
        self.assertEqual(self.ask("/tuple").body, b"ab")

    def test_iterable_with_a_length_of_1_is_closed(self):
        self.ask("/seen")
        self.assertEqual(self.ask("/one-of").body, b"only")
        self.assertEqual(json.loads(self.ask("/seen").body.decode()), ["one"])

    def test_response_with_its_exact_length_is_closed(self):
        self.ask("/seen")
        response = self.ask("/exact")
        self.assertEqual((response.body, response.complete), (b"abcdef", True))
        self.assertEqual(json.loads(self.ask("/seen").body.decode()), ["closed"])

    def test_app_goes_on_after_its_last_byte(self):
        self.ask("/seen")
        self.assertEqual(self.ask("/after-yield").body, b"done")
        self.assertEqual(json.loads(self.ask("/seen").body.decode()), ["worked on"])

    def test_latin_1_headers_pass(self):
        self.assertEqual(self.ask("/latin").header("X-Name"), u"caf\u00e9")

    def test_head_request_gets_no_body(self):
        for path in ("/hello", "/exact", "/write", "/large"):
            response = self.ask(path, "HEAD")
            self.assertEqual((response.status, response.frames), ("200 OK", ["HEAD", "END"]), path)
        self.assertEqual(self.ask("/exact", "HEAD").header("Content-Length"), "6")

    def test_errors_stream_reaches_the_log(self):
        self.ask("/errors")
        for line in ("two\n", "three\n", "printed\n"):
            self.worker.wait_for_log(line)

    def test_large_body_arrives_whole(self):
        self.assertEqual(self.ask("/large").body, b"x" * 1000000)

    def test_large_and_small_pieces_stay_in_order(self):
        self.assertEqual(self.ask("/large-pieces").body, b"x" * 300000 + b"y" * 10 + b"z" * 300000)

    def test_body_longer_than_a_frame_arrives_whole(self):
        body = self.ask("/huge").body
        self.assertEqual(len(body), 20 << 20)
        self.assertEqual(body, b"0123456789abcdef" * (5 << 18))


class Validated(Conforming):
    """The same beneath the validator, which complains of whatever the server does wrong."""

    entry = "apps:validated"

    def tearDown(self):
        self.assertNotIn("AssertionError", self.worker.log())


class Shown(ServedTest):
    """Large pieces that the edge reads from the worker's memory."""

    arguments = ("--threads", "16")

    def test_large_body_is_read_from_memory(self):
        edge = self.worker.connect(reads_memory=True)
        for _ in range(3):
            response = edge.ask("/large")
            self.assertEqual(response.frames, ["HEAD", "MEMORY", "END"])
            self.assertEqual(response.body, b"x" * 1000000)
        self.assertEqual(edge.ask("/hello").frames, ["HEAD", "BODY", "END"])

    def test_large_and_small_pieces_stay_in_order(self):
        response = self.worker.connect(reads_memory=True).ask("/large-pieces")
        self.assertEqual(response.frames, ["HEAD", "MEMORY", "BODY", "MEMORY", "END"])
        self.assertEqual(response.body, b"x" * 300000 + b"y" * 10 + b"z" * 300000)

    def test_body_longer_than_a_frame_is_one_piece(self):
        response = self.worker.connect(reads_memory=True).ask("/huge")
        self.assertEqual(response.frames.count("MEMORY"), 1)
        self.assertEqual(response.body, b"0123456789abcdef" * (5 << 18))

    def test_what_the_edge_may_not_read_is_sent_and_not_shown_again(self):
        edge = self.worker.connect(reads_memory=True, refuses=True)
        for frames in (["HEAD", "MEMORY", "BODY", "END"], ["HEAD", "BODY", "END"]):
            response = edge.ask("/large")
            self.assertEqual(response.frames, frames)
            self.assertEqual(response.body, b"x" * 1000000)

    def test_edge_that_leaves_instead_of_reading_is_no_failure_of_the_app(self):
        edge = self.worker.connect(reads_memory=True)
        edge.send(frame(REQUEST, marshalled(environ_for("/large"))))
        while edge.next_frame()[0] != "MEMORY":
            pass
        edge.close()
        self.assertEqual(self.worker.connect().ask("/hello").status, "200 OK")
        self.assertNotIn("Traceback", self.worker.log())


class Breaking(ServedTest):
    """Apps that break a rule, or down."""

    def check_refused(self, path, reason):
        log = self.log_since(lambda: self.assertEqual(self.ask(path).frames, ["ABORT"]))
        self.assertIn("GET %s failed" % path, log)
        self.assertIn(reason, log)
        self.assert_still_serves()

    def test_list_is_sent_as_one_piece(self):
        for path in ("/list", "/tuple"):
            self.assertEqual(self.ask(path).frames, ["HEAD", "BODY", "END"])

    def test_no_content_has_no_body(self):
        self.assertEqual(self.ask("/no-content").frames, ["HEAD", "END"])
        self.assertEqual(self.ask("/not-modified").frames, ["HEAD", "END"])

    def test_head_request_of_an_endless_body_ends(self):
        self.assertEqual(self.ask("/head-forever", "HEAD").frames, ["HEAD", "END"])

    def test_excess_is_dropped(self):
        log = self.log_since(lambda: self.assertEqual(self.ask("/excess").body, b"abcd"))
        self.assertEqual(log.count("longer than its Content-Length"), 1)
        self.assertEqual(self.ask("/excess-list").body, b"ab")

    def test_endless_excess_ends(self):
        self.assertEqual(self.ask("/excess-forever").body, b"xx")
        self.assert_still_serves()

    def test_shortage_aborts(self):
        log = self.log_since(lambda: self.assertEqual(self.ask("/shortage").frames, ["HEAD", "BODY", "ABORT"]))
        self.assertIn("6 bytes shorter than its Content-Length", log)

    def test_missing_body_aborts_before_the_head(self):
        self.check_refused("/shortage-empty", "9 bytes shorter")

    def test_failure_before_the_head_aborts(self):
        self.check_refused("/raises", "RuntimeError: deliberate failure")

    def test_traceback_begins_in_the_app(self):
        log = self.log_since(lambda: self.ask("/raises"))
        self.assertIn("apps.py", log)
        self.assertNotIn("stead_worker.py", log)

    def test_failure_within_the_body_aborts_after_the_head(self):
        log = self.log_since(lambda: self.assertEqual(self.ask("/raises-within").frames, ["HEAD", "BODY", "ABORT"]))
        self.assertIn("the visitor's connection is cut", log)

    def test_head_that_was_sent_is_not_replaced(self):
        log = self.log_since(lambda: self.assertEqual(self.ask("/not-replaced").frames, ["HEAD", "BODY", "ABORT"]))
        self.assertIn("ValueError: head is gone", log)

    def test_exit_fails_only_its_request(self):
        self.check_refused("/raises-exit", "SystemExit")

    def test_interrupt_fails_only_its_request(self):
        self.check_refused("/raises-interrupt", "KeyboardInterrupt")

    def test_deep_recursion_fails_only_its_request(self):
        self.check_refused("/recurses", "RecursionError")

    def test_lack_of_memory_fails_only_its_request(self):
        self.check_refused("/exhausts", "MemoryError")

    def test_failure_in_close_is_logged(self):
        response = self.ask("/raises-in-close")
        self.assertEqual((response.body, response.complete), (b"whole", True))
        self.worker.wait_for_log("failure in close")
        self.assert_still_serves()

    def test_start_response_is_called_once(self):
        self.check_refused("/twice", "twice without exc_info")

    def test_body_needs_a_head(self):
        self.check_refused("/no-head", "before start_response was called")
        self.check_refused("/no-head-empty", "start_response was not called")

    def test_app_that_returns_nothing_is_refused(self):
        self.check_refused("/none", "NoneType")

    def test_text_is_refused(self):
        self.check_refused("/str", "a piece of type `str`, not bytes")
        self.check_refused("/bare-str", "returned a str instead of a list of bytes")
        self.check_refused("/bare-bytes", "returned a bytes instead of a list of bytes")
        self.assertEqual(self.ask("/str-later").frames, ["HEAD", "BODY", "ABORT"])

    def test_header_cannot_be_split(self):
        for path in ("/split", "/nul", "/not-latin"):
            self.check_refused(path, "cannot be in a head")
        self.check_refused("/split-name", "header name")
        self.check_refused("/split-status", "cannot be in a head")

    def test_head_of_wrong_types_is_refused(self):
        self.check_refused("/int-status", "status 200 is not a str")
        self.check_refused("/int-value", "header value 1 is not a str")
        self.check_refused("/bytes-name", "header name b'X-Name'")

    def test_bad_status_is_refused(self):
        self.check_refused("/bad-status", "is not like '200 OK'")
        self.check_refused("/informational", "is not like '200 OK'")
        self.check_refused("/beyond-status", "is not like '200 OK', from 200 to 599")

    def test_bad_length_is_refused(self):
        self.check_refused("/bad-length", "is not a str of digits")
        self.check_refused("/two-lengths", "is both 1 and 2")

    def test_hop_by_hop_headers_are_dropped(self):
        self.assertEqual(self.ask("/hop").headers, [("Content-Type", "text/plain")])
        self.worker.wait_for_log("`Transfer-Encoding` is dropped")

    def test_slow_close_holds_the_end_back_the_next_time(self):
        other = self.worker.connect()
        for last in ("END", "BODY"):
            self.edge.send(frame(REQUEST, marshalled(environ_for("/slow-close"))))
            self.assertEqual(self.edge.next_frame()[0], "HEAD")
            self.assertEqual(self.edge.next_frame(), ("BODY", b"slow"))
            if last == "END":
                self.assertEqual(self.edge.next_frame(), ("END", b""))
            other.ask("/sleepy")
            other.ask("/release")
            self.assert_still_serves() if last == "END" else self.assertEqual(self.edge.next_frame()[0], "END")


class Files(ServedTest):
    """`wsgi.file_wrapper`."""

    def check_passed(self, path, body):
        response = self.ask(path)
        self.assertEqual(response.body, body)
        self.assertIn("FILE", response.frames)

    def check_read(self, path, body):
        response = self.ask(path)
        self.assertEqual(response.body, body)
        self.assertNotIn("FILE", response.frames)

    def test_file_is_passed(self):
        self.check_passed("/file", b"0123456789" * 1000)

    def test_file_is_passed_from_where_it_stands(self):
        self.check_passed("/file-offset", (b"0123456789" * 1000)[5:])

    def test_file_is_passed_up_to_the_content_length(self):
        self.check_passed("/file-part", b"012345678901")

    def test_file_shorter_than_the_content_length_aborts(self):
        self.assertEqual(self.ask("/file-short").frames, ["HEAD", "FILE", "ABORT"])

    def test_temporary_file_is_passed(self):
        self.check_passed("/file-temporary", b"temporary" * 99)

    def test_empty_file_is_an_empty_body(self):
        self.check_read("/file-empty", b"")

    def test_file_that_unpacks_is_read(self):
        self.check_read("/file-gzip", b"unpacked" * 100)

    def test_pipe_is_read(self):
        self.check_read("/pipe-file", b"through a pipe")

    def test_file_of_the_kernel_is_read(self):
        self.assertIn(b"Pid:", self.ask("/kernel-file").body)

    def test_text_file_is_refused(self):
        self.assertEqual(self.ask("/file-text").frames, ["ABORT"])

    def test_wrapper_can_be_iterated_over(self):
        self.check_read("/wrapped-file", b"SHOUTED")

    def test_file_is_closed(self):
        self.ask("/seen")
        self.ask("/file-closed")
        self.assertIn("file", json.loads(self.ask("/seen").body.decode()))

    def test_head_request_of_a_file_gets_no_file(self):
        self.assertEqual(self.ask("/file", "HEAD").frames, ["HEAD", "END"])

    def test_no_descriptor_is_left_open(self):
        pid = json.loads(self.ask("/process").body.decode())["pid"]

        def count():
            return len(os.listdir("/proc/%d/fd" % pid))

        before = count()
        for _ in range(20):
            self.ask("/file")
            self.ask("/large")
        # The last one may still be about to be closed.
        wait_until(lambda: count() <= before, lambda: "%d descriptors, before %d" % (count(), before))


if __name__ == "__main__":
    unittest.main()
