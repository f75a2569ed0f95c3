"""A small Flask app with a JSON answer."""

from flask import Flask, jsonify

application = Flask(__name__)


@application.get("/")
def items():
    return jsonify(items=[{"id": n, "name": "item %d" % n} for n in range(10)], total=10)
