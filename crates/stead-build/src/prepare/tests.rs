use std::path::Path;
use std::sync::Mutex;

use stead_model::manifest::Process;
use stead_model::release::{Listen, Protocol, Start};

use super::*;

/// Keeps what it is told.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Progress for Said {
    fn step(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn output(&self, line: &str) {
        self.0.lock().unwrap().push(format!("  {line}"));
    }
    fn done(&self, detail: &str) {
        self.0.lock().unwrap().push(format!("= {detail}"));
    }
}

fn write(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_wsgi_app_with_requirements_runs_on_the_own_worker_and_an_unchanged_one_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write(
        directory.path(),
        "requirements.txt",
        "itsdangerous==2.2.0\n",
    );
    let mut manifest = Manifest {
        app: "shop".into(),
        ..Manifest::default()
    };
    manifest
        .process
        .insert("web".into(), Process::new(Program::Wsgi("app:app".into())));
    let source = Source {
        dir: directory.path().to_owned(),
        state: directory.path().join(".stead"),
        number: 1,
    };
    let said = Said::default();
    let machine = Machine::of_this_process();
    let release = prepare(&machine, &manifest, &source, &said).unwrap();
    let web = &release.processes["web"];
    assert_eq!(web.listen, Some(Listen::Descriptor(Protocol::Frames)));
    assert_eq!(web.capacity, 16);
    let Start::Command(arguments) = &web.start else {
        panic!("{web:?}")
    };
    assert_eq!(arguments[2..], ["--threads", "16", "app:app"]);
    let status = std::process::Command::new(&arguments[0])
        .args(["-c", "import itsdangerous"])
        .status()
        .unwrap();
    assert!(status.success());

    let said = Said::default();
    let again = prepare(&machine, &manifest, &source, &said).unwrap();
    assert_eq!(again, release);
    assert_eq!(*said.0.lock().unwrap(), ["environment", "= unchanged"]);
}
