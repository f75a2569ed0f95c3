//! The decisions. Reads top down: give up, publish, stop, start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Desired, Instance, Observed, Phase, ReleaseCommand, Step, Table, Wanted, WantedProcess, Why,
};
use crate::routing::InstanceId;

/// SIGKILL is repeated when an instance has not ended this long after it: something of it was
/// missed, or the kernel holds it.
const KILL_AGAIN: Duration = Duration::from_secs(2);

/// What to do now, in order. Empty: nothing until something happens or [`next_wake`] comes.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Step> {
    if let Some(why) = failed_candidate(desired, observed)
        && let Some(target) = &desired.target
    {
        let release = target.release;
        return vec![Step::Abandon { release, why }];
    }
    let kept = Kept::choose(desired, observed);
    let mut steps = Vec::new();
    publish(desired, observed, &kept, &mut steps);
    stop(desired, observed, &kept, &mut steps);
    start(desired, observed, &kept, &mut steps);
    steps
}

/// The next instant at which time alone brings something to do.
pub fn next_wake(observed: &Observed) -> Option<Duration> {
    let of_instances = observed.instances.iter().map(|i| {
        i.since.saturating_add(match i.phase {
            Phase::Starting => i.within,
            Phase::Healthy => Duration::MAX,
            Phase::Draining => i.drain,
            Phase::Stopping => i.grace,
            Phase::Killed => KILL_AGAIN,
        })
    });
    let of_holds = observed.holds.iter().map(|h| h.until);
    of_instances
        .chain(of_holds)
        .filter(|at| *at > observed.now && *at < Duration::MAX)
        .min()
}

/// Whether the target serves with every instance that was asked for.
pub fn complete(desired: &Desired, observed: &Observed) -> bool {
    let Some(target) = &desired.target else {
        return false;
    };
    observed.confirmed.release == Some(target.release)
        && observed.unanswered == 0
        && target.processes.iter().all(|(name, process)| {
            let ready = of(observed, target.release, name)
                .filter(|i| !i.visited || observed.confirmed.instances.contains(&i.id))
                .filter(|i| is_ready(i, observed.now));
            process
                .count
                .is_some_and(|n| ready.count() as u64 >= u64::from(n))
        })
}

/// Serves (visited), or has lived long enough to count as running (a worker).
fn is_ready(instance: &Instance, now: Duration) -> bool {
    match instance.phase {
        Phase::Healthy => true,
        Phase::Starting => !instance.visited && now >= instance.since + instance.within,
        _ => false,
    }
}

fn is_up(instance: &Instance) -> bool {
    matches!(instance.phase, Phase::Starting | Phase::Healthy)
}

/// Instances of one process of one release, in any phase.
fn of<'a>(
    observed: &'a Observed,
    release: u64,
    process: &'a str,
) -> impl Iterator<Item = &'a Instance> {
    observed
        .instances
        .iter()
        .filter(move |i| i.release == release && i.process == process)
}

/// The target, as long as it does not serve.
fn candidate(desired: &Desired) -> Option<&Wanted> {
    let target = desired.target.as_ref()?;
    match &desired.serving {
        Some(serving) if serving.release == target.release => None,
        _ => Some(target),
    }
}

fn failed_candidate(desired: &Desired, observed: &Observed) -> Option<Why> {
    let release = candidate(desired)?.release;
    if observed.release_command == Some(ReleaseCommand::Failed(release)) {
        return Some(Why::ReleaseCommand);
    }
    if observed
        .refused
        .as_ref()
        .is_some_and(|t| t.release == Some(release))
    {
        return Some(Why::Refused);
    }
    if observed.sent.release == Some(release) {
        // Visitors may be there already: from now on its instances are restarted, not held against it.
        return None;
    }
    if let Some((id, _)) = observed.lost.iter().find(|(_, r)| **r == release) {
        return Some(Why::Ended(*id));
    }
    let late = observed.instances.iter().find(|i| {
        i.release == release
            && i.visited
            && i.phase == Phase::Starting
            && observed.now >= i.since + i.within
    })?;
    Some(Why::NotHealthy(late.id))
}

/// May instances of the candidate start?
fn command_done(candidate: &Wanted, observed: &Observed) -> bool {
    !candidate.release_command
        || observed.release_command == Some(ReleaseCommand::Done(candidate.release))
}

/// How many of the serving release's instances must make room for the candidate's first ones.
fn room_for_candidate(desired: &Desired, observed: &Observed, process: &str) -> u32 {
    let (Some(candidate), Some(serving)) = (candidate(desired), &desired.serving) else {
        return 0;
    };
    if !command_done(candidate, observed) {
        return 0;
    }
    match (
        candidate.processes.get(process),
        serving.processes.get(process),
    ) {
        (Some(new), Some(old)) if new.visited && new.count != Some(0) => {
            let old_count = old.count.unwrap_or(1);
            (old_count.saturating_add(1))
                .saturating_sub(new.ceiling.max(1))
                .min(old_count)
        }
        _ => 0,
    }
}

/// How many instances of a process should be up now.
fn wanted_now(
    desired: &Desired,
    observed: &Observed,
    wanted: &Wanted,
    name: &str,
    process: &WantedProcess,
) -> u32 {
    let count = process.count.unwrap_or(1);
    let is_candidate = candidate(desired).is_some_and(|c| c.release == wanted.release);
    if !is_candidate {
        return count.saturating_sub(room_for_candidate(desired, observed, name));
    }
    if !process.visited || !command_done(wanted, observed) {
        return 0;
    }
    ahead(desired, observed, name, process).min(count)
}

/// How many instances of the candidate must be healthy before the switch.
fn ahead(desired: &Desired, observed: &Observed, name: &str, process: &WantedProcess) -> u32 {
    let old = desired.serving.as_ref().and_then(|s| s.processes.get(name));
    let old_left = old.map_or(0, |old| {
        old.count
            .unwrap_or(1)
            .saturating_sub(room_for_candidate(desired, observed, name))
    });
    process.ceiling.saturating_sub(old_left).max(1)
}

/// Which instances stay, and which of those should be in the table.
#[derive(Default)]
struct Kept {
    /// Stay alive.
    alive: BTreeSet<InstanceId>,
    /// Of those, the ones about to be replaced: they do not count.
    retiring: BTreeSet<InstanceId>,
}

impl Kept {
    fn choose(desired: &Desired, observed: &Observed) -> Self {
        let mut kept = Self::default();
        let mut releases: Vec<&Wanted> = desired.serving.iter().collect();
        releases.extend(candidate(desired));
        for wanted in releases {
            for (name, process) in &wanted.processes {
                let n = wanted_now(desired, observed, wanted, name, process);
                kept.choose_process(observed, wanted, name, process, n);
            }
        }
        kept
    }

    fn choose_process(
        &mut self,
        observed: &Observed,
        wanted: &Wanted,
        name: &str,
        process: &WantedProcess,
        n: u32,
    ) {
        let n = n as usize;
        let late = |i: &&Instance| {
            i.visited && i.phase == Phase::Starting && observed.now >= i.since + i.within
        };
        let mut up: Vec<&Instance> = of(observed, wanted.release, name)
            .filter(|i| is_up(i) && !late(i))
            .collect();
        // Those that serve stay before those that do not yet; of equals, the lower place.
        up.sort_by_key(|i| (!is_ready(i, observed.now), i.slot, i.id));
        let leaving = of(observed, wanted.release, name).any(|i| !is_up(i));
        let retiring = up
            .iter()
            .filter(|i| i.recycle && (i.phase == Phase::Healthy || !i.visited))
            .map(|i| i.id)
            .min()
            // One at a time: not while the one before it is still ending.
            .filter(|_| !leaving && n > 0);
        let stay: Vec<&Instance> = up
            .iter()
            .filter(|i| Some(i.id) != retiring)
            .take(n)
            .copied()
            .collect();
        if let Some(id) = retiring {
            let replaced = stay.iter().filter(|i| is_ready(i, observed.now)).count() >= n;
            let no_room = alive(observed, name) >= process.ceiling;
            let must_go_first = !process.visited || no_room && stay.len() < n;
            if !replaced && !must_go_first {
                self.alive.insert(id);
                self.retiring.insert(id);
            }
        }
        self.alive.extend(stay.iter().map(|i| i.id));
    }
}

/// Instances of a process, of all releases and in any phase.
fn alive(observed: &Observed, process: &str) -> u32 {
    let n = observed
        .instances
        .iter()
        .filter(|i| i.process == process)
        .count();
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn publish(desired: &Desired, observed: &Observed, kept: &Kept, steps: &mut Vec<Step>) {
    let release = match (candidate(desired), &desired.serving) {
        (Some(new), _) if observed.sent.release == Some(new.release) => Some(new.release),
        (Some(new), _) if may_switch(desired, observed, kept, new) => Some(new.release),
        (_, serving) => serving.as_ref().map(|s| s.release),
    };
    let instances = observed
        .instances
        .iter()
        .filter(|i| Some(i.release) == release && i.visited && i.phase == Phase::Healthy)
        .filter(|i| kept.alive.contains(&i.id))
        .map(|i| i.id)
        .collect();
    let table = Table { release, instances };
    let nothing_ever = observed.sent == Table::default() && table == Table::default();
    if table != observed.sent && !nothing_ever && observed.refused.as_ref() != Some(&table) {
        steps.push(Step::Publish(table));
    }
}

/// The candidate has enough healthy instances of every process that visitors reach.
fn may_switch(desired: &Desired, observed: &Observed, kept: &Kept, new: &Wanted) -> bool {
    command_done(new, observed)
        && new.processes.iter().all(|(name, process)| {
            let healthy = of(observed, new.release, name)
                .filter(|i| i.phase == Phase::Healthy && kept.alive.contains(&i.id))
                .count() as u64;
            let needed = match (process.visited, process.count, &desired.serving) {
                (false, _, _) => 0,
                // The first release serves with its first instance; the others join.
                (true, count, None) => count.unwrap_or(1).min(1),
                (true, None, Some(_)) => return false,
                (true, Some(count), Some(_)) => ahead(desired, observed, name, process).min(count),
            };
            healthy >= u64::from(needed)
        })
}

fn stop(desired: &Desired, observed: &Observed, kept: &Kept, steps: &mut Vec<Step>) {
    // A step may take an instance out of the table in this very round: then it drains in the next,
    // when the edge has confirmed.
    let settled = observed.unanswered == 0 && !steps.iter().any(|s| matches!(s, Step::Publish(_)));
    for i in &observed.instances {
        if kept.alive.contains(&i.id) {
            continue;
        }
        if desired.at_once {
            let again = i.phase == Phase::Killed && observed.now < i.since + KILL_AGAIN;
            if !again {
                steps.push(Step::Kill(i.id));
            }
            continue;
        }
        match i.phase {
            Phase::Starting | Phase::Healthy if !i.visited || !i.listed => {
                steps.push(Step::Terminate(i.id));
            }
            Phase::Starting | Phase::Healthy => {
                if settled && !observed.sent.instances.contains(&i.id) {
                    steps.push(Step::Drain(i.id));
                }
            }
            Phase::Draining if i.drained || observed.now >= i.since + i.drain => {
                steps.push(Step::Terminate(i.id));
            }
            Phase::Stopping if observed.now >= i.since + i.grace => steps.push(Step::Kill(i.id)),
            Phase::Killed if observed.now >= i.since + KILL_AGAIN => steps.push(Step::Kill(i.id)),
            Phase::Draining | Phase::Stopping | Phase::Killed => {}
        }
    }
}

fn start(desired: &Desired, observed: &Observed, kept: &Kept, steps: &mut Vec<Step>) {
    let mut next_id = observed.next_id;
    let mut started: BTreeMap<&str, u32> = BTreeMap::new();
    let mut releases: Vec<&Wanted> = desired.serving.iter().collect();
    if let Some(new) = candidate(desired) {
        // One of it has ended and is being buried: soon it is known why, and nothing more is started for it.
        let dying = |i: &Instance| i.release == new.release && i.phase == Phase::Killed;
        let doomed =
            observed.sent.release != Some(new.release) && observed.instances.iter().any(dying);
        if command_done(new, observed) {
            releases.extend((!doomed).then_some(new));
        } else if !matches!(observed.release_command, Some(ReleaseCommand::Running(_))) {
            let release = new.release;
            steps.push(Step::RunReleaseCommand { release });
        }
    }
    for wanted in releases {
        let starting = observed
            .instances
            .iter()
            .filter(|i| i.release == wanted.release && i.phase == Phase::Starting)
            .filter(|i| !is_ready(i, observed.now))
            .count();
        let starting = u32::try_from(starting).unwrap_or(u32::MAX);
        let mut may_start = desired.starting_limit.max(1).saturating_sub(starting);
        // Those that visitors reach come first.
        let mut processes: Vec<_> = wanted.processes.iter().collect();
        processes.sort_by_key(|(_, p)| !p.visited);
        for (name, process) in processes {
            let n = wanted_now(desired, observed, wanted, name, process);
            // Once it serves, a release gets what it asked for.
            let serves = candidate(desired).is_none_or(|c| c.release != wanted.release);
            let ceiling = process.ceiling.max(if serves { n } else { 1 });
            for slot in places_to_fill(observed, kept, wanted, name, n) {
                let new = started.entry(name).or_default();
                let room = alive(observed, name) + *new < ceiling;
                let alone = process.visited && is_first(observed, wanted.release, name, *new);
                if may_start == 0 || process.visited && !room || alone {
                    break;
                }
                may_start -= 1;
                *new += 1;
                steps.push(Step::Start {
                    id: InstanceId(next_id),
                    release: wanted.release,
                    process: name.clone(),
                    slot,
                });
                next_id += 1;
            }
        }
    }
}

/// The first instance of a process goes alone: if it fails nothing else was lost, and it shows what the
/// others need (memory, or that the program insists on a port).
fn is_first(observed: &Observed, release: u64, process: &str, new: u32) -> bool {
    let mut up = of(observed, release, process)
        .filter(|i| is_up(i))
        .peekable();
    let waits = new > 0 || up.peek().is_some();
    waits && !up.any(|i| i.phase == Phase::Healthy)
}

/// The places of a process that may be filled now.
fn places_to_fill(
    observed: &Observed,
    kept: &Kept,
    wanted: &Wanted,
    name: &str,
    n: u32,
) -> Vec<u32> {
    let counted = of(observed, wanted.release, name)
        .filter(|i| kept.alive.contains(&i.id) && !kept.retiring.contains(&i.id))
        .count();
    let mut missing = n.saturating_sub(u32::try_from(counted).unwrap_or(u32::MAX));
    let mut places = Vec::new();
    let visited = wanted.processes.get(name).is_some_and(|p| p.visited);
    let taken: BTreeSet<u32> = observed
        .instances
        .iter()
        .filter(|i| i.process == name)
        // A worker's place is taken until its predecessor, of whatever release, has ended.
        .filter(|i| i.release == wanted.release || !visited)
        .map(|i| i.slot)
        .collect();
    let in_use: BTreeSet<u32> = of(observed, wanted.release, name)
        .filter(|i| kept.alive.contains(&i.id) || visited && i.recycle)
        .map(|i| i.slot)
        .collect();
    let mut slot = 0;
    while missing > 0 {
        slot += 1;
        if in_use.contains(&slot) {
            continue;
        }
        // A place whose instance is still ending is this one's, or a crash loop would go from place to place
        // and never be held up.
        missing -= 1;
        let held = observed.holds.iter().any(|h| {
            h.release == wanted.release
                && h.process == name
                && h.slot == slot
                && h.until > observed.now
        });
        if !held && !taken.contains(&slot) {
            places.push(slot);
        }
    }
    places
}
