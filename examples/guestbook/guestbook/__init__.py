"""A guestbook: a landing page, a form, and what visitors wrote."""

import hmac
import os
import secrets

from flask import (
    Flask,
    abort,
    flash,
    redirect,
    render_template,
    request,
    send_from_directory,
    session,
    url_for,
)

from . import jobs, pictures, store


def create_app():
    app = Flask(__name__, instance_relative_config=True)
    app.config.update(
        SECRET_KEY=os.environ["SECRET_KEY"],
        SESSION_COOKIE_SAMESITE="Lax",
        # A picture may have 5 MB; the rest of the form needs little.
        MAX_CONTENT_LENGTH=pictures.LARGEST + 64 * 1024,
    )
    pictures.folder(app).mkdir(parents=True, exist_ok=True)
    app.teardown_appcontext(store.close)
    app.cli.add_command(jobs.migrate)
    app.cli.add_command(jobs.refresh)

    @app.context_processor
    def names():
        return {"form_token": token}

    @app.get("/")
    def landing():
        return render_template("landing.html", stats=store.stats())

    @app.get("/book")
    def book():
        return render_template("book.html", entries=store.newest(50))

    @app.post("/book")
    def sign():
        check_token()
        name = request.form.get("name", "").strip()[:60]
        message = request.form.get("message", "").strip()[:1000]
        if not name or not message:
            flash("A name and a few words are needed.")
            return redirect(url_for("book"))
        try:
            picture = pictures.keep(app, request.files.get("picture"))
        except pictures.Refused as refusal:
            flash(str(refusal))
            return redirect(url_for("book"))
        store.add(name, message, picture)
        flash("Thank you, %s!" % name)
        return redirect(url_for("book"))

    @app.get("/pictures/<name>")
    def picture(name):
        return send_from_directory(pictures.folder(app), name, max_age=86400)

    @app.get("/health")
    def health():
        store.count()
        return {"status": "ok"}

    @app.errorhandler(413)
    def too_large(_):
        flash("That picture is larger than 5 MB.")
        return redirect(url_for("book"))

    return app


def token():
    """What proves that a form was ours: the same for a whole session."""
    if "token" not in session:
        session["token"] = secrets.token_urlsafe(24)
    return session["token"]


def check_token():
    expected = session.get("token")
    given = request.form.get("token", "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        abort(403)
