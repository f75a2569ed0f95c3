//! What is asked of the logs of a host, and its lines. `stead api logs` reads a [`LogWish`] as JSON on its standard input and writes
//! [`LogSaid`], one JSON value a line.

use serde::{Deserialize, Serialize};

use crate::agent::{is_app_name, is_process_name};

/// Raised when an older program would misunderstand a message.
pub const PROTOCOL: u32 = 1;

/// Which lines of an app are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogWish {
    /// [`PROTOCOL`] of the laptop.
    pub protocol: u32,
    /// The app.
    pub app: String,
    /// Of the last so many seconds; `None`: however old.
    pub since: Option<u64>,
    /// At most so many, the newest. `None`: all.
    pub lines: Option<u32>,
    /// Those to come, too, for as long as standard input is open.
    pub follow: bool,
    /// Of this process, or job (`job.refresh`), alone.
    pub process: Option<String>,
    /// Of this release alone.
    pub release: Option<u64>,
}

impl LogWish {
    /// The arguments of journalctl(1): each value is a word of its own, and was looked at.
    ///
    /// # Errors
    /// A word cannot be what it is to be: a sentence.
    pub fn arguments(&self) -> Result<Vec<String>, String> {
        if !is_app_name(&self.app) {
            return Err("that is no name of an app".to_owned());
        }
        let mut words: Vec<String> = ["--output=json", "--quiet", "--no-pager", "--all"]
            .map(str::to_owned)
            .to_vec();
        if let Some(seconds) = self.since {
            words.push(format!("--since=-{seconds}s"));
        }
        words.push(match self.lines {
            Some(lines) => format!("--lines={lines}"),
            None => "--lines=all".to_owned(),
        });
        if self.follow {
            words.push("--follow".to_owned());
        }
        words.push(format!("STEAD_APP={}", self.app));
        if let Some(process) = &self.process {
            let name = process.strip_prefix("job.").unwrap_or(process);
            if !is_process_name(name) {
                return Err("that is no name of a process".to_owned());
            }
            words.push(format!("STEAD_PROCESS={process}"));
        }
        if let Some(release) = self.release {
            words.push(format!("STEAD_RELEASE={release}"));
        }
        Ok(words)
    }
}

/// A line of `stead api logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSaid {
    /// A line of the app's.
    Line(LogLine),
    /// The last line: why there are no more.
    Failed {
        /// Why, outermost first.
        causes: Vec<String>,
    },
}

/// What a program of an app printed, or what systemd says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// When, microseconds since 1970.
    pub at: u64,
    /// `web`, `job.refresh`, `release`.
    pub process: String,
    /// `web.1`.
    pub instance: String,
    /// Its release.
    pub release: Option<u64>,
    /// Without its end; what is not UTF-8 is replaced.
    pub text: String,
    /// As syslog(3) counts: 3 and less is an error.
    pub priority: Option<u8>,
}

impl LogLine {
    /// Of a line of `journalctl --output=json` (systemd.journal-fields(7)). `None`: it is none.
    pub fn of_journal(line: &str) -> Option<Self> {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        let text = |name: &str| fields.get(name).map(words).unwrap_or_default();
        Some(Self {
            at: text("__REALTIME_TIMESTAMP").parse().ok()?,
            process: text("STEAD_PROCESS"),
            instance: text("STEAD_INSTANCE"),
            release: text("STEAD_RELEASE").parse().ok(),
            text: text("MESSAGE"),
            priority: text("PRIORITY").parse().ok(),
        })
    }
}

/// A field's value: text, or numbers of bytes where it is not UTF-8, or the last of several.
fn words(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => {
            let bytes: Option<Vec<u8>> = items
                .iter()
                .map(|item| u8::try_from(item.as_u64()?).ok())
                .collect();
            match bytes {
                Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                None => items
                    .last()
                    .filter(|last| !last.is_array())
                    .map(words)
                    .unwrap_or_default(),
            }
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_journal_is_read_whatever_bytes_it_has() {
        let line = LogLine::of_journal(
            r#"{"__REALTIME_TIMESTAMP":"1795000000000001","MESSAGE":"hello","PRIORITY":"6","STEAD_APP":"shop",
            "STEAD_PROCESS":"web","STEAD_INSTANCE":"web.1","STEAD_RELEASE":"42","_PID":"7"}"#,
        )
        .unwrap();
        assert_eq!(
            (line.at, line.text.as_str()),
            (1_795_000_000_000_001, "hello")
        );
        assert_eq!((line.instance.as_str(), line.release), ("web.1", Some(42)));
        let message = |value: &str| {
            let line = format!(r#"{{"__REALTIME_TIMESTAMP":"1","MESSAGE":{value}}}"#);
            LogLine::of_journal(&line).unwrap().text
        };
        assert_eq!(message("[104,105,255]"), "hi\u{fffd}");
        assert_eq!(message(r#"["one","two"]"#), "two");
        assert_eq!(message("null"), "");
        for nonsense in ["", "[]", "{}", r#"{"__REALTIME_TIMESTAMP":"x"}"#] {
            assert_eq!(LogLine::of_journal(nonsense), None);
        }
    }

    #[test]
    fn every_value_is_a_word_of_its_own_and_a_name_or_a_number() {
        let wish = LogWish {
            protocol: PROTOCOL,
            app: "shop".to_owned(),
            since: Some(3600),
            lines: Some(10),
            follow: true,
            process: Some("job.refresh".to_owned()),
            release: Some(42),
        };
        assert_eq!(
            wish.arguments().unwrap()[4..],
            [
                "--since=-3600s",
                "--lines=10",
                "--follow",
                "STEAD_APP=shop",
                "STEAD_PROCESS=job.refresh",
                "STEAD_RELEASE=42"
            ]
        );
        for hostile in [
            "",
            "--file=/etc/shadow",
            "a b",
            "a\n",
            "$(id)",
            "web+_UID=0",
            "job.",
            "a.b",
            "+",
        ] {
            let process = Some(hostile.to_owned());
            assert!(
                LogWish {
                    process,
                    ..wish.clone()
                }
                .arguments()
                .is_err()
            );
            let app = hostile.to_owned();
            assert!(
                LogWish {
                    app,
                    ..wish.clone()
                }
                .arguments()
                .is_err()
            );
        }
    }
}
