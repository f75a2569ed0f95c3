//! What is said to the edge about certificates, and heard of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use stead_model::certificates::{
    CertificateFiles, CertificateReport, CertificateTable, TlsAlpnChallenge,
};
use stead_model::messages::{EdgeCommand, EdgeEvent, HttpChallenges, Question};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::attempts::Kind;
use super::authority::Trouble;

/// The edge is in the same process, or on the same machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many names that visitors wait for are remembered; the edge says of the others again that they are wanted.
const MOST_WANTED: usize = 1024;
/// For an app to say whether a domain may have a certificate.
const QUESTION: Duration = Duration::from_secs(5);

/// The way to the edge.
#[derive(Debug)]
pub(crate) struct Link {
    commands: UnboundedSender<EdgeCommand>,
    events: UnboundedReceiver<EdgeEvent>,
    generation: u64,
    /// What visitors are shown.
    shown: Option<Shown>,
    /// Names that visitors wait for.
    wanted: VecDeque<String>,
    questions: u64,
}

/// What visitors are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) files: Vec<CertificateFiles>,
    /// For names that none of these is for.
    pub(crate) until: Vec<CertificateFiles>,
}

impl Link {
    pub(crate) fn new(
        commands: UnboundedSender<EdgeCommand>,
        events: UnboundedReceiver<EdgeEvent>,
    ) -> Self {
        Self {
            commands,
            events,
            generation: 0,
            shown: None,
            wanted: VecDeque::new(),
            questions: 0,
        }
    }

    /// Answer these tokens, and no others; returns when they are answered.
    pub(crate) async fn answer(
        &mut self,
        answers: BTreeMap<String, String>,
    ) -> Result<(), Trouble> {
        self.generation += 1;
        let generation = self.generation;
        let challenges = HttpChallenges {
            generation,
            answers,
        };
        let _ = self.commands.send(EdgeCommand::HttpChallenges(challenges));
        self.heard(|event| (event == EdgeEvent::Answering { generation }).then_some(()))
            .await
    }

    /// Show visitors these certificates. `None`: it does so already.
    pub(crate) async fn show(
        &mut self,
        shown: Shown,
    ) -> Option<Result<CertificateReport, Trouble>> {
        if self.shown.as_ref() == Some(&shown) {
            return None;
        }
        self.shown = Some(shown);
        Some(self.table(Vec::new()).await)
    }

    /// Show an authority these, beside the certificates.
    pub(crate) async fn challenge(
        &mut self,
        challenges: Vec<TlsAlpnChallenge>,
    ) -> Result<CertificateReport, Trouble> {
        self.table(challenges).await
    }

    async fn table(
        &mut self,
        challenges: Vec<TlsAlpnChallenge>,
    ) -> Result<CertificateReport, Trouble> {
        let Shown { files, until } = self.shown.clone().unwrap_or_default();
        let table = CertificateTable {
            files,
            default: None,
            until,
            challenges,
        };
        let _ = self.commands.send(EdgeCommand::Certificates(table));
        self.heard(|event| match event {
            EdgeEvent::Certificates(report) => Some(report),
            _ => None,
        })
        .await
    }

    /// Until visitors wait for a name; never when the edge has ended.
    pub(crate) async fn is_wanted(&mut self) {
        while self.wanted.is_empty() {
            match self.events.recv().await {
                Some(EdgeEvent::Wanted { host }) => remember(&mut self.wanted, host),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// The next name that visitors wait for.
    pub(crate) fn next_wanted(&mut self) -> Option<String> {
        while let Ok(event) = self.events.try_recv() {
            if let EdgeEvent::Wanted { host } = event {
                remember(&mut self.wanted, host);
            }
        }
        self.wanted.pop_front()
    }

    /// Nobody need wait for this name.
    pub(crate) fn not_wanted(&self, host: &str, within: Duration) {
        let host = host.to_owned();
        let _ = self.commands.send(EdgeCommand::NotWanted { host, within });
    }

    /// Ask the app; the status, or why there was none.
    pub(crate) async fn ask(&mut self, host: &str, path: String) -> Result<u16, String> {
        self.questions += 1;
        let id = self.questions;
        let question = Question {
            id,
            host: host.to_owned(),
            path,
            timeout: QUESTION,
        };
        let _ = self.commands.send(EdgeCommand::Ask(question));
        let heard = self.heard(|event| match event {
            EdgeEvent::Asked { id: asked, outcome } if asked == id => Some(outcome),
            _ => None,
        });
        heard.await.unwrap_or_else(|trouble| Err(trouble.why))
    }

    async fn heard<T>(&mut self, wanted: impl Fn(EdgeEvent) -> Option<T>) -> Result<T, Trouble> {
        let hearing = async {
            while let Some(event) = self.events.recv().await {
                match event {
                    EdgeEvent::Wanted { host } => remember(&mut self.wanted, host),
                    event => {
                        if let Some(found) = wanted(event) {
                            return Some(found);
                        }
                    }
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, hearing).await {
            Ok(Some(found)) => Ok(found),
            _ => Err(Trouble::new(
                Kind::Unavailable,
                "the edge does not answer the agent",
            )),
        }
    }
}

fn remember(wanted: &mut VecDeque<String>, host: String) {
    if wanted.len() < MOST_WANTED && !wanted.contains(&host) {
        wanted.push_back(host);
    }
}
