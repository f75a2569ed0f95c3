//! Lines of `stead up`: what instances and jobs print, behind a prefix that names them.

use anstyle::{AnsiColor, Color, Style};

use super::text::{FAINT, WARNING, said, shown, styled};

/// Colours of sources. Red and yellow mean that something is wrong, so they are not among them.
const COLOURS: [AnsiColor; 8] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Green,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightGreen,
    AnsiColor::BrightBlue,
];

/// Prefixes as wide as the widest source so far.
#[derive(Debug)]
pub(super) struct Prefixes {
    width: usize,
}

impl Prefixes {
    pub(super) fn new() -> Self {
        Self { width: 6 }
    }

    /// A line that `source` printed.
    pub(super) fn line(&mut self, source: &str, text: &str) -> String {
        format!(
            "{} {} {}\n",
            self.prefix(source),
            styled(FAINT, "|"),
            shown(text)
        )
    }

    /// A sentence about `source`.
    pub(super) fn note(&mut self, source: &str, warning: bool, text: &str) -> String {
        let mark = match warning {
            true => styled(WARNING, "!"),
            false => styled(FAINT, "*"),
        };
        format!("{} {mark} {}\n", self.prefix(source), said(text))
    }

    fn prefix(&mut self, source: &str) -> String {
        self.width = self.width.max(source.chars().count().min(24));
        let padding = " ".repeat(self.width.saturating_sub(source.chars().count()));
        format!("{}{padding}", styled(colour(source), source))
    }
}

/// The same source has the same colour in every run (FNV-1a).
fn colour(source: &str) -> Style {
    let hash = source
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let index = usize::try_from(hash % COLOURS.len() as u64).unwrap_or_default();
    Style::new().fg_color(Some(Color::Ansi(COLOURS[index])))
}
