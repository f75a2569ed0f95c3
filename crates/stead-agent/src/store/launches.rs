//! What was started: launches of releases, and their instances. An id is never given twice, whatever happens to the agent.

use rusqlite::{OptionalExtension, params};
use stead_model::routing::{Address, InstanceId, RoutingTable};

use super::{Outcome, Store, json};

/// A release that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Never given twice on this host.
    pub id: u64,
    /// The release's number.
    pub release: u64,
    /// How far it is.
    pub state: LaunchState,
}

/// How far a launch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchState {
    /// Visitors do not get it yet.
    Starting,
    /// Visitors get it.
    Serving,
    /// Another serves in its place, or it was given up.
    Over,
}

/// An instance whose unit may be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Of which launch.
    pub launch: u64,
    /// Of which release.
    pub release: u64,
    /// The process's name.
    pub process: String,
    /// Its place, from 1.
    pub slot: u32,
    /// Where it is reached.
    pub address: Option<Address>,
}

impl Store {
    /// A release is about to be started.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_launch(&self, app: &str, release: u64, at: i64) -> Outcome<u64> {
        self.connection
            .execute(
                "INSERT INTO launches (app, release, state, at) VALUES (?1, ?2, 'starting', ?3)",
                params![app, release.cast_signed(), at],
            )
            .map_err(self.failed())?;
        Ok(self.connection.last_insert_rowid().cast_unsigned())
    }

    /// The launches of an app that are not over.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn launches(&self, app: &str) -> Outcome<Vec<Launch>> {
        let failed = self.failed();
        let mut query = self
            .connection
            .prepare("SELECT id, release, state FROM launches WHERE app = ?1 AND state <> 'over' ORDER BY id")
            .map_err(&failed)?;
        let rows = query
            .query_map([app], |row| {
                let state: String = row.get(2)?;
                Ok(Launch {
                    id: row.get::<_, i64>(0)?.cast_unsigned(),
                    release: row.get::<_, i64>(1)?.cast_unsigned(),
                    state: match state.as_str() {
                        "serving" => LaunchState::Serving,
                        "starting" => LaunchState::Starting,
                        _ => LaunchState::Over,
                    },
                })
            })
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The launch that visitors get.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn serving(&self, app: &str) -> Outcome<Option<u64>> {
        self.connection
            .query_row("SELECT serving FROM apps WHERE name = ?1", [app], |row| {
                row.get::<_, Option<i64>>(0)
            })
            .optional()
            .map(|found| found.flatten().map(i64::cast_unsigned))
            .map_err(self.failed())
    }

    /// It is given up.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn launch_over(&self, launch: u64) -> Outcome<()> {
        self.connection
            .execute(
                "UPDATE launches SET state = 'over' WHERE id = ?1",
                [launch.cast_signed()],
            )
            .and_then(|_| {
                self.connection.execute(
                    "UPDATE apps SET serving = NULL WHERE serving = ?1",
                    [launch.cast_signed()],
                )
            })
            .map(drop)
            .map_err(self.failed())
    }

    /// What the edge is told of an app from now on. With a launch: visitors get that one from now on. This is the instant at which a
    /// deploy has happened: before it an agent that begins anew undoes it, after it, it brings it to its end.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish(
        &mut self,
        app: &str,
        part: &RoutingTable,
        switch: Option<(u64, u64)>,
    ) -> Outcome<()> {
        let failed = self.failed();
        let transaction = self.connection.transaction().map_err(&failed)?;
        let act = || -> rusqlite::Result<()> {
            transaction.execute(
                "UPDATE apps SET part = ?2 WHERE name = ?1",
                params![app, json(part)],
            )?;
            let Some((launch, release)) = switch else {
                return Ok(());
            };
            transaction.execute(
                "UPDATE launches SET state = 'over' WHERE app = ?1 AND state = 'serving'",
                [app],
            )?;
            transaction.execute(
                "UPDATE launches SET state = 'serving' WHERE id = ?1",
                [launch.cast_signed()],
            )?;
            transaction.execute(
                "UPDATE apps SET serving = ?2 WHERE name = ?1",
                params![app, launch.cast_signed()],
            )?;
            transaction.execute(
                "UPDATE releases SET state = 'retired' WHERE app = ?1 AND state = 'serving' AND number <> ?2",
                params![app, release.cast_signed()],
            )?;
            transaction.execute(
                "UPDATE releases SET state = 'serving' WHERE app = ?1 AND number = ?2",
                params![app, release.cast_signed()],
            )?;
            Ok(())
        };
        act().map_err(&failed)?;
        transaction.commit().map_err(failed)
    }

    /// What the edge was told of an app last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn part(&self, app: &str) -> Outcome<Option<RoutingTable>> {
        let text: Option<Option<String>> = self
            .connection
            .query_row("SELECT part FROM apps WHERE name = ?1", [app], |row| {
                row.get(0)
            })
            .optional()
            .map_err(self.failed())?;
        Ok(text
            .flatten()
            .and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// An instance is about to be started.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_instance(
        &self,
        app: &str,
        launch: u64,
        release: u64,
        process: &str,
        slot: u32,
    ) -> Outcome<InstanceId> {
        self.connection
            .execute(
                "INSERT INTO instances (app, launch, release, process, slot) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![app, launch.cast_signed(), release.cast_signed(), process, slot],
            )
            .map_err(self.failed())?;
        Ok(InstanceId(
            self.connection.last_insert_rowid().cast_unsigned(),
        ))
    }

    /// Where it is reached.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn instance_at(&self, id: InstanceId, address: &Address) -> Outcome<()> {
        self.connection
            .execute(
                "UPDATE instances SET address = ?2 WHERE id = ?1",
                params![id.0.cast_signed(), json(address)],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// Nothing of it is left.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn instance_gone(&self, id: InstanceId) -> Outcome<()> {
        self.connection
            .execute("DELETE FROM instances WHERE id = ?1", [id.0.cast_signed()])
            .map(drop)
            .map_err(self.failed())
    }

    /// The instances of an app.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn instances(&self, app: &str) -> Outcome<Vec<Instance>> {
        let failed = self.failed();
        let mut query = self
            .connection
            .prepare("SELECT id, launch, release, process, slot, address FROM instances WHERE app = ?1 ORDER BY id")
            .map_err(&failed)?;
        let rows = query
            .query_map([app], |row| {
                let address: Option<String> = row.get(5)?;
                Ok(Instance {
                    id: InstanceId(row.get::<_, i64>(0)?.cast_unsigned()),
                    launch: row.get::<_, i64>(1)?.cast_unsigned(),
                    release: row.get::<_, i64>(2)?.cast_unsigned(),
                    process: row.get(3)?,
                    slot: row.get(4)?,
                    address: address.and_then(|text| serde_json::from_str(&text).ok()),
                })
            })
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}
