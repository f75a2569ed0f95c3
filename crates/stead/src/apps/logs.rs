//! `stead logs`: what an app printed, of all its hosts in the order of time.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};

use stead_model::agent::{Answer, Wish};
use stead_model::logs::{LogLine, LogWish, PROTOCOL};
use stead_remote::{GiveUp, Session};

use super::{Place, Where, ask, interrupt, sessions};
use crate::problem::Problem;
use crate::render::{Terminal, apps};

/// Lines of a host that wait for those of others.
const WAITING: usize = 1024;

/// What the command line asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Of the last so many seconds.
    pub(crate) since: Option<u64>,
    /// At most so many of each host.
    pub(crate) lines: Option<u32>,
    /// And those to come.
    pub(crate) follow: bool,
    /// Of this process alone.
    pub(crate) process: Option<String>,
    /// Of this release alone.
    pub(crate) release: Option<u64>,
    /// A JSON object a line.
    pub(crate) json: bool,
}

/// Print them.
pub(crate) fn run(wanted: &Wanted, place: Where, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let place = Place::find(Path::new("."), place)?;
    let wish = LogWish {
        protocol: PROTOCOL,
        app: place.app.clone(),
        since: wanted.since,
        lines: wanted.lines,
        follow: wanted.follow,
        process: wanted.process.clone(),
        release: wanted.release,
    };
    let act = || Problem::invocation(format!("cannot show logs of `{}`", place.app));
    wish.arguments().map_err(|why| act().cause(why))?;
    let sessions = sessions(&place)?;
    let give_up = GiveUp::default();
    if wanted.follow {
        interrupt::listen(&give_up, terminal, "")?;
    }
    if wanted.follow {
        is_there(&wish, &sessions)?;
    }
    let several = sessions.len() > 1;
    let mut nothing = true;
    let mut show = |at: usize, line: &LogLine| {
        nothing = false;
        let host = several.then(|| place.targets[at].host());
        match wanted.json {
            true => terminal.raw(apps::log_json(host, line).as_bytes()),
            false => terminal.out(&apps::log_line(host, line)),
        }
    };
    let failures = std::thread::scope(|scope| {
        let mut hosts = Vec::new();
        let mut running = Vec::new();
        for session in &sessions {
            let (to, lines) = sync_channel(WAITING);
            let (wish, give_up) = (&wish, &give_up);
            running.push(
                scope.spawn(move || session.logs(wish, give_up, &mut |line| to.send(line).is_ok())),
            );
            hosts.push(lines);
        }
        match wanted.follow {
            true => as_they_come(&hosts, &mut show),
            false => in_order(&hosts, &mut show),
        }
        let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended
            .filter_map(|ended| ended.ok()?.err())
            .collect::<Vec<_>>()
    });
    match failures.into_iter().next() {
        // Silence says nothing of whether there could be anything.
        None if nothing && !wanted.follow => {
            is_there(&wish, &sessions)?;
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => Err(failure.into()),
    }
}

/// Whether one of the hosts has what lines are wanted of.
fn is_there(wish: &LogWish, sessions: &[Session]) -> Result<(), Problem> {
    let mut problem = None;
    for session in sessions {
        match is_on(wish, session) {
            Ok(()) => return Ok(()),
            Err(found) => problem = problem.or(Some(found)),
        }
    }
    problem.map_or(Ok(()), Err)
}

fn is_on(wish: &LogWish, session: &Session) -> Result<(), Problem> {
    let status = match session.ask(Wish::Apps)? {
        Answer::Apps(apps) => ask::only(session, apps, &wish.app)?,
        Answer::Refused { causes } => return Err(ask::refused(session, causes)),
        _ => return Err(super::unexpected(session.target())),
    };
    if let Some(process) = &wish.process {
        let jobs = status.jobs.iter().map(|job| format!("job.{}", job.name));
        let processes = status.processes.iter().map(|process| process.name.clone());
        let names: Vec<String> = processes.chain(jobs).collect();
        // What a release command and a webhook print is not of any process.
        let known = names.contains(process) || matches!(process.as_str(), "release" | "webhook");
        if !known {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let problem = Problem::new(format!(
                "there is nothing of a process `{process}` of `{}` on `{}`",
                wish.app,
                session.target()
            ));
            return Err(match names.is_empty() {
                true => problem.cause("no release serves"),
                false => problem.cause(format!("there are {}", names.join(", "))),
            });
        }
    }
    if let Some(number) = wish.release {
        let app = wish.app.clone();
        if let Answer::Releases(releases) = session.ask(Wish::Releases { app })?
            && !releases.iter().any(|release| release.number == number)
        {
            return Err(Problem::new(format!(
                "there is no release {number} of `{}` on `{}`",
                wish.app,
                session.target()
            ))
            .hint("stead releases"));
        }
    }
    Ok(())
}

/// Each host has its own in order: the oldest of all hosts' next lines is the next one.
fn in_order(hosts: &[Receiver<LogLine>], show: &mut dyn FnMut(usize, &LogLine)) {
    let mut next: Vec<Option<LogLine>> = hosts.iter().map(|host| host.recv().ok()).collect();
    loop {
        let oldest = next
            .iter()
            .enumerate()
            .filter_map(|(at, line)| Some((line.as_ref()?.at, at)))
            .min();
        let Some((_, at)) = oldest else { return };
        if let Some(line) = std::mem::replace(&mut next[at], hosts[at].recv().ok()) {
            show(at, &line);
        }
    }
}

/// Those that are there at the same moment in their order; nobody waits for a host that has nothing to say.
fn as_they_come(hosts: &[Receiver<LogLine>], show: &mut dyn FnMut(usize, &LogLine)) {
    let mut open: Vec<bool> = hosts.iter().map(|_| true).collect();
    let mut batch: VecDeque<(usize, LogLine)> = VecDeque::new();
    while open.iter().any(|open| *open) {
        for (at, host) in hosts.iter().enumerate() {
            loop {
                match host.try_recv() {
                    Ok(line) => batch.push_back((at, line)),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                        open[at] = false;
                        break;
                    }
                }
            }
        }
        batch.make_contiguous().sort_by_key(|(_, line)| line.at);
        for (at, line) in batch.drain(..) {
            show(at, &line);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(times: &[u64]) -> Receiver<LogLine> {
        let (to, from) = sync_channel(WAITING);
        for at in times {
            let line = LogLine {
                at: *at,
                ..LogLine::default()
            };
            to.send(line).unwrap();
        }
        from
    }

    #[test]
    fn lines_of_all_hosts_are_shown_in_the_order_of_time() {
        let times = [&[1, 4, 9][..], &[2, 3, 10, 11], &[]];
        for merge in [in_order, as_they_come] {
            let mut shown = Vec::new();
            let hosts: Vec<_> = times.iter().map(|times| host(times)).collect();
            merge(&hosts, &mut |at, line| shown.push((line.at, at)));
            let expected = [(1, 0), (2, 1), (3, 1), (4, 0), (9, 0), (10, 1), (11, 1)];
            assert_eq!(shown, expected);
        }
    }
}
