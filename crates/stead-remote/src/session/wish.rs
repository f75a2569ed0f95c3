//! A wish that takes its time: what its host says meanwhile, and a person who may give up.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Mutex, PoisonError};

use stead_model::agent::{self, Answer, Done, Failed, LONGEST_ANSWER, Progress, Question, Wish};

use super::{Elevation, Session};
use crate::Failure;

/// The person's side of everything that goes on at hosts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct GiveUp(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    given_up: bool,
    /// Standard inputs of what runs: the end of one says that nobody wants it any more.
    open: Vec<Arc<Mutex<Option<ChildStdin>>>>,
}

impl GiveUp {
    /// From now on nothing is wanted any more. What goes on says what came of it.
    pub fn now(&self) {
        let mut state = self.lock();
        state.given_up = true;
        for open in state.open.drain(..) {
            open.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// Whether it was said.
    pub fn is_given_up(&self) -> bool {
        self.lock().given_up
    }

    /// Keep this open until then.
    fn keep(&self, input: Option<ChildStdin>) -> Arc<Mutex<Option<ChildStdin>>> {
        let mut state = self.lock();
        let held = Arc::new(Mutex::new(input.filter(|_| !state.given_up)));
        state.open.push(Arc::clone(&held));
        held
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was done.
    Done(Box<Done>),
    /// It was begun, and is not done.
    Failed(Box<Failed>),
    /// Nothing was done.
    Refused {
        /// Why, outermost first.
        causes: Vec<String>,
    },
}

impl Session {
    /// Have a wish carried out; what is said of it meanwhile is shown.
    ///
    /// # Errors
    /// Nobody knows what came of it: the connection broke.
    pub fn carry_wish(
        &self,
        wish: Wish,
        give_up: &GiveUp,
        show: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, Failure> {
        let act = || format!("cannot hear from `{}` any more", self.target);
        let question = Question {
            protocol: agent::PROTOCOL,
            wish,
            // sudo asks on the terminal, so what is asked is in a file, which ends at once.
            detached: self.elevation == Elevation::SudoAsks,
        };
        let mut line = serde_json::to_vec(&question)
            .map_err(|error| Failure::new(act(), error.to_string()))?;
        line.push(b'\n');
        let mut last = None;
        let mut hear = |line: &[u8]| match serde_json::from_slice(line) {
            Ok(Answer::Progress(progress)) => {
                show(progress);
                true
            }
            Ok(answer) => {
                last = Some(answer);
                false
            }
            // A shell of the account may greet; a newer agent may say more.
            Err(_) => true,
        };
        let talked = match self.elevation {
            Elevation::SudoAsks => self.as_root(&["api"], &line).map(|said| {
                for line in said.split(|byte| *byte == b'\n') {
                    hear(line);
                }
            }),
            _ => self.converse(&["api"], &line, give_up, &mut hear),
        };
        match (last, talked) {
            (Some(Answer::Done(done)), _) => Ok(Outcome::Done(done)),
            (Some(Answer::Failed(failed)), _) => Ok(Outcome::Failed(failed)),
            (Some(Answer::Refused { causes }), _) => Ok(Outcome::Refused { causes }),
            (_, Err(why)) => Err(Failure::new(act(), why)),
            (_, Ok(())) => Err(Failure::new(act(), "its agent ended before it was done")),
        }
    }

    /// Say a line to what these words run as root, and hear its lines until one is the last, or somebody gives up.
    pub(super) fn converse(
        &self,
        words: &[&str],
        line: &[u8],
        give_up: &GiveUp,
        hear: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), String> {
        let broken = |error: std::io::Error| format!("the connection failed: {error}");
        let mut child = self.talk(words).map_err(broken)?;
        let input = give_up.keep(child.stdin.take());
        if let Some(input) = &mut *input.lock().unwrap_or_else(PoisonError::into_inner) {
            // What does not read it says why it ended.
            let _ = input.write_all(line).and_then(|()| input.flush());
        }
        let heard = hear_all(&mut child, hear);
        // It answers to its end; then it is told that there is no more.
        input.lock().unwrap_or_else(PoisonError::into_inner).take();
        heard.map_err(broken)?;
        crate::ssh::ended(&child.wait_with_output().map_err(broken)?).map(drop)
    }
}

/// Up to the last line of an answer.
fn hear_all(child: &mut Child, hear: &mut dyn FnMut(&[u8]) -> bool) -> std::io::Result<()> {
    let Some(out) = child.stdout.take() else {
        return Ok(());
    };
    let mut out = BufReader::new(out);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut out).take(LONGEST_ANSWER as u64);
        if bounded.read_until(b'\n', &mut line)? == 0 || !hear(&line) {
            return Ok(());
        }
    }
}
