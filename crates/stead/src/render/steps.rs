//! What is shown while a host carries a wish out: a line for each step when it has ended, and on a terminal one that moves while it goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use stead_model::agent::{Progress, Stream};
use stead_remote::Sent;

use super::Terminal;
use super::text::{FAINT, GOOD, shown, styled};

/// The steps of one host.
pub(crate) struct Steps {
    terminal: Terminal,
    /// The host, where there are several; else empty.
    host: String,
    /// No other host shows anything at the same time.
    alone: bool,
    bar: Option<ProgressBar>,
    /// The step that goes on, when its beginning was printed already.
    announced: bool,
    step: String,
    sent: Sent,
}

impl Steps {
    /// Nothing is shown yet.
    pub(crate) fn new(terminal: &Terminal, host: &str, alone: bool) -> Self {
        Self {
            terminal: terminal.clone(),
            host: shown(host),
            alone,
            bar: None,
            announced: false,
            step: String::new(),
            sent: Sent::default(),
        }
    }

    /// The source is on its way.
    pub(crate) fn sending(&mut self, sent: Sent) {
        if self.bar.is_none() && self.step.is_empty() {
            self.begin("send what is new");
        }
        self.sent = sent;
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} of {}", bytes(sent.sent), bytes(sent.bytes)));
        }
    }

    /// The host has all of the source.
    pub(crate) fn sent(&mut self) {
        let detail = match self.sent.contents {
            0 => "nothing is new".to_owned(),
            1 => format!("1 file, {}", bytes(self.sent.bytes)),
            count => format!("{count} files, {}", bytes(self.sent.bytes)),
        };
        self.end("source", &detail, None);
    }

    /// Something happened.
    pub(crate) fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Release { .. } => {}
            Progress::Began { step } => self.begin(step),
            Progress::Ended {
                step,
                milliseconds,
                detail,
            } => self.end(step, detail, Some(*milliseconds)),
            Progress::Output {
                stream: Stream::Build,
                line,
            } => self.build_said(line),
            Progress::Output {
                stream: Stream::Release,
                line,
            } => self.line(&format!("{} {}", styled(FAINT, "|"), shown(line))),
            Progress::Note { text } => {
                let note = match self.host.is_empty() {
                    true => text.clone(),
                    false => format!("{}: {text}", self.host),
                };
                self.terminal.note(&note);
            }
        }
    }

    /// Nothing goes on any more.
    pub(crate) fn over(&mut self) {
        if self.bar.take().is_some() {
            self.terminal.set_bar(None);
        }
    }

    fn begin(&mut self, step: &str) {
        self.step = one_line(step);
        self.announced = false;
        if self.alone && self.terminal.moving {
            let bar = ProgressBar::new_spinner();
            let form = "{spinner} {prefix} {elapsed} {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar.set_prefix(self.step.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            self.terminal.set_bar(Some(bar.clone()));
            self.bar = Some(bar);
        }
    }

    /// The last line of a build is shown where a line can move; else that it goes on, once.
    fn build_said(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(one_line(line)),
            None if !self.announced && !self.step.is_empty() => {
                self.announced = true;
                self.line(&format!("{} …", self.step));
            }
            None => {}
        }
    }

    fn end(&mut self, step: &str, detail: &str, milliseconds: Option<u64>) {
        self.over();
        self.step.clear();
        let mut line = styled(GOOD, &one_line(step));
        if !detail.is_empty() {
            line.push_str(&format!(": {}", one_line(detail)));
        }
        if let Some(milliseconds) = milliseconds {
            let took = format!(" ({})", super::apps::took(milliseconds));
            line.push_str(&styled(FAINT, &took));
        }
        self.line(&line);
    }

    fn line(&self, line: &str) {
        match self.host.is_empty() {
            true => self.terminal.err(&format!("  {line}\n")),
            false => {
                let host = styled(FAINT, &self.host);
                self.terminal.err(&format!("  {host} {line}\n"));
            }
        }
    }
}

/// Neither colours nor anything that moves.
fn one_line(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    plain.chars().filter(|c| !c.is_control()).collect()
}

/// `812 bytes`, `81 KB`, `12 MB`.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} bytes"),
        1024..1_048_576 => format!("{} KB", count >> 10),
        _ => format!("{} MB", count >> 20),
    }
}
