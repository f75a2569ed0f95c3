//! What is said to the edge about certificates, and heard of it.

use std::collections::BTreeMap;
use std::time::Duration;

use stead_model::certificates::{
    CertificateFiles, CertificateReport, CertificateTable, TlsAlpnChallenge,
};
use stead_model::messages::{EdgeCommand, EdgeEvent, HttpChallenges};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::attempts::Kind;
use super::authority::Trouble;

/// The edge is in the same process, or on the same machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to the edge.
#[derive(Debug)]
pub(crate) struct Link {
    commands: UnboundedSender<EdgeCommand>,
    events: UnboundedReceiver<EdgeEvent>,
    generation: u64,
    /// The certificates that visitors are shown.
    files: Option<Vec<CertificateFiles>>,
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
            files: None,
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
        files: Vec<CertificateFiles>,
    ) -> Option<Result<CertificateReport, Trouble>> {
        if self.files.as_ref() == Some(&files) {
            return None;
        }
        self.files = Some(files);
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
        let table = CertificateTable {
            files: self.files.clone().unwrap_or_default(),
            default: None,
            challenges,
        };
        let _ = self.commands.send(EdgeCommand::Certificates(table));
        self.heard(|event| match event {
            EdgeEvent::Certificates(report) => Some(report),
            _ => None,
        })
        .await
    }

    async fn heard<T>(&mut self, wanted: impl Fn(EdgeEvent) -> Option<T>) -> Result<T, Trouble> {
        let hearing = async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = wanted(event) {
                    return Some(found);
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
