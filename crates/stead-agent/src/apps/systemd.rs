//! What is asked of systemd, over the system bus: org.freedesktop.systemd1(5).

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// systemd answers at once, unless the machine is in great trouble.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to systemd.
#[derive(Debug, Default)]
pub(crate) struct Systemd {
    connection: Mutex<Option<Connection>>,
}

/// Why systemd did not do it, a sentence.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How a unit is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `active`, `activating`, `deactivating`, `failed`, `inactive`.
    pub(crate) active: String,
    /// `running`, `auto-restart`, ….
    pub(crate) sub: String,
    /// Something is about to be done to it.
    pub(crate) job: bool,
}

impl Unit {
    /// Its program runs no more, and nobody is about to start it.
    pub(crate) fn is_over(&self) -> bool {
        !self.job && matches!(self.active.as_str(), "failed" | "inactive")
    }

    /// Its program has ended by itself.
    pub(crate) fn has_fallen(&self) -> bool {
        self.sub == "auto-restart" || self.active == "failed"
    }
}

/// A row of `ListUnitsByPatterns`: name, description, load, active and sub state, followed, path, job's id, type and path.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

impl Systemd {
    /// The units whose names match, by name.
    pub(crate) async fn units(&self, pattern: &str) -> Result<HashMap<String, Unit>, Refusal> {
        let states: [&str; 0] = [];
        let rows: Vec<Row> = self
            .call(
                "ListUnitsByPatterns",
                &(states.as_slice(), [pattern].as_slice()),
            )
            .await?;
        Ok(rows
            .into_iter()
            .filter(|row| row.2 == "loaded")
            .map(|row| {
                let unit = Unit {
                    active: row.3,
                    sub: row.4,
                    job: row.7 != 0,
                };
                (row.0, unit)
            })
            .collect())
    }

    /// Begin to start a unit.
    pub(crate) async fn start(&self, unit: &str) -> Result<(), Refusal> {
        let _: OwnedObjectPath = self.call("StartUnit", &(unit, "replace")).await?;
        Ok(())
    }

    /// Begin to stop a unit. One that is not there is stopped.
    pub(crate) async fn stop(&self, unit: &str) -> Result<(), Refusal> {
        let stopped: Result<OwnedObjectPath, _> = self.call("StopUnit", &(unit, "replace")).await;
        match stopped {
            Err(refusal) if !refusal.0.contains("not loaded") => Err(refusal),
            _ => Ok(()),
        }
    }

    /// SIGKILL to everything of a unit.
    pub(crate) async fn kill(&self, unit: &str) {
        const SIGKILL: i32 = 9;
        let _: Result<(), _> = self.call("KillUnit", &(unit, "all", SIGKILL)).await;
    }

    /// Forget that a unit failed, so that nothing of it is left.
    pub(crate) async fn forget(&self, unit: &str) {
        let _: Result<(), _> = self.call("ResetFailedUnit", &(unit,)).await;
    }

    /// A property of a service.
    pub(crate) async fn property<T: TryFrom<OwnedVariant>>(
        &self,
        unit: &str,
        property: &str,
    ) -> Option<T> {
        let path: OwnedObjectPath = self.call("GetUnit", &(unit,)).await.ok()?;
        let connection = self.connection().await.ok()?;
        let which = ("org.freedesktop.systemd1.Service", property);
        let asked = connection.call_method(
            Some(NAME),
            path.as_str(),
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &which,
        );
        let reply = timeout(PATIENCE, asked).await.ok()?.ok()?;
        let value: OwnedVariant = reply.body().deserialize().ok()?;
        T::try_from(value).ok()
    }

    async fn call<B, R>(&self, method: &str, body: &B) -> Result<R, Refusal>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        let connection = self.connection().await?;
        let asked = connection.call_method(Some(NAME), PATH, Some(MANAGER), method, body);
        let reply = match timeout(PATIENCE, asked).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(zbus::Error::MethodError(_, Some(why), _))) => return Err(Refusal(why)),
            Ok(Err(error)) => {
                // The next question is asked over a new connection.
                self.connection.lock().await.take();
                return Err(Refusal(format!("systemd cannot be asked: {error}")));
            }
            Err(_) => return Err(Refusal("systemd does not answer".to_owned())),
        };
        reply
            .body()
            .deserialize()
            .map_err(|error| Refusal(format!("systemd answered something else: {error}")))
    }

    async fn connection(&self) -> Result<Connection, Refusal> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let made = timeout(PATIENCE, Connection::system()).await;
        let connection = match made {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(Refusal(format!("systemd is not reached: {error}"))),
            Err(_) => return Err(Refusal("systemd is not reached in time".to_owned())),
        };
        Ok(kept.insert(connection).clone())
    }
}
