use std::time::{Duration, SystemTime};

use stead_model::manifest::{Count, Process, Server};
use stead_model::release::{Listen, Protocol, Start};
use stead_model::routing::Target;

use super::*;
use crate::test_app::{App, arguments, distributions, python};

#[test]
fn a_wsgi_app_runs_on_the_own_worker_and_an_unchanged_one_costs_nothing() {
    let app = App::wsgi();
    app.write(
        "requirements.txt",
        "itsdangerous==2.2.0\ngunicorn==22.0.0\n",
    );
    let release = app.prepare().unwrap();
    let web = &release.processes["web"];
    assert_eq!(web.listen, Some(Listen::Descriptor(Protocol::Frames)));
    assert_eq!(web.capacity, 16);
    assert_eq!(arguments(&release)[2..], ["--threads", "16", "app:app"]);
    assert!(Path::new(&arguments(&release)[1]).is_file());
    assert_eq!(
        python(
            &release,
            "import itsdangerous; print(itsdangerous.__version__)"
        ),
        "2.2.0"
    );

    // A cache without uv: if it were needed, it would be downloaded, and that would be told.
    let mut app = app;
    let nowhere = app.dir().join("cache").display().to_string();
    app.machine = app.machine.clone().with("XDG_CACHE_HOME", nowhere);
    assert_eq!(app.prepare().unwrap(), release);
    assert_eq!(app.told(), "environment\n= unchanged");
}

#[test]
fn an_environment_is_made_again_when_what_it_is_made_from_changes() {
    let mut app = App::wsgi();
    app.write("pins.txt", "itsdangerous==2.1.2\n")
        .write("requirements.txt", "-r more.txt\n-c pins.txt\n")
        .write("more.txt", "itsdangerous\n");
    let first = app.prepare().unwrap();
    assert_eq!(
        python(
            &first,
            "import itsdangerous; print(itsdangerous.__version__)"
        ),
        "2.1.2"
    );
    app.write("pins.txt", "itsdangerous==2.2.0\n");
    let second = app.prepare().unwrap();
    assert_ne!(first.path, second.path);
    app.manifest.build.exclude_newer = Some("2024-05-01".into());
    app.write("pins.txt", "");
    let third = app.prepare().unwrap();
    assert_eq!(
        python(
            &third,
            "import itsdangerous; print(itsdangerous.__version__)"
        ),
        "2.2.0"
    );
    // Code alone changes nothing.
    app.write("app.py", "app = 1");
    app.prepare().unwrap();
    assert!(!app.installed());
}

#[test]
fn an_environment_without_its_marker_is_made_again() {
    let app = App::wsgi();
    app.write("requirements.txt", "");
    let release = app.prepare().unwrap();
    let root = release.path[0].parent().unwrap().to_owned();
    std::fs::remove_file(root.join(".stead-complete")).unwrap();
    std::fs::write(root.join("half"), "").unwrap();
    assert_eq!(app.prepare().unwrap(), release);
    assert!(app.installed());
    assert!(!root.join("half").exists());
}

#[test]
fn an_environment_whose_python_is_gone_is_made_again() {
    let app = App::wsgi();
    app.write("requirements.txt", "");
    let release = app.prepare().unwrap();
    let link = release.path[0].join("python");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/nonexistent/python3", &link).unwrap();
    app.prepare().unwrap();
    assert!(app.installed());
}

#[test]
fn old_environments_are_removed_and_the_last_used_ones_kept() {
    let app = App::wsgi();
    let mut roots = Vec::new();
    for number in 0..6 {
        app.write("requirements.txt", format!("# {number}\n"));
        let root = app.prepare().unwrap().path[0].parent().unwrap().to_owned();
        // One after the other, whatever the clock's resolution is.
        let used = SystemTime::now() - Duration::from_secs(1000 - number);
        std::fs::File::options()
            .append(true)
            .open(root.join(".stead-complete"))
            .unwrap()
            .set_modified(used)
            .unwrap();
        roots.push(root);
    }
    let there: Vec<bool> = roots.iter().map(|root| root.exists()).collect();
    assert_eq!(there, [false, false, true, true, true, true]);
}

#[test]
fn two_builds_at_once_make_one_environment() {
    let app = App::wsgi();
    app.write("requirements.txt", "itsdangerous==2.2.0\n");
    let releases: Vec<Release> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let said = crate::test_app::Said::default();
                    prepare(&app.machine, &app.manifest, &app.source(), &said).unwrap()
                })
            })
            .collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap())
            .collect()
    });
    assert!(releases.iter().all(|release| *release == releases[0]));
    assert_eq!(distributions(&releases[0]), ["itsdangerous"]);
}

#[test]
fn poetry_locks_of_both_kinds_bring_the_main_group_with_its_hashes() {
    for name in ["poetry21", "poetry11"] {
        let app = App::wsgi();
        app.locked(name);
        let release = app
            .prepare()
            .unwrap_or_else(|error| panic!("{name}: {error:#?}"));
        let names = distributions(&release).join(" ");
        for wanted in ["click", "requests", "pysocks", "certifi", "urllib3"] {
            assert!(names.contains(wanted), "{name}: {names}");
        }
        for unwanted in ["iniconfig", "redis", "colorama"] {
            assert!(!names.contains(unwanted), "{name}: {names}");
        }
        let written = release.path[0]
            .parent()
            .unwrap()
            .join("stead-requirements.txt");
        assert!(
            std::fs::read_to_string(written)
                .unwrap()
                .contains("--hash=sha256:")
        );
    }
}

#[test]
fn a_file_that_is_not_the_locked_one_is_refused() {
    let app = App::wsgi();
    app.locked("poetry21");
    let lock = std::fs::read_to_string(app.dir().join("poetry.lock")).unwrap();
    let broken: String = lock
        .lines()
        .map(|line| match line.split_once("hash = \"sha256:") {
            Some((start, _)) => format!("{start}hash = \"sha256:{}\"}},\n", "0".repeat(64)),
            None => format!("{line}\n"),
        })
        .collect();
    app.write("poetry.lock", broken);
    let error = app.prepare().unwrap_err();
    assert!(error.causes[0].contains("hash"), "{error:#?}");
}

#[test]
fn a_pipfile_lock_brings_its_default_packages() {
    let app = App::wsgi();
    app.locked("pipfile");
    let mut app = app;
    app.manifest.build.python = Some(available());
    let names = distributions(&app.prepare().unwrap()).join(" ");
    assert!(
        names.contains("click") && names.contains("pysocks"),
        "{names}"
    );
    assert!(!names.contains("iniconfig"), "{names}");
}

#[test]
fn a_uv_lock_brings_its_main_dependencies() {
    let app = App::wsgi();
    app.locked("uv");
    let release = app.prepare().unwrap();
    let names = distributions(&release).join(" ");
    assert!(names.contains("click"), "{names}");
    assert!(!names.contains("iniconfig"), "{names}");
}

#[test]
fn a_project_that_is_a_package_is_installed_editable_with_its_programs() {
    let app = App::wsgi();
    app.write(
        "pyproject.toml",
        "[project]\nname = \"shop\"\nversion = \"1.2\"\ndescription = \"Shop\"\ndependencies = [\"click==8.1.7\"]\n\
         [project.scripts]\nshopctl = \"shop:main\"\n\
         [build-system]\nrequires = [\"flit_core>=3\"]\nbuild-backend = \"flit_core.buildapi\"\n\
         [tool.flit.module]\nname = \"shop\"\n",
    )
    .write(
        "src/shop/__init__.py",
        "\"\"\"Shop.\"\"\"\ndef main():\n    print('open')\n",
    );
    let release = app.prepare().unwrap();
    assert_eq!(distributions(&release), ["click", "shop"]);
    assert!(release.path[0].join("shopctl").is_file());
    let from = python(&release, "import shop; print(shop.__file__)");
    assert!(
        from.ends_with("src/shop/__init__.py") && !from.contains("site-packages"),
        "{from}"
    );
    // A change of code is there at once.
    app.write("src/shop/__init__.py", "\"\"\"Shop.\"\"\"\nNEW = 1\n");
    let again = app.prepare().unwrap();
    assert!(!app.installed());
    assert_eq!(python(&again, "import shop; print(shop.NEW)"), "1");
}

#[test]
fn a_poetry_project_without_a_lock_or_a_package_is_built() {
    let app = App::wsgi();
    app.write("app.py", "app = 1\n").write(
        "pyproject.toml",
        "[tool.poetry]\nname = \"other-name\"\nversion = \"1\"\ndescription = \"\"\nauthors = []\n\
         [tool.poetry.dependencies]\npython = \"^3.6\"\nitsdangerous = \"^2.0\"\nclick = [{version = \"~8.0\", python = \"<3.0\"}, {version = \"8.1.7\", python = \">=3.0\"}]\n\
         [build-system]\nrequires = [\"poetry-core\"]\nbuild-backend = \"poetry.core.masonry.api\"\n",
    );
    let release = app.prepare().unwrap();
    assert_eq!(distributions(&release), ["click", "itsdangerous"]);
    assert!(
        app.told().contains("finds no package in it"),
        "{}",
        app.told()
    );
}

#[test]
fn setup_py_and_environment_yml_and_a_pipfile_are_sources_too() {
    let app = App::wsgi();
    app.write("app.py", "app = 1\n").write(
        "setup.py",
        "from setuptools import setup\nsetup(name='shop', version='1', py_modules=['app'], install_requires=['itsdangerous==2.2.0'])\n",
    );
    assert_eq!(
        distributions(&app.prepare().unwrap()),
        ["itsdangerous", "shop"]
    );

    let app = App::wsgi();
    app.write(
        "environment.yml",
        "dependencies:\n  - itsdangerous=2.2\n  - openssl\n  - pip:\n    - click==8.1.7\n",
    );
    assert_eq!(
        distributions(&app.prepare().unwrap()),
        ["click", "itsdangerous"]
    );

    let app = App::wsgi();
    app.write("environment.yml", "dependencies:\n  - flask\n  - ffmpeg\n");
    let error = app.prepare().unwrap_err();
    assert!(error.causes[0].contains("`ffmpeg`"), "{error:#?}");

    let app = App::wsgi();
    app.write("Pipfile", "[packages]\nitsdangerous = \"*\"\n");
    assert_eq!(distributions(&app.prepare().unwrap()), ["itsdangerous"]);
}

#[test]
fn hashes_in_requirements_are_required_and_additions_still_possible() {
    let app = App::new(Program::Asgi("app:app".into()));
    app.write(
        "requirements.txt",
        "itsdangerous==2.2.0 \\\n    --hash=sha256:c6242fc49e35958c8b15141343aa660db5fc54d4f13a1db01a3f5891b98700ef\n",
    );
    let names = distributions(&app.prepare().unwrap()).join(" ");
    assert!(
        names.contains("uvicorn") && names.contains("itsdangerous"),
        "{names}"
    );
    app.write(
        "requirements.txt",
        "click\nitsdangerous==2.2.0 --hash=sha256:c6242fc49e35958c8b15141343aa660db5fc54d4f13a1db01a3f5891b98700ef\n",
    );
    assert!(app.prepare().unwrap_err().causes[0].contains("hash"));
}

#[test]
fn an_asgi_app_gets_uvicorn_unless_it_brings_its_own() {
    let app = App::new(Program::Asgi("app:create()".into()));
    app.write("requirements.txt", "click==8.1.7\n");
    let release = app.prepare().unwrap();
    let web = &release.processes["web"];
    assert_eq!(web.listen, Some(Listen::Descriptor(Protocol::Http)));
    let given = arguments(&release);
    assert!(given[0].ends_with("bin/uvicorn"));
    assert_eq!(given[1..3], ["--fd", "3"]);
    assert_eq!(given[given.len() - 2..], ["--factory", "app:create"]);
    let names = distributions(&release).join(" ");
    assert!(names.contains("websockets"), "{names}");
    assert_eq!(
        python(
            &release,
            "from importlib.metadata import version; print(version('click'))"
        ),
        "8.1.7"
    );

    let app = App::new(Program::Asgi("app:app".into()));
    app.write("requirements.txt", "uvicorn==0.30.0\n");
    let release = app.prepare().unwrap();
    assert_eq!(
        python(&release, "import uvicorn; print(uvicorn.__version__)"),
        "0.30.0"
    );
    assert!(
        app.told().contains("no WebSocket support"),
        "{}",
        app.told()
    );
}

#[test]
fn the_apps_own_gunicorn_is_used_and_none_is_added() {
    let mut app = App::wsgi();
    app.web().server = Some(Server::Gunicorn);
    app.web().count = Count::Fixed(3);
    app.write("requirements.txt", "itsdangerous\n");
    let error = app.prepare().unwrap_err();
    assert_eq!(error.act, "cannot run `process.web`");
    assert!(
        error
            .hint
            .unwrap()
            .starts_with("add `gunicorn` to `requirements.txt`")
    );
    app.write("requirements.txt", "gunicorn==22.0.0\n");
    let release = app.prepare().unwrap();
    let given = arguments(&release);
    assert!(given[0].ends_with("bin/gunicorn"));
    assert_eq!(given[1..3], ["--workers", "3"]);
    assert!(
        !given
            .iter()
            .any(|word| word == "--preload" || word == "--bind")
    );
    let web = &release.processes["web"];
    assert_eq!(
        (web.count, web.listen),
        (Count::Fixed(1), Some(Listen::Descriptor(Protocol::Http)))
    );
}

#[test]
fn a_setuptools_that_lost_pkg_resources_is_replaced_for_those_who_import_it() {
    let app = App::wsgi();
    app.write("requirements.txt", "./testing/lib\n")
        .write(
            "testing/lib/setup.py",
            "from setuptools import setup\nsetup(name='lib', version='1', py_modules=['lib'], install_requires=['setuptools>=0.7'])\n",
        )
        .write("testing/lib/lib.py", "import pkg_resources\n");
    let release = app.prepare().unwrap();
    python(&release, "import pkg_resources, lib");
}

#[test]
fn setuptools_is_added_for_those_who_import_what_only_it_has() {
    let app = App::wsgi();
    app.write("requirements.txt", "itsdangerous==2.2.0\n")
        .write("app.py", "import pkg_resources\n");
    let release = app.prepare().unwrap();
    assert!(
        app.told().contains("adding setuptools<81"),
        "{}",
        app.told()
    );
    python(&release, "import pkg_resources");
    // A package may be the one that does.
    let app = App::wsgi();
    app.write(
        "testing/lib/setup.py",
        "from setuptools import setup\nsetup(name='lib', version='1', py_modules=['lib'])\n",
    )
    .write("testing/lib/lib.py", "import pkg_resources\n")
    .write("requirements.txt", "./testing/lib\n");
    let release = app.prepare().unwrap();
    assert!(
        app.told().contains("`lib.py` imports `pkg_resources`"),
        "{}",
        app.told()
    );
    python(&release, "import lib");
}

#[test]
fn a_package_whose_build_needs_older_tools_gets_them() {
    let app = App::wsgi();
    app.write(
        "lib/setup.py",
        "import pkg_resources\nfrom setuptools import setup\nsetup(name='lib', version='1')\n",
    )
    .write("requirements.txt", "./lib\n");
    app.prepare().unwrap();
    assert!(
        app.told().contains("trying again with setuptools"),
        "{}",
        app.told()
    );
}

#[test]
fn what_cannot_be_installed_leaves_no_environment_behind() {
    let app = App::wsgi();
    app.write("requirements.txt", "itsdangerous==99.9\n");
    let error = app.prepare().unwrap_err();
    assert_eq!(
        error.act,
        "cannot install the packages of `requirements.txt`"
    );
    assert!(
        error.causes[0].contains("has no version `itsdangerous==99.9`"),
        "{error:#?}"
    );
    assert!(app.prepare().is_err());
    app.write("requirements.txt", "itsdangerous==2.2.0\n");
    app.prepare().unwrap();
}

#[test]
fn a_python_that_is_not_here_is_refused_before_anything_is_made() {
    let mut app = App::wsgi();
    app.manifest.build.python = Some("3.99".into());
    let error = app.prepare().unwrap_err();
    assert_eq!(error.act, "cannot find Python 3.99");
    assert!(
        error.causes[1].starts_with("this machine has Python"),
        "{error:#?}"
    );
}

#[test]
fn a_command_a_folder_and_the_manifests_variables_become_a_release() {
    let mut app = App::new(Program::Command("./serve --port $PORT".into()));
    app.manifest.process.insert(
        "worker".into(),
        Process::new(Program::Command("./work".into())),
    );
    app.manifest.process.insert(
        "site".into(),
        Process::new(Program::Static("public".into())),
    );
    app.manifest.env.insert("MODE".into(), "live".into());
    let release = app.prepare().unwrap();
    assert_eq!(arguments(&release), ["sh", "-c", "./serve --port $PORT"]);
    assert_eq!(
        release.processes["web"].listen,
        Some(Listen::Port(Protocol::Http))
    );
    assert_eq!(release.processes["worker"].listen, None);
    assert!(!release.processes.contains_key("site"));
    assert!(release.path.is_empty());
    assert_eq!(release.env["MODE"], "live");
    assert!(!app.state().join("envs").exists());
}

#[test]
fn preloading_starts_the_worker_with_its_flag() {
    let mut app = App::wsgi();
    app.web().preload = true;
    let release = app.prepare().unwrap();
    let Start::Preload(given) = &release.processes["web"].start else {
        panic!()
    };
    assert_eq!(given[2..], ["--preload", "--threads", "16", "app:app"]);
}

#[test]
fn a_root_that_is_missing_and_a_package_of_the_system_that_is_missing_are_refused() {
    let mut app = App::wsgi();
    app.manifest.build.root = Some("backend".into());
    assert!(app.prepare().unwrap_err().causes[0].contains("`backend`"));
    app.manifest.build.root = None;
    app.manifest.build.packages = vec!["no-such-package-at-all".into()];
    if app.machine.program("dpkg-query").is_some() {
        let error = app.prepare().unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("sudo apt-get install no-such-package-at-all")
        );
    }
}

/// The Python that the Pipfile.lock was made for, when it is here; else any.
fn available() -> String {
    let machine = Machine::of_this_process();
    let directory = tempfile::tempdir().unwrap();
    let found = interpreter::versions(&machine, &directory.path().join("memory"));
    match found
        .iter()
        .find(|version| (version.0, version.1) == (3, 11))
    {
        Some(_) => "3.11".into(),
        None => found
            .last()
            .map(|version| format!("{}.{}", version.0, version.1))
            .unwrap(),
    }
}

#[test]
fn an_old_flask_that_was_pinned_alone_imports() {
    let app = App::wsgi();
    app.write("requirements.txt", "Flask==1.1.2\nFlask-Login==0.5.0\n");
    let release = app.prepare().unwrap();
    assert!(app.told().contains("holding back"), "{}", app.told());
    assert_eq!(
        python(
            &release,
            "import flask, flask_login; print(flask.__version__)"
        ),
        "1.1.2"
    );
}

#[test]
fn what_the_top_of_a_repository_says_counts_for_the_part_that_is_the_app() {
    let mut app = App::wsgi();
    app.manifest.build.root = Some("backend".into());
    app.write("requirements.txt", "itsdangerous==2.2.0\n")
        .write("backend/app.py", "app = 1\n");
    let release = app.prepare().unwrap();
    assert_eq!(release.code, app.dir().join("backend"));
    assert_eq!(distributions(&release), ["itsdangerous"]);
}

#[test]
fn a_folder_at_a_routes_own_path_is_all_that_answers_there() {
    let text = "app = \"shop\"\n[process.web]\nwsgi = \"shop:app\"\n[[route]]\nhosts = [\"shop.example.com\"]\n\
                static = { \"/\" = \"dist\" }\nfallback = \"index.html\"\n\
                [[route]]\nhosts = [\"shop.example.com\"]\npath = \"/api\"\n";
    let manifest = Manifest::parse(text, "stead.toml").unwrap();
    let routes = routes::resolve(&manifest, Path::new("/srv"));
    let seen: Vec<_> = routes
        .iter()
        .map(|route| {
            let page = match &route.target {
                Target::Folder(folder) => folder.page.as_deref(),
                _ => None,
            };
            (route.path.as_str(), page)
        })
        .collect();
    assert_eq!(seen, [("/", Some("index.html")), ("/api", None)]);
}

#[test]
fn domains_that_no_route_names_lead_to_the_first_hosts_only_when_they_get_certificates() {
    let on_demand = "[acme.on-demand]\nask = \"/allowed?domain=\"\n";
    let routes = |text: &str| {
        let manifest = Manifest::parse(text, "stead.toml").unwrap();
        routes::resolve(&manifest, Path::new("/srv"))
    };
    let shop = "[process.web]\nwsgi = \"shop:app\"\n[[route]]\nhosts = [\"shop.example.com\"]\nstatic = { \"/static\" = \"static\" }\n\
                [[route]]\nhosts = [\"api.example.com\"]\n";
    let of_all = |routes: &[stead_model::routing::Route]| {
        let all = routes.iter().filter(|route| route.hosts.is_empty());
        all.map(|route| route.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of_all(&routes(shop)), Vec::<String>::new());
    let with = routes(&format!("{shop}{on_demand}"));
    assert_eq!(of_all(&with), ["/static", "/"]);
    assert!(
        with.iter()
            .all(|route| route.tls.as_ref().is_some_and(|tls| tls.on_demand))
    );
    // A route of every host is there already.
    let open = format!("{shop}[[route]]\npath = \"/open\"\n{on_demand}");
    assert_eq!(of_all(&routes(&open)), ["/open"]);
}
