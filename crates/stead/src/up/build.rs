//! A build in a thread of its own, so that signals and visitors are attended to meanwhile.

use stead_build::{Progress, Source};
use stead_model::release::Release;
use tokio::sync::mpsc::UnboundedSender;

use super::local_hosts;
use crate::problem::Problem;
use crate::render::{Event, Live};
use crate::source::Loaded;

/// What a build made. Both are large, so they are boxed.
pub(super) type Built = Result<Box<Release>, Box<Problem>>;

/// Build the release that `loaded` describes; the outcome goes to `done`.
pub(super) fn start(
    loaded: Loaded,
    source: Source,
    listen_host: String,
    live: Live,
    done: UnboundedSender<Built>,
) -> Result<(), Problem> {
    let thread = std::thread::Builder::new()
        .name("build".to_owned())
        .spawn(move || {
            let shown = Shown { live };
            let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                stead_build::prepare(&loaded.manifest, &source, &shown)
            }));
            shown.live.show(Event::BuildOver);
            let _ = done.send(match built {
                Ok(Ok(mut release)) => {
                    local_hosts::add(&mut release.routes, &listen_host);
                    Ok(Box::new(release))
                }
                Ok(Err(error)) => Err(Box::new(error.into())),
                Err(_) => Err(Box::new(
                    Problem::new("cannot build the release")
                        .cause("the build ended by a bug, see above"),
                )),
            });
        });
    match thread {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::new("cannot start a build").cause(error.to_string())),
    }
}

struct Shown {
    live: Live,
}

impl Progress for Shown {
    fn step(&self, text: &str) {
        self.live.show(Event::Step(text.to_owned()));
    }

    fn output(&self, line: &str) {
        self.live.show(Event::Output(line.to_owned()));
    }

    fn done(&self, detail: &str) {
        self.live.show(Event::Done(detail.to_owned()));
    }
}
