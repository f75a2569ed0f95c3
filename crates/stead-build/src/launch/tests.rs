use stead_model::manifest::Count;

use super::*;
use crate::test_app::{App, arguments};

#[test]
fn a_server_that_cannot_run_the_program_is_refused() {
    let cases = [
        (Program::Asgi("a:b".into()), Server::Stead, "WSGI"),
        (Program::Wsgi("a:b".into()), Server::Uvicorn, "ASGI"),
        (Program::Asgi("a:b".into()), Server::Uwsgi, "WSGI"),
        (
            Program::Uwsgi("uwsgi.ini".into()),
            Server::Gunicorn,
            "configuration of uwsgi",
        ),
    ];
    for (program, server, why) in cases {
        let mut app = App::new(program);
        app.web().server = Some(server);
        let error = app.prepare().unwrap_err();
        assert!(error.causes[0].contains(why), "{error:#?}");
    }
}

#[test]
fn values_of_a_uwsgi_ini_become_arguments_and_its_machine_is_left_out() {
    let app = App::new(Program::Uwsgi("conf/uwsgi.ini".into()));
    app.write(
        "conf/uwsgi.ini",
        "[uwsgi]\nmodule = wsgi\ncallable = app\nprocesses = 3\nthreads = 2\nharakiri = 20\nbuffer-size = 32768\nlazy-apps = true\n\
         socket = /run/site.sock\nuid = www-data\ndaemonize = /var/log/site.log\nenv = MODE=live\n",
    )
    .write("requirements.txt", "");
    // The program need not be real: nothing is started here.
    let mut release = app.prepare();
    if release.is_err() {
        let environments = std::fs::read_dir(app.state().join("envs"))
            .unwrap()
            .flatten();
        let root = environments
            .map(|entry| entry.path())
            .find(|path| path.join("bin").is_dir())
            .unwrap();
        std::fs::copy("/bin/true", root.join("bin/uwsgi")).unwrap();
        release = app.prepare();
    }
    let release = release.unwrap();
    let web = &release.processes["web"];
    let given = arguments(&release).join(" ");
    for wanted in [
        "--master --die-on-term --need-app",
        "--processes=3 --threads=2 --harakiri=20",
        "--buffer-size=32768",
        "--lazy-apps",
        "--module=wsgi:app",
        "--virtualenv",
    ] {
        assert!(given.contains(wanted), "{given}");
    }
    for unwanted in ["socket", "uid", "daemonize"] {
        assert!(!given.contains(unwanted), "{given}");
    }
    assert_eq!(release.env["MODE"], "live");
    assert_eq!((web.count, web.capacity), (Count::Fixed(1), 6));
    assert_eq!(web.listen, Some(Listen::Descriptor(Protocol::Uwsgi)));
}

#[test]
fn threads_are_what_the_manifest_says() {
    let mut app = App::wsgi();
    app.web().threads = Threads::Fixed(1);
    let release = app.prepare().unwrap();
    assert_eq!(release.processes["web"].capacity, 1);
    assert!(
        arguments(&release)
            .join(" ")
            .ends_with("--threads 1 app:app")
    );
}

/// A program that is ended with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::KILL,
        );
        let _ = self.0.wait();
    }
}

/// Start `web` as the agent does, with a listening unix socket as descriptor 3, send one
/// request and return all that is answered.
fn answer(app: &App, request: &[u8]) -> String {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::os::unix::process::CommandExt;
    let release = app.prepare().unwrap_or_else(|error| panic!("{error:#?}"));
    let path = app.dir().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let start = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
    let child = std::process::Command::new("sh")
        .args(["-c", start, "sh"])
        .args(arguments(&release))
        .current_dir(&release.code)
        .envs(&release.env)
        .stdin(std::os::fd::OwnedFd::from(listener))
        .process_group(0)
        .spawn()
        .unwrap();
    let _running = Running(child);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut answered = Vec::new();
    stream.read_to_end(&mut answered).unwrap();
    String::from_utf8_lossy(&answered).into_owned()
}

const WSGI: &str = "def app(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
                    return [b'hello from ' + environ['PATH_INFO'].encode()]\n";

#[test]
fn gunicorn_serves_on_the_descriptor_whatever_its_own_file_binds() {
    let mut app = App::wsgi();
    app.web().server = Some(Server::Gunicorn);
    app.write("requirements.txt", "gunicorn>=22.0.0\n")
        .write("gunicorn.conf.py", "bind = '256.0.0.1:1'\nworkers = 1\n")
        .write("app.py", WSGI);
    let answered = answer(
        &app,
        b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(answered.contains("hello from /x"), "{answered}");
}

#[test]
fn uvicorn_serves_on_the_descriptor_and_believes_the_edge() {
    let app = App::new(Program::Asgi("app:create()".into()));
    app.write(
        "app.py",
        "def create():\n    async def app(scope, receive, send):\n        if scope['type'] != 'http':\n            return\n        \
         await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n        \
         await send({'type': 'http.response.body', 'body': (scope['scheme'] + ' ' + scope['client'][0]).encode()})\n    return app\n",
    );
    let answered = answer(
        &app,
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
    );
    assert!(answered.contains("https 192.0.2.7"), "{answered}");
}

#[test]
fn uwsgi_of_the_machine_serves_on_the_descriptor() {
    let mut app = App::wsgi();
    app.web().server = Some(Server::Uwsgi);
    app.web().count = Count::Fixed(1);
    app.write("app.py", WSGI);
    // A machine without it, or without its plugin for this Python, says so.
    if let Err(error) = app.prepare() {
        assert!(error.hint.unwrap().contains("add `uwsgi`"));
        return;
    }
    let mut variables = Vec::new();
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("PATH_INFO", "/x"),
        ("REQUEST_URI", "/x"),
        ("QUERY_STRING", ""),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "a"),
        ("SERVER_PORT", "80"),
    ] {
        for text in [name, value] {
            variables.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
            variables.extend(text.as_bytes());
        }
    }
    let mut packet = vec![0];
    packet.extend(u16::try_from(variables.len()).unwrap().to_le_bytes());
    packet.push(0);
    packet.extend(variables);
    let answered = answer(&app, &packet);
    assert!(answered.contains("hello from /x"), "{answered}");
}

#[test]
fn a_command_with_workers_of_its_own_is_started_once() {
    for (line, count) in [
        ("gunicorn app:app -w 2 -b 0.0.0.0:$PORT", Count::Fixed(1)),
        (
            "bin/migrate && exec .venv/bin/uwsgi --ini x.ini",
            Count::Fixed(1),
        ),
        ("uvicorn app:app --workers=4", Count::Fixed(1)),
        ("node server.js", Count::Auto),
    ] {
        let app = App::new(Program::Command(line.into()));
        assert_eq!(
            app.prepare().unwrap().processes["web"].count,
            count,
            "{line}"
        );
    }
}
