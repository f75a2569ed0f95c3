//! Change without loss: SIGHUP and `--watch`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::running::{ONE, Tree, WSGI, get, wait_until};

#[test]
fn no_request_fails_while_releases_change() {
    let tree = Tree::wsgi();
    let mut running = tree.serve(&[]);
    let address = running.address();
    let stop = Arc::new(AtomicBool::new(false));
    let good = Arc::new(AtomicUsize::new(0));
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            let (address, stop, good) = (address.clone(), Arc::clone(&stop), Arc::clone(&good));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = get(&address, "localhost", "/").unwrap();
                    assert_eq!(answer.status, 200, "{answer:?}");
                    good.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for release in 2..=6 {
        tree.write(
            "app.py",
            &WSGI.replace("one", &format!("release {release}")),
        );
        running.signal(Signal::HUP);
        running.wait_for(&format!("release {release} serves"));
        let answer = running.get("/");
        assert_eq!(answer.body, format!("release {release}"));
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    assert!(good.load(Ordering::Relaxed) > 10);
    assert!(running.stop().success());
}

#[test]
fn code_that_does_not_start_leaves_the_old_release_serving() {
    let tree = Tree::wsgi();
    let mut running = tree.serve(&[]);
    tree.write("app.py", "import no_such_module\n");
    running.signal(Signal::HUP);
    running.wait_for("state: release 1 still serves");
    assert!(running.seen().contains("No module named 'no_such_module'"));
    assert_eq!(running.get("/").body, "one");
    tree.write("app.py", &WSGI.replace("one", "two"));
    running.signal(Signal::HUP);
    running.wait_for("release 3 serves");
    assert_eq!(running.get("/").body, "two");
    assert!(running.stop().success());
}

#[test]
fn a_broken_stead_toml_leaves_the_old_release_serving() {
    let tree = Tree::wsgi();
    let mut running = tree.serve(&[]);
    tree.write("stead.toml", &format!("{ONE}helth = 1\n"));
    running.signal(Signal::HUP);
    running.wait_for("state: release 1 still serves");
    let seen = running.seen();
    assert!(seen.contains("error: unknown key `helth`"), "{seen}");
    assert!(seen.contains("--> stead.toml:"), "{seen}");
    assert_eq!(running.get("/").body, "one");
    tree.write("stead.toml", ONE);
    running.signal(Signal::HUP);
    running.wait_for("release 2 serves");
    assert!(running.stop().success());
}

#[test]
fn a_change_of_the_source_is_noticed_and_a_broken_one_explained() {
    let tree = Tree::wsgi();
    let mut running = tree.serve(&["--watch"]);
    tree.write("app.py", &WSGI.replace("one", "two"));
    running.wait_for("reloading: app.py changed");
    running.wait_for("release 2 serves");
    assert_eq!(running.get("/").body, "two");
    tree.write("app.py", "broken(\n");
    running.wait_for("state: release 2 still serves");
    assert_eq!(running.get("/").body, "two");
    tree.write("app.py", &WSGI.replace("one", "three"));
    running.wait_for("release 4 serves");
    assert_eq!(running.get("/").body, "three");
    assert!(running.stop().success());
}

#[test]
fn a_watched_app_that_does_not_start_is_started_once_it_is_mended() {
    let tree = Tree::wsgi();
    tree.write("app.py", "broken(\n");
    let mut running = tree.up(&["--watch"]);
    running.wait_for("waiting for the source to change");
    tree.write("app.py", WSGI);
    running.wait_for("release 2 serves");
    assert_eq!(running.get("/").body, "one");
    assert!(running.stop().success());
}

#[test]
fn files_in_new_directories_are_watched_and_ignored_ones_are_not() {
    let tree = Tree::wsgi();
    tree.write(".gitignore", "ignored/\n*.gen.py\n");
    tree.write("ignored/a.py", "");
    let mut running = tree.serve(&["--watch"]);
    tree.write("ignored/a.py", "x = 1\n");
    tree.write("b.gen.py", "x = 1\n");
    tree.write("data.db", "x");
    tree.write("node_modules/x/index.js", "x");
    tree.write("pages/new/home.html", "x");
    running.wait_for("release 2 serves");
    tree.write("pages/new/home.html", "y");
    running.wait_for("release 3 serves");
    let seen = running.seen();
    assert_eq!(
        seen.matches("reloading: pages/new/home.html changed")
            .count(),
        2,
        "{seen}"
    );
    assert_eq!(seen.matches("reloading:").count(), 2, "{seen}");
    assert!(running.stop().success());
}

#[test]
fn an_app_that_writes_into_its_source_does_not_reload_for_ever() {
    let tree = Tree::wsgi();
    tree.write(
        "app.py",
        &format!("import time\nopen('started.json', 'w').write(str(time.time()))\n{WSGI}"),
    );
    let mut running = tree.serve(&["--watch"]);
    tree.write("app.py", &format!("{}\n# again\n", tree.read("app.py")));
    running.wait_for("not watched any more");
    let seen = running.seen();
    assert!(seen.matches("reloading:").count() <= 5, "{seen}");
    assert_eq!(running.get("/").body, "one");
    assert!(running.stop().success());
}

#[test]
fn a_checkout_of_hundreds_of_files_is_no_hundreds_of_reloads() {
    let tree = Tree::wsgi();
    let git = |arguments: &[&str]| {
        let done = std::process::Command::new("git")
            .args(["-c", "user.name=shop", "-c", "user.email=shop@example.com"])
            .args(arguments)
            .current_dir(tree.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    tree.write(".gitignore", ".stead\n__pycache__\n");
    for n in 0..300 {
        tree.write(&format!("shop/part{n}.py"), "value = 1\n");
    }
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    git(&["checkout", "-q", "-b", "two"]);
    for n in 0..400 {
        tree.write(&format!("shop/part{n}.py"), "value = 2\n");
    }
    tree.write("app.py", &WSGI.replace("one", "two"));
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "two"]);
    git(&["checkout", "-q", "-"]);
    let mut running = tree.serve(&["--watch"]);
    assert_eq!(running.get("/").body, "one");
    git(&["checkout", "-q", "two"]);
    wait_until("the new code", || running.get("/").body == "two");
    // In batches, however slow the checkout is: a reload for each file would be 400.
    let reloads = running.seen().matches("reloading: ").count();
    assert!(reloads < 20, "{}", running.seen());
    assert!(running.stop().success());
}
