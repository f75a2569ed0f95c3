//! What the system lets this process have: descriptors, for visitors, and threads.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::problem::{Problem, because};

/// With fewer descriptors nothing can be served: a listener, an epoll and a waker for each thread, the
/// pipes of one instance, its connections, and a few visitors.
const FEWEST_DESCRIPTORS: u64 = 64;
/// Stead's own threads at the start: the edge's, the printer, the spawner, two for logs, a build and its readers.
const THREADS: usize = 12;

/// Take as many descriptors as the system allows: each visitor needs one, and 1024, the usual soft limit, is for
/// programs that call `select`. Returns the limit that was in force, for the programs that Stead starts.
pub(crate) fn raise() -> Result<Option<u64>, Problem> {
    let before = getrlimit(Resource::Nofile);
    if before.maximum.is_some_and(|most| most < FEWEST_DESCRIPTORS) {
        let most = before.maximum.unwrap_or_default();
        return Err(Problem::new("cannot start").cause(format!(
            "this user may open {most} files (`ulimit -n`), and Stead needs {FEWEST_DESCRIPTORS} at least"
        )));
    }
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        },
    );
    Ok(before.current)
}

/// Find out whether Stead's threads can be had, all at once, while it can still be said plainly.
pub(super) fn try_threads() -> Result<(), Problem> {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let threads: Result<Vec<_>, _> = (0..THREADS)
        .map(|_| {
            let held = std::sync::Arc::clone(&held);
            std::thread::Builder::new()
                .stack_size(16 * 1024)
                .spawn(move || {
                    let held = held.lock();
                    let _ = held.map(|held| held.recv());
                })
        })
        .collect();
    drop(hold);
    let outcome = threads.map(|threads| threads.into_iter().for_each(|t| drop(t.join())));
    outcome.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                "this user (or machine) may not have more processes (`ulimit -u`)".to_owned()
            }
            _ => because(&error),
        };
        Problem::new("cannot start").cause(why)
    })
}
