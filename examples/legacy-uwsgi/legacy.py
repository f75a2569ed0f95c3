"""Opening hours, as a WSGI function from before the frameworks."""

import os
from datetime import date
from html import escape

HOURS = [
    ("Monday", "closed"),
    ("Tuesday", "9 to 17"),
    ("Wednesday", "9 to 17"),
    ("Thursday", "9 to 20"),
    ("Friday", "9 to 17"),
    ("Saturday", "10 to 14"),
    ("Sunday", "closed"),
]

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title>
<style>
  body { max-width: 24rem; margin: 10vh auto; padding: 0 1rem; font: 1.1rem/1.8 "Trebuchet MS", sans-serif; color: #333; }
  h1 { color: #7a1f3d; border-bottom: 3px double #7a1f3d; }
  table { width: 100%%; } td + td { text-align: right; } .today { font-weight: bold; color: #7a1f3d; }
</style>
<h1>%(title)s</h1>
<table>%(rows)s</table>
"""


def application(environ, start_response):
    if environ["PATH_INFO"] != "/":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"Not found\n"]
    today = date.today().weekday()
    rows = "".join(
        "<tr%s><td>%s<td>%s" % (' class="today"' if number == today else "", day, hours)
        for number, (day, hours) in enumerate(HOURS)
    )
    title = escape(os.environ.get("LEGACY_TITLE", "Hours"))
    body = (PAGE % {"title": title, "rows": rows}).encode("utf-8")
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
