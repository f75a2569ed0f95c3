use super::{read, words};

/// `entry workers threads timeout asgi`, as far as given.
fn check(line: &str, expected: &str) {
    let said = match read(line) {
        None => "none".to_owned(),
        Some(found) => {
            let mut said = found.entry().unwrap_or_else(|| "-".to_owned());
            for number in [
                found.workers.map(u64::from),
                found.threads.map(u64::from),
                found.timeout,
            ] {
                said.push_str(&number.map_or(" -".to_owned(), |number| format!(" {number}")));
            }
            if found.asgi {
                said.push_str(" asgi");
            }
            said
        }
    };
    assert_eq!(said, expected, "{line}");
}

#[test]
fn lines_of_servers_are_taken_apart() {
    check("gunicorn app:app -w 3 --timeout 180", "app:app 3 - 180");
    check(
        "gunicorn -w3 --threads=2 shop.wsgi",
        "shop.wsgi:application 3 2 -",
    );
    check(
        "python -m gunicorn 'shop:create_app()'",
        "shop:create_app() - - -",
    );
    check("cd x && exec gunicorn -b :$PORT a:b", "a:b - - -");
    check("flask db upgrade; gunicorn a:b", "a:b - - -");
    check(
        "poetry run uvicorn a.main:app --host 0.0.0.0 --port $PORT",
        "a.main:app - - - asgi",
    );
    check("uvicorn --factory a:make", "a:make() - - - asgi");
    check(
        "gunicorn -k uvicorn.workers.UvicornWorker a:app",
        "a:app - - - asgi",
    );
    check(
        "daphne -b 0.0.0.0 -p 8001 x.asgi:application",
        "x.asgi:application - - - asgi",
    );
    check(
        "waitress-serve --port=$PORT --call shop:create",
        "shop:create() - - -",
    );
    check(
        "newrelic-admin run-program gunicorn a:b --workers $WEB_CONCURRENCY",
        "a:b - - -",
    );
    check("A=b /srv/venv/bin/gunicorn a:b", "a:b - - -");
    check(
        "uwsgi --http :8000 --module a.wsgi:app --processes 4 --harakiri 20",
        "a.wsgi:app 4 - 20",
    );
    check("uwsgi uwsgi.ini", "- - - -");
    check("python app.py", "- - - -");
    check("npm start", "none");
    check("pip install gunicorn", "none");
    check("echo gunicorn a:b", "none");
    check("gunicorn 'a:b; rm -rf /'", "- - - -");
    check("", "none");
}

#[test]
fn quotes_and_operators_separate_words() {
    assert_eq!(
        words("a 'b c' \"d\\\"e\" f&&g;h"),
        ["a", "b c", "d\"e", "f", "&&", "g", ";", "h"]
    );
    assert_eq!(words("'unclosed"), ["unclosed"]);
}
