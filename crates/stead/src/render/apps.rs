//! What is said of apps on hosts.

mod logs;
mod status;

use std::fmt::Write;

use serde_json::{Value, json};
use stead_model::agent::{AppStatus, Done, Origin, ReleaseInfo, ReleaseState};
use stead_model::host::APPS;
use stead_remote::push::Remote;
use stead_remote::{Session, Snapshot, Target};

use super::steps::bytes;
use super::text::{ERROR, FAINT, GOOD, STRONG, WARNING, shown, styled};
use crate::apps::Place;
use crate::apps::ask::Change;
use crate::apps::wave::{Came, Outcomes};
use crate::source::Loaded;

pub(crate) use logs::{log_json, log_line};
pub(crate) use status::{status, status_json};

/// What is about to be sent, and where.
pub(crate) fn sending(place: &Place, snapshot: &Snapshot) -> String {
    let origin = match of(&snapshot.origin) {
        origin if origin.is_empty() => "the files of this directory".to_owned(),
        origin => origin,
    };
    let files = match snapshot.tree.entries().len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    format!(
        "{} to {}: {origin}, {files}, {}\n",
        styled(STRONG, &place.app),
        place.named(),
        bytes(snapshot.tree.size())
    )
}

/// `main 3f2a1b9 "Say hello", with changes`.
fn of(origin: &Origin) -> String {
    let mut words = Vec::new();
    words.extend(origin.branch.as_deref().map(shown));
    let short = |id: &String| shown(id.get(..7).unwrap_or(id));
    words.extend(origin.commit.as_ref().map(short));
    let message = origin.message.as_deref();
    words.extend(message.map(|message| format!("\"{}\"", shown(message))));
    let mut text = words.join(" ");
    if origin.dirty {
        text.push_str(match text.is_empty() {
            true => "files that are not committed",
            false => ", with changes that are not committed",
        });
    }
    text
}

/// `--dry-run`.
pub(crate) fn deploy_plan(place: &Place, loaded: &Loaded, before: &[Option<AppStatus>]) -> String {
    let mut text = String::new();
    let manifest = &loaded.manifest;
    for (at, (target, status)) in place.targets.iter().zip(before).enumerate() {
        let serving = status.as_ref().and_then(|status| status.release.as_ref());
        let _ = writeln!(text, "to do on {}:", styled(STRONG, target.as_str()));
        let mut step = |line: String| {
            let _ = writeln!(text, "  {line}");
        };
        step("send what it does not have".to_owned());
        step(
            "build a release, with the environment that it has if nothing of it changed".to_owned(),
        );
        if let Some(command) = manifest.release_command.as_ref().filter(|_| at == 0) {
            step(format!("run the release command `{}`", shown(command)));
        }
        for name in manifest.process.keys() {
            step(format!("start new instances of `{name}`"));
        }
        step(match serving {
            Some(release) => format!(
                "when they are healthy, give them the visitors of release {}, which drains and stops",
                release.number
            ),
            None => "when they are healthy, give them the visitors".to_owned(),
        });
    }
    text
}

/// `--git-remote --dry-run`.
pub(crate) fn remote_plan(target: &Target, url: &str, name: &str, branch: &str) -> String {
    format!(
        "to do:\n  on {}, make a repository that deploys `{}` when it is pushed\n  here, add the git remote `{}`: {}\n",
        styled(STRONG, target.as_str()),
        shown(branch),
        shown(name),
        shown(url),
    )
}

/// From now on a push deploys.
pub(crate) fn remote_added(target: &Target, remote: &Remote) -> String {
    format!(
        "{} deploys `{}` to `{target}`\n",
        styled(STRONG, &format!("git push {}", shown(&remote.name))),
        shown(&remote.branch),
    )
}

/// What came of a deploy.
pub(crate) fn deployed(place: &Place, outcomes: &Outcomes) -> String {
    let several = place.targets.len() > 1;
    let mut text = String::new();
    for (target, came) in place.targets.iter().zip(outcomes) {
        let Some(Came::Done(done)) = came else {
            continue;
        };
        for address in &done.addresses {
            let _ = writeln!(text, "{}", styled(STRONG, &shown(address)));
        }
        if several {
            let _ = write!(text, "{}: ", target.host());
        }
        text.push_str(&done_text(done));
    }
    text
}

fn done_text(done: &Done) -> String {
    let mut text = format!("{} after {}\n", shown(&done.text), took(done.milliseconds));
    for count in &done.counts {
        let _ = writeln!(text, "  {}", shown(count));
    }
    text
}

/// What came of another change, and how a rollback is undone.
pub(crate) fn changed(place: &Place, change: &Change, outcomes: &Outcomes) -> String {
    let mut text = deployed(place, outcomes);
    let mut done = outcomes.iter().flatten().filter_map(|came| match came {
        Came::Done(done) => Some(done),
        _ => None,
    });
    if let (Change::Rollback { .. }, Some(previous)) = (change, done.find_map(|done| done.previous))
    {
        let _ = writeln!(text, "to undo it: stead rollback {previous}");
    }
    text
}

/// What is there of an app that is to be removed.
pub(crate) fn removal(found: &[(String, AppStatus)], data: bool) -> String {
    let mut text = String::new();
    for (host, status) in found {
        let _ = writeln!(
            text,
            "of {}, on {}:",
            styled(STRONG, &shown(&status.app)),
            shown(host)
        );
        let mut say = |line: String| {
            let _ = writeln!(text, "  {line}");
        };
        match &status.release {
            Some(release) => say(format!("release {}, which serves", release.number)),
            None => say("no release serves".to_owned()),
        }
        for process in &status.processes {
            for instance in &process.instances {
                say(format!("the unit `{}`", shown(&instance.unit)));
            }
        }
        for job in &status.jobs {
            say(format!("the job `{}`", shown(&job.name)));
        }
        say(format!("{} of releases", bytes(status.disk.releases)));
        say(format!(
            "{} of volumes, and its secrets: {}",
            bytes(status.disk.volumes),
            if data { "they go, too" } else { "they stay" }
        ));
    }
    text
}

/// What a removed app has left on a host, and how that is removed.
pub(crate) fn left_behind(session: &Session, app: &str) -> String {
    let (dir, target) = (format!("{APPS}/{app}"), session.target());
    let sudo = if session.before_root().is_empty() {
        ""
    } else {
        "sudo "
    };
    format!(
        "its volumes and secrets are still in `{dir}` on `{target}`; a new deploy finds them, and this removes them: ssh -t {target} {sudo}rm -r {dir}\n"
    )
}

/// For a program: what came of a deploy.
pub(crate) fn outcomes_json(place: &Place, snapshot: &Snapshot, outcomes: &Outcomes) -> String {
    let facts = json!({
        "app": place.app,
        "origin": snapshot.origin,
        "hosts": hosts(place, outcomes),
    });
    format!("{facts:#}\n")
}

/// For a program: what came of another change.
pub(crate) fn changes_json(place: &Place, outcomes: &Outcomes) -> String {
    let facts = json!({ "app": place.app, "hosts": hosts(place, outcomes) });
    format!("{facts:#}\n")
}

fn hosts(place: &Place, outcomes: &Outcomes) -> Vec<Value> {
    let pairs = place.targets.iter().zip(outcomes);
    let host = |(target, came): (&Target, &Option<Came>)| {
        json!({
            "host": target.as_str(),
            "outcome": match came {
                Some(came) => json!(came),
                None => json!("not-begun"),
            },
        })
    };
    pairs.map(host).collect()
}

/// The releases of an app.
pub(crate) fn releases(app: &str, all: &[(String, Vec<ReleaseInfo>)]) -> String {
    let mut text = String::new();
    for (host, releases) in all {
        if all.len() > 1 {
            let _ = writeln!(text, "{}", styled(STRONG, &shown(host)));
        }
        if releases.is_empty() {
            let _ = writeln!(text, "no release of {app} yet: `stead deploy` makes one");
        }
        for release in releases {
            text.push_str(&one_release(release));
        }
    }
    text
}

fn one_release(release: &ReleaseInfo) -> String {
    let (style, state) = match release.state {
        ReleaseState::Serving => (GOOD, "serves"),
        ReleaseState::Making => (WARNING, "is made"),
        ReleaseState::Failed => (ERROR, "failed"),
        ReleaseState::Retired => (FAINT, "served"),
    };
    let state = format!("{state:8}");
    let mut text = format!(
        "{:>5}  {}  {}  {}",
        release.number,
        styled(style, &state),
        minute(release.at),
        shown(&release.origin.who)
    );
    let origin = of(&release.origin);
    if !origin.is_empty() {
        let _ = write!(text, "  {origin}");
    }
    if let Some(of) = release.rollback_of {
        let _ = write!(text, "  (release {of} again)");
    }
    text.push('\n');
    let mut details = Vec::new();
    if !release.changed.is_empty() {
        details.push(format!("changed: {}", release.changed.join(", ")));
    }
    details.extend(release.took.map(|time| format!("after {}", took(time))));
    details.extend(release.failure.clone());
    if !details.is_empty() {
        let _ = writeln!(
            text,
            "       {}",
            styled(FAINT, &shown(&details.join("; ")))
        );
    }
    text
}

/// The same for a program.
pub(crate) fn releases_json(all: &[(String, Vec<ReleaseInfo>)]) -> String {
    let hosts = all.iter();
    let hosts = hosts.map(|(host, releases)| json!({ "host": host, "releases": releases }));
    format!("{:#}\n", json!(hosts.collect::<Vec<_>>()))
}

/// `812 ms`, `1.8 s`, `3 min 5 s`.
pub(crate) fn took(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        more => format!("{} min {} s", more / 60_000, more % 60_000 / 1000),
    }
}

/// On this machine's clock.
fn minute(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "at no time".to_owned(),
        |at| {
            let here = at.to_zoned(jiff::tz::TimeZone::system());
            here.strftime("%Y-%m-%d %H:%M").to_string()
        },
    )
}

#[cfg(test)]
mod tests;
