//! Ctrl-C while hosts work.

use stead_remote::GiveUp;
use tokio::signal::unix::{SignalKind, signal};

use crate::problem::{Problem, because};
use crate::render::Terminal;

/// The first Ctrl-C or SIGTERM gives up, and what goes on says what came of it; the second one does not wait for that.
pub(super) fn listen(
    give_up: &GiveUp,
    terminal: &Terminal,
    says: &'static str,
) -> Result<(), Problem> {
    let failed =
        |error: std::io::Error| Problem::new("cannot listen to signals").cause(because(&error));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (give_up, terminal) = (give_up.clone(), terminal.clone());
    let listen = || -> std::io::Result<_> {
        let _within = runtime.enter();
        Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    };
    let (mut interrupt, mut terminate) = listen().map_err(failed)?;
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let started = thread.spawn(move || {
        runtime.block_on(async {
            for again in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                match again {
                    false => {
                        if !says.is_empty() {
                            terminal.note(says);
                        }
                        give_up.now();
                    }
                    true => std::process::exit(130),
                }
            }
        });
    });
    started.map(drop).map_err(failed)
}
