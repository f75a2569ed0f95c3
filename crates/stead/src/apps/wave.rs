//! A wish on several hosts: first on one alone, then on some at a time, and no further when one fails.

use serde::Serialize;
use stead_model::agent::{Done, Failed, Wish};
use stead_remote::{Failure, GiveUp, Outcome, Session, Target};

use super::deploy::prefix;
use crate::problem::{Fault, Problem};
use crate::render::{Steps, Terminal};

/// Hosts of a wave after the first one.
const AT_A_TIME: usize = 4;

/// By host, in their order; `None`: it was not begun there.
pub(crate) type Outcomes = Vec<Option<Came>>;

/// What came of it on a host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Came {
    /// It was done.
    Done(Box<Done>),
    /// It was begun, and is not done.
    Failed(Box<Failed>),
    /// Nothing was done there.
    Refused {
        /// Why, outermost first.
        causes: Vec<String>,
    },
    /// Nobody knows.
    Unknown {
        /// The act and its object.
        act: String,
        /// Why, outermost first.
        causes: Vec<String>,
    },
}

impl Came {
    fn of(outcome: Result<Outcome, Failure>) -> Self {
        match outcome {
            Ok(Outcome::Done(done)) => Self::Done(done),
            Ok(Outcome::Failed(failed)) => Self::Failed(failed),
            Ok(Outcome::Refused { causes }) => Self::Refused { causes },
            Err(failure) => Self::Unknown {
                act: failure.act,
                causes: failure.causes,
            },
        }
    }

    fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// What visitors of this host get now, as far as it was said.
    pub(crate) fn state(&self) -> Option<String> {
        match self {
            Self::Done(done) => done
                .release
                .map(|number| format!("release {number} serves")),
            Self::Failed(failed) => failed.state.clone(),
            Self::Refused { .. } => None,
            Self::Unknown { .. } => Some("what serves there is not known".to_owned()),
        }
    }

    /// The failure, if it is one: `verb` was to be done to `app` on `target`.
    pub(crate) fn problem(&self, verb: &str, app: &str, target: &Target) -> Option<Problem> {
        let act = format!("cannot {verb} `{app}` on `{target}`")
            .replace(&format!("deploy `{app}` on"), &format!("deploy `{app}` to"));
        Some(match self {
            Self::Done(_) => return None,
            Self::Refused { causes } => Problem {
                causes: causes.clone(),
                ..Problem::new(act)
            }
            .state("nothing was done there"),
            Self::Unknown { act: why, causes } => Problem {
                causes: [vec![why.clone()], causes.clone()].concat(),
                ..Problem::new(act)
            }
            .state("what serves there is not known")
            .hint(format!("stead status --app {app} --on {target}")),
            Self::Failed(failed) => {
                let act = match (failed.act.is_empty(), verb) {
                    (true, _) => act,
                    (false, "deploy") => format!("{} to `{target}`", failed.act),
                    (false, _) => format!("{} on `{target}`", failed.act),
                };
                let causes = failed.causes.clone();
                Problem {
                    causes,
                    place: failed.place.clone(),
                    state: failed.state.clone(),
                    hint: failed.hint.as_ref().map(|hint| there(hint, target)),
                    output: failed.log.clone(),
                    fault: match failed.configuration {
                        true => Fault::Invocation,
                        false => Fault::Failure,
                    },
                    ..Problem::new(act)
                }
            }
        })
    }
}

/// A hint of a host. A command for its administrator is typed here, and asks on this terminal.
fn there(hint: &str, target: &Target) -> String {
    match hint.starts_with("sudo ") {
        true => format!("ssh -t {target} {hint}"),
        false => hint.to_owned(),
    }
}

/// Carry it out, `wish(true)` on the first host.
pub(crate) fn run(
    sessions: &[Session],
    wish: &(dyn Fn(bool) -> Wish + Sync),
    give_up: &GiveUp,
    terminal: &Terminal,
) -> Outcomes {
    let mut outcomes: Outcomes = sessions.iter().map(|_| None).collect();
    let mut begun = 0;
    while begun < sessions.len() && !give_up.is_given_up() {
        let size = if begun == 0 { 1 } else { AT_A_TIME };
        let end = (begun + size).min(sessions.len());
        let wave = &sessions[begun..end];
        let came: Vec<Came> = std::thread::scope(|scope| {
            let running: Vec<_> = wave
                .iter()
                .map(|session| {
                    let is_first = begun == 0;
                    scope.spawn(move || {
                        let alone = sessions.len() == 1;
                        let mut steps = Steps::new(terminal, &prefix(sessions, session), alone);
                        let came = session.carry_wish(wish(is_first), give_up, &mut |progress| {
                            steps.show(&progress);
                        });
                        steps.over();
                        Came::of(came)
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Came::bug()))
                .collect()
        });
        let all_done = came.iter().all(Came::is_done);
        for (at, came) in came.into_iter().enumerate() {
            outcomes[begun + at] = Some(came);
        }
        if !all_done {
            break;
        }
        begun = end;
    }
    outcomes
}

impl Came {
    fn bug() -> Self {
        Self::Unknown {
            act: "it ended by a bug, see above".to_owned(),
            causes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_for_the_administrator_of_a_host_is_hinted_as_it_is_typed_here() {
        let target = Target::parse("deploy@h1").expect("it is one");
        let failed = Came::Failed(Box::new(Failed {
            act: "cannot deploy `shop`".to_owned(),
            hint: Some("sudo apt-get install nodejs npm".to_owned()),
            ..Failed::default()
        }));
        let problem = failed.problem("deploy", "shop", &target);
        assert_eq!(
            problem.and_then(|problem| problem.hint).as_deref(),
            Some("ssh -t deploy@h1 sudo apt-get install nodejs npm")
        );
        assert_eq!(
            there("health = { path = \"…\" }", &target),
            "health = { path = \"…\" }"
        );
    }
}
