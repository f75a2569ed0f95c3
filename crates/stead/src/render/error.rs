//! The form that every failure has:
//!
//! ```text
//! error: cannot deploy `shop` to `web-1`
//!   cause: `GET /up` answered 500 for 30s
//!   state: release 41 still serves; release 42 received no visitors
//! hint: stead logs shop --release 42
//! ```

use std::fmt::Write;

use super::text::{ERROR, FAINT, HINT, WARNING, said, shown, styled};
use crate::problem::Problem;

/// The whole form, ending in a line feed.
pub(super) fn text(problem: &Problem) -> String {
    let mut text = String::new();
    one(&mut text, problem);
    for other in &problem.others {
        text.push('\n');
        one(&mut text, other);
    }
    text
}

/// A sentence that is no failure.
pub(super) fn note(sentence: &str) -> String {
    format!("{} {}\n", styled(WARNING, "note:"), said(sentence))
}

fn one(text: &mut String, problem: &Problem) {
    let _ = writeln!(text, "{} {}", styled(ERROR, "error:"), folded(&problem.act));
    if let Some(place) = &problem.place {
        let _ = writeln!(text, "  {} {}", styled(FAINT, "-->"), shown(place));
    }
    for line in &problem.output {
        let _ = writeln!(text, "  {} {}", styled(FAINT, "|"), shown(line));
    }
    for cause in &problem.causes {
        let _ = writeln!(text, "  cause: {}", folded(cause));
    }
    if let Some(state) = &problem.state {
        let _ = writeln!(text, "  state: {}", folded(state));
    }
    if let Some(hint) = &problem.hint {
        let _ = writeln!(text, "{} {}", styled(HINT, "hint:"), folded(hint));
    }
}

/// Several lines stay several, the further ones indented below the first.
fn folded(sentence: &str) -> String {
    sentence
        .lines()
        .map(said)
        .collect::<Vec<_>>()
        .join("\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(problem: &Problem) -> String {
        anstream::adapter::strip_str(&text(problem)).to_string()
    }

    #[test]
    fn a_failure_says_what_why_what_visitors_get_and_what_next() {
        let problem = Problem::new("cannot deploy `shop` to `web-1`")
            .cause("`GET /up` answered 500 for 30s")
            .state("release 41 still serves; release 42 received no visitors")
            .hint("stead logs shop --release 42");
        insta::assert_snapshot!(plain(&problem), @r"
        error: cannot deploy `shop` to `web-1`
          cause: `GET /up` answered 500 for 30s
          state: release 41 still serves; release 42 received no visitors
        hint: stead logs shop --release 42
        ");
    }

    #[test]
    fn a_configuration_error_shows_its_place() {
        let mut problem = Problem::invocation("unknown key `helth` in `process.web`")
            .hint("did you mean `health`?");
        problem.place = Some("stead.toml:14".to_owned());
        insta::assert_snapshot!(plain(&problem), @r"
        error: unknown key `helth` in `process.web`
          --> stead.toml:14
        hint: did you mean `health`?
        ");
    }
}
