//! A client with a wish, as whoever carries the wish out sees it.

use stead_model::agent::{Answer, Progress, Wish};
use tokio::sync::{mpsc, watch};

/// Lines that wait for a client that reads slowly. Nobody waits for it: further lines of output are dropped.
const WAITING: usize = 4096;
/// Of these, kept for what is no output.
const RESERVED: usize = 1024;

/// A wish about apps. Its words were looked at ([`Wish::check`]).
#[derive(Debug)]
pub struct Asked {
    /// What is wanted.
    pub wish: Wish,
    /// Who wants it, and is to be answered.
    pub client: Client,
}

/// Who is to be answered. Every wish gets exactly one last line ([`Client::end`]). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    answers: mpsc::Sender<Answer>,
    given_up: watch::Receiver<bool>,
}

impl Client {
    /// Nobody: what the agent does of itself. Needs a tokio runtime.
    pub(crate) fn nobody() -> Self {
        let (asked, mut answers) = asked(Wish::Apps);
        tokio::spawn(async move { while answers.next().await.is_some() {} });
        asked.client
    }

    /// Say what happens. Never waits.
    pub fn say(&self, progress: Progress) {
        let is_output = matches!(progress, Progress::Output { .. });
        if !is_output || self.answers.capacity() > RESERVED {
            // Who is gone needs to know nothing more.
            let _ = self.answers.try_send(Answer::Progress(progress));
        }
    }

    /// Say the last line.
    pub async fn end(&self, answer: Answer) {
        let _ = self.answers.send(answer).await;
    }

    /// Wait until the client has given up: it is gone, or wants no more of it.
    pub async fn gives_up(&self) {
        let mut given_up = self.given_up.clone();
        // An error: nobody hears the answers any more.
        let _ = given_up.wait_for(|given_up| *given_up).await;
    }

    /// It has given up, or is gone.
    pub fn has_given_up(&self) -> bool {
        *self.given_up.borrow() || self.answers.is_closed()
    }
}

/// The connection's side.
#[derive(Debug)]
pub(super) struct Answers {
    answers: mpsc::Receiver<Answer>,
    given_up: watch::Sender<bool>,
}

impl Answers {
    /// The next line; `None` when whoever had the wish has let go of it.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// The client wants no more of it.
    pub(super) fn give_up(&self) {
        let _ = self.given_up.send(true);
    }
}

/// Both ends.
pub(super) fn asked(wish: Wish) -> (Asked, Answers) {
    let (to, answers) = mpsc::channel(WAITING);
    let (give_up, given_up) = watch::channel(false);
    let client = Client {
        answers: to,
        given_up,
    };
    let answers = Answers {
        answers,
        given_up: give_up,
    };
    (Asked { wish, client }, answers)
}
