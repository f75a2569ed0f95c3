use super::{Given, UwsgiIni};

/// `VIRTUAL_ENV` and `STAGE=live` are set; `site/static` and `lib` are directories, `wsgi.py` a file.
fn parse(text: &str) -> UwsgiIni {
    let given = Given {
        variable: &|name| match name {
            "VIRTUAL_ENV" => Some(String::new()),
            "STAGE" => Some("live".to_owned()),
            _ => None,
        },
        path: &|path| match path {
            "" | "lib" | "site" | "site/static" => Some(true),
            "wsgi.py" => Some(false),
            _ => None,
        },
    };
    super::parse(text, &given)
}

fn ignored(ini: &UwsgiIni) -> Vec<String> {
    let pairs = ini.ignored.iter();
    pairs.map(|(what, why)| format!("{what}: {why}")).collect()
}

#[test]
fn variables_of_the_file_are_filled_in_and_its_paths_are_of_this_tree() {
    let ini = parse(
        "[other]\nmodule = no:no\n[uwsgi]\nproject = shop\nbase = /srv/%(project)\nchdir = %(base)\n\
         pythonpath = %d/lib\nmodule = %(project).wsgi\ncallable = web\nworkers = 3\n\
         static-map = /static=shop/static\nstatic-map = /media=/srv/media\nenv = A=b=c\n\
         enable-threads\nuid = www-data\nnonsense = 1\n",
    );
    assert_eq!(ini.entry.as_deref(), Some("shop.wsgi:web"));
    assert_eq!(ini.chdir, None);
    assert_eq!(ini.pythonpath, ["lib"]);
    assert_eq!(ini.processes, Some(3));
    assert_eq!(ini.env, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!(
        ini.static_map[0],
        ("/static".to_owned(), "shop/static".to_owned())
    );
    assert_eq!(ini.static_map[1].1, "");
    assert_eq!(ini.kept, [("enable-threads".to_owned(), "true".to_owned())]);
    assert_eq!(
        ignored(&ini),
        [
            "chdir = /srv/shop: a path of another machine: the app runs in its own directory",
            "static-map = /media=/srv/media: a path of another machine: name the folder in [route] static",
            "uid: Stead runs every app as its own user",
            "nonsense: Stead does not know this option",
        ]
    );
}

#[test]
fn a_block_is_read_only_when_its_condition_holds() {
    let ini = parse(
        "[uwsgi]\nmodule = shop:app\nif-env = DEBUG\nprocesses = 1\npy-autoreload = 1\nendif =\n\
         if-not-env = DEBUG\nprocesses = 4\nendif =\nif-env = STAGE=test\nthreads = 9\nendif =\n\
         if-env = STAGE\nenv = WHERE=%(_)\nendif =\nif-env = WHERE\nharakiri = 20\nendif =\n\
         if-exists = lib\npythonpath = %(_)\nendif =\nif-file = nowhere.py\nbuffer-size = 1\nendif =\n\
         if-opt = processes=4\nlazy-apps =\nendif =\nif-hostname = me\nlisten = 5\nendif =\n\
         if-not-reload =\nenable-threads = true\nendif =\nfor = a b\nenv = X=%(_)\nendfor =\n",
    );
    assert_eq!(ini.processes, Some(4));
    assert_eq!(ini.threads, None);
    assert_eq!(ini.harakiri, Some(20));
    assert_eq!(ini.env, [("WHERE".to_owned(), "live".to_owned())]);
    assert_eq!(ini.pythonpath, ["lib"]);
    let kept: Vec<&str> = ini.kept.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(kept, ["lazy-apps", "enable-threads"]);
    assert_eq!(
        ignored(&ini),
        [
            "if-env = DEBUG: a block for when `DEBUG` is set, which it is not",
            "if-env = STAGE=test: a block for when `STAGE=test` is set, which it is not",
            "if-file = nowhere.py: a block whose condition does not hold",
            "if-hostname = me: Stead does not know this condition",
            "for = a b: loops in the file are not read",
        ]
    );
}

#[test]
fn paths_of_another_machine_are_named_and_those_below_its_own_directory_are_found() {
    let ini = parse(
        "[uwsgi]\nbase = /srv/www\nchdir = %(base)/hello\nvirtualenv = /srv/www/env\n\
         wsgi-file = %(chdir)/wsgi.py\nstatic-map = /static=%(chdir)/site/static\n\
         static-map = /media=/var/media\npythonpath = /opt/lib\ndaemonize = /var/log/x.log\n\
         logto = $(LOG_DIR)/x\nworkers = $(WORKERS)\n",
    );
    assert_eq!(ini.entry.as_deref(), Some("wsgi:application"));
    assert_eq!(ini.static_map[0].1, "site/static");
    assert_eq!(ini.processes, None);
    assert_eq!(
        ignored(&ini),
        [
            "chdir = /srv/www/hello: a path of another machine: the app runs in its own directory",
            "virtualenv = /srv/www/env: Stead builds the environment",
            "static-map = /media=/var/media: a path of another machine: name the folder in [route] static",
            "pythonpath = /opt/lib: a path of another machine",
            "daemonize = /var/log/x.log: Stead watches the process itself",
            "logto: `LOG_DIR`, which it is made of, is not set",
            "workers: `WORKERS`, which it is made of, is not set",
        ]
    );
}

#[test]
fn variables_that_double_themselves_stay_small() {
    let mut text = String::from("[uwsgi]\nbase = x\n");
    for _ in 0..200 {
        text.push_str("base = %(base)%(base)\n");
    }
    text.push_str("module = %(base)\n");
    assert!(parse(&text).entry.is_none_or(|entry| entry.len() < 100_000));
}

#[test]
fn an_entry_that_is_no_python_name_is_none() {
    assert_eq!(parse("[uwsgi]\nmodule = os;system(1)\n").entry, None);
    assert_eq!(
        parse("[uwsgi]\nwsgi-file = a/b.py\n").entry.as_deref(),
        Some("a.b:application")
    );
    assert_eq!(parse("").entry, None);
}
