//! Programs that well-known packages bring, and how each is told where to listen.

/// A package whose console script is how it is run.
#[derive(Debug)]
pub(crate) struct Known {
    /// Normalized.
    pub(crate) package: &'static str,
    /// The line; `$PORT` is where it must listen.
    pub(crate) line: &'static str,
    /// What it needs besides, a clause.
    pub(crate) needs: Option<&'static str>,
}

const fn known(package: &'static str, line: &'static str) -> Known {
    Known {
        package,
        line,
        needs: None,
    }
}

/// The line of a package's program.
pub(crate) fn of_package(package: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.package == package)
}

const KNOWN: &[Known] = &[
    Known {
        package: "devpi-server",
        line: "devpi-server --port $PORT --serverdir data",
        needs: Some(
            "run `devpi-init --serverdir data` once, and keep `data` with [volume.data] path = \"data\"",
        ),
    },
    Known {
        package: "datasette",
        line: "datasette serve . --port $PORT",
        needs: Some("it serves the SQLite databases of the directory"),
    },
    Known {
        package: "pypiserver",
        line: "pypi-server run --port $PORT packages",
        needs: Some("it serves the directory `packages`"),
    },
    Known {
        package: "octoprint",
        line: "octoprint serve --host 127.0.0.1 --port $PORT --basedir data",
        needs: Some("keep `data` with [volume.data] path = \"data\""),
    },
    Known {
        package: "calibreweb",
        line: "CALIBRE_PORT=$PORT cps -p data/app.db -g data/gdrive.db",
        needs: Some("keep `data` with [volume.data] path = \"data\""),
    },
    known("jupyterlab", "jupyter lab --no-browser --port $PORT"),
    known("notebook", "jupyter notebook --no-browser --port $PORT"),
    known("voila", "voila --no-browser --port=$PORT"),
    known("mlflow", "mlflow server --host 127.0.0.1 --port $PORT"),
    known("tensorboard", "tensorboard --logdir . --port $PORT"),
    known("flower", "celery flower --port=$PORT"),
    known("locust", "locust --web-host 127.0.0.1 --web-port $PORT"),
    known("radicale", "radicale --server-hosts 127.0.0.1:$PORT"),
    known(
        "wsgidav",
        "wsgidav --host 127.0.0.1 --port $PORT --root files --auth anonymous",
    ),
    known(
        "sqlite-web",
        "sqlite_web --no-browser --host 127.0.0.1 --port $PORT app.db",
    ),
    known("moto", "moto_server --host 127.0.0.1 --port $PORT"),
    known("rq-dashboard", "rq-dashboard --bind 127.0.0.1 --port $PORT"),
    known(
        "label-studio",
        "label-studio start --no-browser --port $PORT",
    ),
    known("superset", "superset run -h 127.0.0.1 -p $PORT"),
    known("apache-superset", "superset run -h 127.0.0.1 -p $PORT"),
    known(
        "dagster-webserver",
        "dagster-webserver --host 127.0.0.1 --port $PORT",
    ),
    known("luigi", "luigid --address 127.0.0.1 --port $PORT"),
    known("mkdocs", "mkdocs serve --dev-addr 127.0.0.1:$PORT"),
];
