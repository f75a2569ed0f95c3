//! What git ignores: `.gitignore` files of the source and of the directories above it up to the
//! repository's top (gitignore(5)). git itself is not asked: it may be missing, and a directory
//! copied without its `.git` has the same files in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Patterns of all `.gitignore` files that were needed so far.
#[derive(Debug, Default)]
pub(super) struct Ignores {
    /// The repository's top, at or above the source.
    top: PathBuf,
    /// By the directory that the file is in.
    files: BTreeMap<PathBuf, Vec<Pattern>>,
}

/// One line of a `.gitignore`.
#[derive(Debug, PartialEq)]
struct Pattern {
    negated: bool,
    /// Only directories.
    directory: bool,
    /// Parts between slashes; one part alone matches at any depth.
    parts: Vec<String>,
}

impl Ignores {
    /// For the source tree in `dir`. Files are read when they are needed.
    pub(super) fn read(dir: &Path) -> Self {
        let top = dir.ancestors().find(|above| above.join(".git").exists());
        let mut ignores = Self {
            top: top.unwrap_or(dir).to_owned(),
            files: BTreeMap::new(),
        };
        if let Ok(text) = std::fs::read_to_string(ignores.top.join(".git/info/exclude")) {
            let exclude = patterns(&text);
            let top = ignores.top.clone();
            ignores.patterns_in(&top);
            if let Some(patterns) = ignores.files.get_mut(&top) {
                patterns.splice(0..0, exclude);
            }
        }
        ignores
    }

    /// Whether git would ignore `relative` in `dir`, or a directory that it is in.
    pub(super) fn ignored(&mut self, dir: &Path, relative: &Path, is_dir: bool) -> bool {
        let path = dir.join(relative);
        let Ok(inside) = path.strip_prefix(&self.top).map(Path::to_owned) else {
            return false;
        };
        let steps: Vec<&Path> = inside.ancestors().collect();
        // From the top down: what is below an ignored directory cannot be taken back.
        steps
            .iter()
            .rev()
            .skip(1)
            .any(|step| self.matches(step, is_dir || *step != inside))
    }

    /// Whether the patterns name exactly this path, which is relative to the top.
    fn matches(&mut self, path: &Path, is_dir: bool) -> bool {
        let parts: Vec<String> = path
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let mut verdict = false;
        let mut base = self.top.clone();
        for depth in 0..parts.len() {
            for pattern in self.patterns_in(&base) {
                if pattern.matches(&parts[depth..], is_dir) {
                    verdict = !pattern.negated;
                }
            }
            base.push(&parts[depth]);
        }
        verdict
    }

    fn patterns_in(&mut self, dir: &Path) -> &[Pattern] {
        self.files.entry(dir.to_owned()).or_insert_with(|| {
            let text = std::fs::read(dir.join(".gitignore")).unwrap_or_default();
            patterns(&String::from_utf8_lossy(&text))
        })
    }
}

fn patterns(text: &str) -> Vec<Pattern> {
    text.lines().filter_map(Pattern::parse).collect()
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let mut line = line.trim_end_matches('\r');
        // Trailing spaces do not count unless quoted.
        while line.ends_with(' ') && !line.ends_with("\\ ") {
            line = &line[..line.len() - 1];
        }
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (negated, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (directory, line) = match line.strip_suffix('/') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let anchored = line.contains('/');
        let mut parts: Vec<String> = line
            .trim_start_matches('/')
            .split('/')
            .map(str::to_owned)
            .collect();
        if !anchored {
            parts.insert(0, "**".to_owned());
        }
        (!line.is_empty()).then_some(Self {
            negated,
            directory,
            parts,
        })
    }

    fn matches(&self, path: &[String], is_dir: bool) -> bool {
        (is_dir || !self.directory) && path_matches(&self.parts, path)
    }
}

fn path_matches(pattern: &[String], path: &[String]) -> bool {
    match (pattern, path) {
        ([], path) => path.is_empty(),
        ([any], path) if any == "**" => !path.is_empty(),
        ([any, rest @ ..], path) if any == "**" => {
            (0..=path.len()).any(|skipped| path_matches(rest, &path[skipped..]))
        }
        ([part, rest @ ..], [name, below @ ..]) => {
            let (part, name): (Vec<char>, Vec<char>) =
                (part.chars().collect(), name.chars().collect());
            name_matches(&part, &name) && path_matches(rest, below)
        }
        (_, []) => false,
    }
}

/// `*`, `?`, `[a-z]` and `\x` within one name. Without recursion: hostile patterns cost
/// pattern × name, not more.
fn name_matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p, n));
            p += 1;
            continue;
        }
        match one(&pattern[p..], name[n]) {
            Some(used) => {
                p += used;
                n += 1;
            }
            None => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How many characters of the pattern match this one.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['[', rest @ ..] => class(rest, c).map(|used| used + 1),
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

/// `[abc]`, `[a-z]`, `[!a]`, without its first bracket. A class without an end matches nothing.
fn class(class: &[char], c: char) -> Option<usize> {
    let negated = matches!(class.first(), Some('!' | '^'));
    let start = usize::from(negated);
    let mut at = start;
    let mut found = false;
    loop {
        match &class[at.min(class.len())..] {
            [] => return None,
            [']', ..] if at > start => break,
            [low, '-', high, ..] if *high != ']' => {
                found |= (*low..=*high).contains(&c);
                at += 3;
            }
            [single, ..] => {
                found |= *single == c;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(line: &str, path: &str, is_dir: bool) -> bool {
        let pattern = Pattern::parse(line).unwrap();
        let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
        pattern.matches(&parts, is_dir)
    }

    #[test]
    fn patterns_mean_what_gitignore_says() {
        assert!(ignored("*.log", "a/b/c.log", false));
        assert!(ignored("build/", "x/build", true));
        assert!(!ignored("build/", "build", false));
        assert!(ignored("/dist", "dist", true));
        assert!(!ignored("/dist", "a/dist", true));
        assert!(ignored("doc/*.txt", "doc/a.txt", false));
        assert!(!ignored("doc/*.txt", "doc/x/a.txt", false));
        assert!(ignored("**/cache", "a/b/cache", true));
        assert!(ignored("a/**/b", "a/b", false));
        assert!(ignored("a/**/b", "a/x/y/b", false));
        assert!(ignored("a/**", "a/x", false));
        assert!(!ignored("a/**", "a", true));
        assert!(ignored("[a-c]?[!x].py", "b1z.py", false));
        assert!(!ignored("[a-c]?[!x].py", "b1x.py", false));
        assert!(ignored("\\#name", "#name", false));
        assert!(ignored("a*b*c", "aXbXbXc", false));
        assert!(!ignored("[", "[", false));
    }

    #[test]
    fn comments_and_empty_lines_are_no_patterns() {
        assert_eq!(Pattern::parse("# x"), None);
        assert_eq!(Pattern::parse(""), None);
        assert_eq!(Pattern::parse("/"), None);
        assert_eq!(Pattern::parse("!"), None);
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern: Vec<char> = "*a".repeat(200).chars().collect();
        let name: Vec<char> = "a".repeat(150).chars().collect();
        assert!(!name_matches(&pattern, &name));
    }

    #[test]
    fn files_below_an_ignored_directory_cannot_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join(".gitignore"),
            "out/\n!out/kept.py\n*.gen.py\n!good.gen.py\n",
        )
        .unwrap();
        let mut ignores = Ignores::read(dir.path());
        let mut check = |path: &str| ignores.ignored(dir.path(), Path::new(path), false);
        assert!(check("out/kept.py"));
        assert!(check("a/b.gen.py"));
        assert!(!check("a/good.gen.py"));
        assert!(!check("a/b.py"));
    }
}
