//! The lexicon's words, and no synonyms, in what a user reads.

use super::Complaint;
use super::tree::{File, Tree};

/// The synonym, and the word of the lexicon.
const SYNONYMS: [(&str, &str); 19] = [
    ("application server", "instance, or the server's name"),
    ("backend", "upstream"),
    ("backends", "upstream"),
    ("cron job", "job"),
    ("cron jobs", "job"),
    ("cronjob", "job"),
    ("daemon", "agent or edge"),
    ("deployment", "release, or to deploy"),
    ("deployments", "release, or to deploy"),
    ("dyno", "instance"),
    ("load balancer", "edge"),
    ("microservice", "app"),
    ("reverse proxy", "edge"),
    ("rollout", "release"),
    ("scheduled task", "job"),
    ("virtual host", "route"),
    ("vhost", "route"),
    ("webserver", "edge"),
    ("worker process", "instance"),
];

/// Where a synonym is meant: the file, a part of the line, and why.
const MEANT: [(&str, &str, &str); 1] = [(
    "docs/stead-toml.md",
    "root = \"backend\"",
    "a directory of somebody's repository",
)];

/// No synonym in a document, nor in the help and messages of the binary.
pub(crate) fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.with_extension("md").filter(|file| is_ours(file)) {
        for (number, line) in file.lines() {
            for (synonym, word) in in_line(line) {
                let meant = MEANT.iter().any(|(path, part, why)| {
                    debug_assert!(!why.is_empty());
                    file.path.ends_with(path) && line.contains(part)
                });
                if !meant {
                    let text = format!("`{synonym}` is not in the lexicon: {word}");
                    complaints.push(Complaint::new(&file.path, number, text));
                }
            }
        }
    }
    complaints
}

/// What others wrote, and measurements of others, speak as they like.
fn is_ours(file: &File) -> bool {
    !file.is_test() && !file.path.starts_with("bench")
}

fn in_line(line: &str) -> Vec<(&'static str, &'static str)> {
    let line = line.to_lowercase();
    let whole_word = |at: usize, word: &str| {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '-');
        edge(line[..at].chars().next_back()) && edge(line[at + word.len()..].chars().next())
    };
    SYNONYMS
        .iter()
        .copied()
        .filter(|(synonym, _)| {
            line.match_indices(synonym)
                .any(|(at, _)| whole_word(at, synonym))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::in_line;

    #[test]
    fn synonyms_are_found_as_whole_words() {
        assert_eq!(in_line("A Daemon runs."), [("daemon", "agent or edge")]);
        assert!(in_line("uwsgi's `daemonize` and `x-daemon`").is_empty());
    }
}
