//! What clients want of an app, and what it does by itself on a schedule.

mod jobs;

use std::collections::BTreeSet;
use std::time::Instant;

use stead_model::agent::{Answer, Deploy, Done, Progress, ReleaseState, Wish};
use stead_model::manifest::Count;
use stead_model::plan::Table;
use stead_model::units;

use super::{App, Ongoing, clock};
use crate::api::{Asked, Client};
use crate::state::Failure;

pub(super) use jobs::Jobs;

/// So many releases are told of.
const TOLD: u32 = 100;

impl App {
    /// Somebody wants something.
    pub(super) async fn asked(&mut self, asked: Asked) {
        let Asked { wish, client } = asked;
        if wish.takes_long()
            && let Some(ongoing) = &self.ongoing
        {
            let who = match ongoing.who.as_str() {
                "" => "somebody",
                who => who,
            };
            let causes = vec![
                format!(
                    "`{}` is being changed by {who}, since {} s",
                    self.name,
                    ongoing.began.elapsed().as_secs()
                ),
                format!("release {} is in the making", ongoing.number),
            ];
            return Self::refuse(&client, causes).await;
        }
        let refused = match wish {
            Wish::Releases { .. } => return self.releases(&client).await,
            Wish::Deploy(deploy) => self.deploy(deploy, &client),
            Wish::Rollback { to, who, .. } => self.roll_back(to, who, &client).await,
            Wish::Restart { process, .. } => self.restart(process, &client).await,
            Wish::Scale { process, count, .. } => self.scale(&process, count, &client),
            Wish::Remove { data, .. } => self.remove(data, &client),
            Wish::Status
            | Wish::Apps
            | Wish::Certificates { .. }
            | Wish::RenewCertificates { .. }
            | Wish::ImportCertificate(_) => Err(vec!["this is no wish about an app".to_owned()]),
        };
        if let Err(causes) = refused {
            Self::refuse(&client, causes).await;
        }
    }

    fn begin(&mut self, act: &str, who: String, number: u64, client: &Client) {
        self.ongoing = Some(Ongoing {
            client: client.clone(),
            act: format!("cannot {act}"),
            who,
            began: Instant::now(),
            at: clock(),
            number,
            key: None,
            previous: self.serving_number(),
            step: None,
            making: None,
            makes: false,
            is_watched: false,
            run_release_command: true,
            replaced: BTreeSet::new(),
            removes: None,
        });
    }

    /// The number of the release that serves.
    pub(super) fn serving_number(&self) -> Option<u64> {
        let key = self.desired.serving.as_ref()?.release;
        Some(self.generations.get(&key)?.release.number)
    }

    fn deploy(&mut self, deploy: Deploy, client: &Client) -> Result<(), Vec<String>> {
        let begun = self.shared.store().begin_release(
            &self.name,
            &deploy.tree,
            &deploy.origin,
            clock(),
            None,
        );
        let number = begun.map_err(|failure| vec![failure.act, failure.cause])?;
        let act = format!("deploy `{}`", self.name);
        self.notice = None;
        self.begin(&act, deploy.origin.who, number, client);
        if let Some(ongoing) = &mut self.ongoing {
            ongoing.makes = true;
            ongoing.is_watched = true;
            ongoing.run_release_command = deploy.release_command;
        }
        client.say(Progress::Release { number });
        self.make(deploy.tree);
        Ok(())
    }

    async fn roll_back(
        &mut self,
        to: Option<u64>,
        who: String,
        client: &Client,
    ) -> Result<(), Vec<String>> {
        let said = |failure: crate::store::Failure| vec![failure.act, failure.cause];
        let serving = self.serving_number();
        let records = self
            .shared
            .store()
            .releases(&self.name, 1000)
            .map_err(said)?;
        let found = match to {
            Some(number) => records
                .into_iter()
                .find(|record| record.info.number == number),
            None => records.into_iter().find(|record| {
                record.info.state == ReleaseState::Retired && Some(record.info.number) != serving
            }),
        };
        let record = found.ok_or_else(|| {
            vec![match to {
                Some(number) => format!("there is no release {number} of `{}`", self.name),
                None => "no release served before the current one".to_owned(),
            }]
        })?;
        let earlier = record.info.number;
        if Some(earlier) == serving {
            return Err(vec![format!("release {earlier} serves already")]);
        }
        let built = record.built.ok_or_else(|| {
            vec![format!(
                "what was built for release {earlier} is not kept any more"
            )]
        })?;
        let mut origin = record.info.origin.clone();
        origin.who.clone_from(&who);
        let number = self
            .shared
            .store()
            .begin_release(
                &self.name,
                &record.info.tree,
                &origin,
                clock(),
                Some(earlier),
            )
            .map_err(said)?;
        let act = format!("roll `{}` back to release {earlier}", self.name);
        self.begin(&act, who, number, client);
        if let Some(ongoing) = &mut self.ongoing {
            ongoing.makes = true;
        }
        client.say(Progress::Release { number });
        if let Err(failure) = self.launch(built, false).await {
            self.end_failed(failure, Vec::new()).await;
        }
        Ok(())
    }

    async fn restart(
        &mut self,
        process: Option<String>,
        client: &Client,
    ) -> Result<(), Vec<String>> {
        let nothing = || vec![format!("no release of `{}` serves", self.name)];
        let number = self.serving_number().ok_or_else(nothing)?;
        let serving = self.desired.serving.clone().ok_or_else(nothing)?;
        let act = format!("restart `{}`", self.name);
        let Some(process) = process else {
            let record = self.shared.store().release(&self.name, number);
            let built = record
                .map_err(|failure| vec![failure.act, failure.cause])?
                .and_then(|record| record.built)
                .ok_or_else(nothing)?;
            self.begin(&act, String::new(), number, client);
            if let Err(failure) = self.launch(built, false).await {
                self.end_failed(failure, Vec::new()).await;
            }
            return Ok(());
        };
        if !serving.processes.contains_key(&process) {
            return Err(vec![format!("release {number} has no process `{process}`")]);
        }
        self.begin(&act, String::new(), number, client);
        for instance in &mut self.observed.instances {
            if instance.release == serving.release && instance.process == process {
                instance.recycle = true;
                if let Some(ongoing) = &mut self.ongoing {
                    ongoing.replaced.insert(instance.id);
                }
            }
        }
        Ok(())
    }

    fn scale(
        &mut self,
        process: &str,
        count: Option<u32>,
        client: &Client,
    ) -> Result<(), Vec<String>> {
        let nothing = || vec![format!("no release of `{}` serves", self.name)];
        let key = self.desired.serving.as_ref().ok_or_else(nothing)?.release;
        let number = self.serving_number().ok_or_else(nothing)?;
        let spec = self
            .generations
            .get(&key)
            .and_then(|generation| generation.spec(process))
            .ok_or_else(|| vec![format!("release {number} has no process `{process}`")])?;
        let wanted = count.or(match spec.count {
            Count::Fixed(count) => Some(count),
            Count::Auto if spec.listen.is_none() => Some(1),
            Count::Auto => None,
        });
        self.shared
            .store()
            .set_count(&self.name, process, count)
            .map_err(|failure| vec![failure.act, failure.cause])?;
        let most = crate::machine::cpus().saturating_mul(2).saturating_add(1);
        let act = format!("scale `{}`", self.name);
        self.begin(&act, String::new(), number, client);
        self.want(key, process, wanted.unwrap_or(most));
        Ok(())
    }

    fn remove(&mut self, data: bool, client: &Client) -> Result<(), Vec<String>> {
        let act = format!("remove `{}`", self.name);
        let number = self.serving_number().unwrap_or(0);
        self.begin(&act, String::new(), number, client);
        if let Some(ongoing) = &mut self.ongoing {
            ongoing.removes = Some(data);
        }
        self.desired.target = None;
        self.desired.serving = None;
        Ok(())
    }

    /// The instances are gone: everything else goes.
    pub(super) async fn end_removal(&mut self) {
        // No route leads here any more; an app without a table was none of the edge's.
        if let Err(why) = self.shared.link.publish(self.name.clone(), None).await {
            self.remark(format!("the edge refused a routing table: {why}"));
        }
        self.observed.sent = Table::default();
        self.shared.certificates.want(&self.name, None);
        let Some(mut ongoing) = self.ongoing.take() else {
            return;
        };
        let data = ongoing.removes.unwrap_or(false);
        self.end_jobs().await;
        self.end_webhook().await;
        // A release command that was given up goes on to its end, but not beyond its app.
        let pattern = format!("stead.{}.*", self.name);
        let units = self.shared.systemd.units(&pattern).await;
        for unit in units.unwrap_or_default().into_keys() {
            let _ = self.shared.systemd.stop(&unit).await;
            self.shared.places.remove_unit(&self.name, &unit);
        }
        let (places, app) = (self.shared.places.clone(), self.name.clone());
        let gone = tokio::task::spawn_blocking(move || places.remove(&app, data)).await;
        let removed = self.shared.store().remove_app(&self.name);
        let client = ongoing.client.clone();
        let mut causes = Vec::new();
        causes.extend(gone.err().map(|error| error.to_string()));
        causes.extend(removed.err().map(|failure| failure.to_string()));
        {
            let store = self.shared.store();
            ongoing.end_step(&store, "");
        }
        let answer = match causes.is_empty() {
            false => Answer::Refused { causes },
            true => Answer::Done(Box::new(Done {
                text: format!("`{}` is removed", self.name),
                previous: ongoing.previous,
                milliseconds: u64::try_from(ongoing.began.elapsed().as_millis()).unwrap_or(0),
                ..Done::default()
            })),
        };
        client.end(answer).await;
        self.removed = true;
    }

    async fn releases(&self, client: &Client) {
        let records = self.shared.store().releases(&self.name, TOLD);
        let answer = match records {
            Ok(records) => Answer::Releases(records.into_iter().map(|r| r.info).collect()),
            Err(failure) => Answer::Refused {
                causes: vec![failure.act, failure.cause],
            },
        };
        client.end(answer).await;
    }

    /// A client that has gone away, or wants no more of it: what has not reached visitors is undone.
    pub(super) async fn mind_the_client(&mut self) {
        let Some(ongoing) = self.ongoing.as_ref().filter(|o| o.client.has_given_up()) else {
            return;
        };
        let failure = Failure {
            causes: vec!["whoever wanted it went away, or gave it up, before it served".to_owned()],
            hint: None,
        };
        match ongoing.key {
            None if ongoing.making.is_some() => {
                let unit = units::build_unit(&self.name, ongoing.number);
                self.end_failed(failure, Vec::new()).await;
                let _ = self.shared.systemd.stop(&unit).await;
            }
            Some(key) if self.is_candidate(key) && self.observed.sent.release != Some(key) => {
                self.give_up(key, failure, Vec::new()).await;
            }
            // Visitors have it, and it is brought to its end.
            _ => {}
        }
    }
}
