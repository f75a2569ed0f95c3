//! The results as a document.

use std::fmt::Write as _;

use super::catalog::{Bound, Peer, STEAD, edge};
use super::footprint::{Memory, Start};
use super::{Pace, idle, load, reload, slow};

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) title: &'static str,
    pub(crate) machine: Vec<(String, String)>,
    pub(crate) loads: Vec<load::Row>,
    pub(crate) memory: Option<Memory>,
    pub(crate) starts: Vec<Start>,
    pub(crate) reloads: Vec<reload::Row>,
    pub(crate) slow: Vec<slow::Row>,
    pub(crate) idle: Vec<idle::Row>,
    /// Who took part.
    pub(crate) peers: Vec<&'static Peer>,
}

/// One line of the table of goals.
struct Judged {
    what: String,
    bound: String,
    reached: String,
    met: bool,
}

impl Results {
    /// The whole document.
    pub(crate) fn document(&self, pace: &Pace) -> String {
        let mut text = format!(
            "# {}\n\nWritten by `cargo xtask bench`; not edited by hand.\n\n",
            self.title
        );
        let _ = writeln!(
            text,
            "All peers of a work ran on the same machine and in turn: {} rounds of {} s for each, begun\n\
             with another peer each time; figures are medians. Load came from `wrk`, `ab` or `h2load` (one thread) over loopback on\n\
             the same machine, so requests per second say who left it the most CPU. CPU seconds are those of all\n\
             server processes, front and workers, from `/proc`. Access logs are off, everybody's; Stead runs as\n\
             `stead up` starts it otherwise. Configurations: [peers](peers), [apps](apps), [wrk scripts](wrk).\n",
            pace.rounds,
            pace.time.as_secs()
        );
        self.goals(&mut text);
        self.works(&mut text);
        self.reloads(&mut text);
        self.slow(&mut text);
        self.idle(&mut text);
        self.footprint(&mut text);
        text.push_str("## Machine and versions\n\n| | |\n|---|---|\n");
        for (name, value) in &self.machine {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        text.push_str("\n## Peers\n\n| | |\n|---|---|\n");
        for peer in &self.peers {
            let _ = writeln!(text, "| {} | {} |", peer.label, peer.setting);
        }
        text
    }

    fn goals(&self, text: &mut String) {
        let judged = self.judged();
        if judged.is_empty() {
            return;
        }
        text.push_str("## Goals\n\n| what | goal | reached | |\n|---|---|---|---|\n");
        for line in judged {
            let met = if line.met { "yes" } else { "**no**" };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {met} |",
                line.what, line.bound, line.reached
            );
        }
        text.push('\n');
    }

    fn judged(&self) -> Vec<Judged> {
        let mut judged = Vec::new();
        for goal in edge::goals() {
            let row = |peer: &str| {
                self.loads.iter().find(|row| {
                    row.work.name == goal.work
                        && row.connections == goal.connections
                        && row.peer.name == peer
                })
            };
            let Some(own) = row(STEAD) else { continue };
            let what = format!("{}, {} connections", own.work.label, own.connections);
            match goal.bound {
                Bound::Rate(least) => judged.push(Judged {
                    what: format!("{what}: requests/s"),
                    bound: format!("≥ {least}"),
                    reached: format!("{:.0}", own.rate),
                    met: own.rate >= least,
                }),
                Bound::CpuShare(most, peer) => {
                    let Some(other) = row(peer) else { continue };
                    judged.push(Judged {
                        what: format!("{what}: CPU"),
                        bound: format!("≤ {most} × {}", other.peer.label),
                        reached: format!("{:.2} ×", own.cpu / other.cpu),
                        met: own.cpu <= most * other.cpu,
                    });
                }
                Bound::CpuBest(most) => {
                    let same = |row: &&load::Row| {
                        row.work.name == goal.work
                            && row.connections == goal.connections
                            && row.peer.name != STEAD
                    };
                    let best = self.loads.iter().filter(same);
                    let Some(best) = best.min_by(|one, other| one.cpu.total_cmp(&other.cpu)) else {
                        continue;
                    };
                    judged.push(Judged {
                        what: format!("{what}: CPU"),
                        bound: format!("≤ {most} × the best, {}", best.peer.label),
                        reached: format!("{:.2} ×", own.cpu / best.cpu),
                        met: own.cpu <= most * best.cpu,
                    });
                }
                Bound::P99(peer) => {
                    let Some(other) = row(peer) else { continue };
                    judged.push(Judged {
                        what: format!("{what}: p99"),
                        bound: format!("≤ {}'s {}", other.peer.label, ms(other.p99)),
                        reached: ms(own.p99),
                        met: own.p99 <= other.p99,
                    });
                }
            }
        }
        for row in self.reloads.iter().filter(|row| row.peer.name == STEAD) {
            let errors: u64 = row.errors.values().sum();
            judged.push(Judged {
                what: format!("{} reloads ({}): failed requests", row.reloads, row.app),
                bound: "0".to_owned(),
                reached: format!("{errors} of {}", row.requests),
                met: errors == 0 && row.unfinished == 0,
            });
            judged.push(Judged {
                what: format!("{} reloads ({}): longest stall", row.reloads, row.app),
                bound: "≤ 50 ms more than without".to_owned(),
                reached: format!("{} and {}", ms(row.longest), ms(row.longest_before)),
                met: row.longest <= row.longest_before + 0.05,
            });
        }
        for row in self.slow.iter().filter(|row| row.peer.name == STEAD) {
            judged.push(Judged {
                what: format!(
                    "throughput beside {} slow visitors ({})",
                    row.crowd.size, row.crowd.label
                ),
                bound: "≥ 0.95 ×".to_owned(),
                reached: format!("{:.2} ×", row.rate / row.rate_alone),
                met: row.rate >= 0.95 * row.rate_alone,
            });
        }
        let idle = |name: &str| self.idle.iter().find(|row| row.peer.name == name);
        if let (Some(own), Some(nginx)) = (idle(STEAD), idle("nginx")) {
            judged.push(Judged {
                what: format!("{} idle visitors: PSS", idle::CROWD),
                bound: format!("≤ 1.5 × nginx's {}", mb(nginx.with as f64)),
                reached: mb(own.with as f64),
                met: own.with as f64 <= 1.5 * nginx.with as f64,
            });
        }
        if let Some(memory) = &self.memory {
            let added = memory.instance.saturating_sub(memory.interpreter);
            judged.push(Judged {
                what: "edge and agent, idle: PSS".to_owned(),
                bound: "≤ 20 MB".to_owned(),
                reached: mb(memory.own as f64),
                met: memory.own <= 20_000_000,
            });
            judged.push(Judged {
                what: "the worker adds to a bare interpreter: PSS".to_owned(),
                bound: "≤ 2 MB".to_owned(),
                reached: mb(added as f64),
                met: added <= 2_000_000,
            });
        }
        for start in &self.starts {
            judged.push(Judged {
                what: format!("`up` of an unchanged app ({}) to its first 200", start.app),
                bound: "≤ 1 s more than its import".to_owned(),
                reached: format!("{} and {}", ms(start.first_answer), ms(start.import)),
                met: start.first_answer <= start.import + 1.0,
            });
        }
        judged
    }

    fn works(&self, text: &mut String) {
        let mut last = None;
        for row in &self.loads {
            if last != Some((row.work.name, row.connections)) {
                last = Some((row.work.name, row.connections));
                let _ = writeln!(
                    text,
                    "\n## {}, {} connections\n\n\
                     | | CPU s per 100k | Stead ÷ this | requests/s | p50 | p99 | PSS | errors |\n\
                     |---|--:|--:|--:|--:|--:|--:|--:|",
                    row.work.label, row.connections
                );
            }
            let own = self.loads.iter().find(|own| {
                own.peer.name == STEAD
                    && own.work.name == row.work.name
                    && own.connections == row.connections
            });
            let ratio =
                own.map_or_else(|| "–".to_owned(), |own| format!("{:.2}", own.cpu / row.cpu));
            let _ = writeln!(
                text,
                "| {} | {:.2} | {ratio} | {:.0} | {} | {} | {} | {} |",
                row.peer.label,
                row.cpu,
                row.rate,
                ms(row.p50),
                ms(row.p99),
                mb(row.pss),
                row.errors
            );
        }
        text.push('\n');
    }

    fn reloads(&self, text: &mut String) {
        if self.reloads.is_empty() {
            return;
        }
        text.push_str(
            "## Reloads under load\n\n8 visitors on kept connections ask every millisecond or so; SIGHUP, again and\n\
             again, each time the new code has taken over.\n\n\
             | | app | reloads | requests | errors | longest, without | longest, with | new code after |\n\
             |---|---|--:|--:|---|--:|--:|--:|\n",
        );
        for row in &self.reloads {
            let mut errors: Vec<String> = row
                .errors
                .iter()
                .map(|(failure, n)| format!("{n} {failure}"))
                .collect();
            if row.unfinished > 0 {
                errors.push(format!("{} reloads without effect", row.unfinished));
            }
            let errors = if errors.is_empty() {
                "0".to_owned()
            } else {
                errors.join(", ")
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {errors} | {} | {} | {} |",
                row.peer.label,
                row.app,
                row.reloads,
                row.requests,
                ms(row.longest_before),
                ms(row.longest),
                ms(row.took)
            );
        }
        text.push('\n');
    }

    fn slow(&self, text: &mut String) {
        if self.slow.is_empty() {
            return;
        }
        text.push_str(
            "## Slow visitors\n\nTwo thousand steps a second, of all of them together, in sending a header or a body, or in reading an answer.\n\
             Beside them 32 normal connections ask for something small.\n\n\
             | | slow visitors | requests/s alone | beside them | ratio | p99 alone | p99 beside them | errors |\n\
             |---|---|--:|--:|--:|--:|--:|--:|\n",
        );
        for row in &self.slow {
            let _ = writeln!(
                text,
                "| {} | {}: {} | {:.0} | {:.0} | {:.2} | {} | {} | {} |",
                row.peer.label,
                row.crowd.size,
                row.crowd.label,
                row.rate_alone,
                row.rate,
                row.rate / row.rate_alone,
                ms(row.p99_alone),
                ms(row.p99),
                row.errors
            );
        }
        text.push('\n');
    }

    fn idle(&self, text: &mut String) {
        if self.idle.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "## {} idle visitors\n\nEach has asked once and keeps its connection. Memory is the proportional set size, of user space.\n\n\
             | | before | with them | each |\n|---|--:|--:|--:|",
            idle::CROWD
        );
        for row in &self.idle {
            let more = row.with.saturating_sub(row.before);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} bytes |",
                row.peer.label,
                mb(row.before as f64),
                mb(row.with as f64),
                more / idle::CROWD as u64
            );
        }
        text.push('\n');
    }

    fn footprint(&self, text: &mut String) {
        if let Some(memory) = &self.memory {
            let _ = writeln!(
                text,
                "## Memory (PSS)\n\n| | |\n|---|--:|\n\
                 | edge and agent, idle | {} |\n\
                 | an instance of {}, idle | {} |\n\
                 | the same after load, its threads started | {} |\n\
                 | an interpreter that imported the same app, one of {} | {} |\n",
                mb(memory.own as f64),
                memory.instances,
                mb(memory.instance as f64),
                mb(memory.instance_loaded as f64),
                memory.instances,
                mb(memory.interpreter as f64)
            );
        }
        if !self.starts.is_empty() {
            text.push_str("## Start of an unchanged app\n\n| app | first 200 after | its import alone |\n|---|--:|--:|\n");
            for start in &self.starts {
                let _ = writeln!(
                    text,
                    "| {} | {} | {} |",
                    start.app,
                    ms(start.first_answer),
                    ms(start.import)
                );
            }
            text.push('\n');
        }
    }
}

fn ms(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds >= 100.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{milliseconds:.1} ms")
    }
}

fn mb(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

#[cfg(test)]
mod tests;
