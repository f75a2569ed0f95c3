//! Programs that well-known packages bring, and how each is told where to listen.

use crate::detect::draft::quoted;

/// A package whose console script is how it is run.
#[derive(Debug)]
pub(crate) struct Known {
    /// Normalized.
    pub(crate) package: &'static str,
    /// The line; `$PORT` is where it must listen.
    pub(crate) line: &'static str,
    /// The directory that it keeps, a volume.
    pub(crate) folder: Option<&'static str>,
    /// What is run before it, again and again.
    pub(crate) before: Option<&'static str>,
}

impl Known {
    /// The line with what belongs to it, below `[process.web]`.
    pub(crate) fn toml(&self) -> String {
        let mut toml = format!("command = {}", quoted(self.line));
        if let Some(before) = self.before {
            toml.push_str(&format!("\n[release]\ncommand = {}", quoted(before)));
        }
        if let Some(folder) = self.folder {
            toml.push_str(&format!("\n[volume.{folder}]\npath = {}", quoted(folder)));
        }
        toml
    }
}

const fn known(package: &'static str, line: &'static str) -> Known {
    Known {
        package,
        line,
        folder: None,
        before: None,
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
        folder: Some("data"),
        before: Some("test -e data/.serverversion || devpi-init --serverdir data"),
    },
    Known {
        package: "pypiserver",
        line: "pypi-server run --port $PORT packages",
        folder: Some("packages"),
        before: None,
    },
    Known {
        package: "octoprint",
        line: "octoprint serve --host 127.0.0.1 --port $PORT --basedir data",
        folder: Some("data"),
        before: None,
    },
    Known {
        package: "calibreweb",
        line: "CALIBRE_PORT=$PORT cps -p data/app.db -g data/gdrive.db",
        folder: Some("data"),
        before: None,
    },
    known("datasette", "datasette serve . --port $PORT"),
    known("jupyterlab", "jupyter lab --no-browser --port $PORT"),
    known("notebook", "jupyter notebook --no-browser --port $PORT"),
    known("voila", "voila --no-browser --port=$PORT"),
    known("mlflow", "mlflow server --host 127.0.0.1 --port $PORT"),
    known("tensorboard", "tensorboard --logdir . --port $PORT"),
    known("flower", "celery flower --port=$PORT"),
    known("locust", "locust --web-host 127.0.0.1 --web-port $PORT"),
    Known {
        package: "radicale",
        line: "radicale --server-hosts 127.0.0.1:$PORT --storage-filesystem-folder data",
        folder: Some("data"),
        before: None,
    },
    Known {
        package: "wsgidav",
        line: "wsgidav --host 127.0.0.1 --port $PORT --root \"$(readlink -f files)\" --auth anonymous",
        folder: Some("files"),
        before: None,
    },
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
