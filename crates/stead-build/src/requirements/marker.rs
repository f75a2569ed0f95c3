//! Environment markers (PEP 508) for a Python that is known: `python_version < "3.11" and sys_platform == "win32"`.

use std::collections::BTreeSet;

use crate::interpreter::wanted::Version;

/// What markers are evaluated against: Linux, and this Python.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Of the interpreter.
    pub(crate) python: Version,
    /// `cpython`, `pypy`.
    pub(crate) implementation: String,
}

impl Target {
    /// Whether `marker` holds with these extras. One that is not understood holds: a package
    /// too many does less harm than one that is missing.
    pub(crate) fn holds(&self, marker: &str, extras: &BTreeSet<String>) -> bool {
        let tokens = match tokens(marker) {
            Some(tokens) if !tokens.is_empty() => tokens,
            _ => return true,
        };
        let mut parser = Parser {
            tokens: &tokens,
            at: 0,
            target: self,
            extras,
        };
        parser.alternatives().unwrap_or(true)
    }

    fn value(&self, name: &str) -> Option<String> {
        let python = self.python;
        Some(match name {
            "python_version" => format!("{}.{}", python.0, python.1),
            "python_full_version" | "implementation_version" => python.to_string(),
            "sys_platform" => "linux".into(),
            "platform_system" => "Linux".into(),
            "os_name" => "posix".into(),
            "platform_machine" => match std::env::consts::ARCH {
                "x86" => "i686".into(),
                arch => arch.into(),
            },
            "implementation_name" => self.implementation.clone(),
            "platform_python_implementation" => match self.implementation.as_str() {
                "pypy" => "PyPy".into(),
                _ => "CPython".into(),
            },
            _ => return None,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Text(String),
    /// A name or an operator, `and`, `or`, `in`, `not`.
    Word(String),
}

fn tokens(marker: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = marker.trim_start();
    while let Some(first) = rest.chars().next() {
        match first {
            '(' | ')' => {
                tokens.push(if first == '(' {
                    Token::Open
                } else {
                    Token::Close
                });
                rest = rest.get(1..)?;
            }
            '"' | '\'' => {
                let (text, after) = rest.get(1..)?.split_once(first)?;
                tokens.push(Token::Text(text.to_owned()));
                rest = after;
            }
            _ => {
                let operator = "<>=!~".contains(first);
                let end = rest
                    .find(|next: char| match operator {
                        true => !"<>=!~".contains(next),
                        false => !(next.is_ascii_alphanumeric() || next == '_' || next == '.'),
                    })
                    .unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                let (word, after) = rest.split_at(end);
                tokens.push(Token::Word(word.to_owned()));
                rest = after;
            }
        }
        rest = rest.trim_start();
    }
    // Hostile nesting would otherwise be recursion without end.
    (tokens.iter().filter(|token| **token == Token::Open).count() < 64).then_some(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    target: &'a Target,
    extras: &'a BTreeSet<String>,
}

impl Parser<'_> {
    fn next_is(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(next)) if next == word);
        self.at += usize::from(found);
        found
    }

    fn alternatives(&mut self) -> Option<bool> {
        let mut value = self.conjunction()?;
        while self.next_is("or") {
            value |= self.conjunction()?;
        }
        Some(value)
    }

    fn conjunction(&mut self) -> Option<bool> {
        let mut value = self.term()?;
        while self.next_is("and") {
            value &= self.term()?;
        }
        Some(value)
    }

    fn term(&mut self) -> Option<bool> {
        if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            let value = self.alternatives()?;
            self.at += 1;
            return Some(value);
        }
        let (left, left_name) = self.operand()?;
        let not = self.next_is("not");
        let operator = match self.tokens.get(self.at)? {
            Token::Word(operator) => operator.clone(),
            _ => return None,
        };
        self.at += 1;
        let (right, right_name) = self.operand()?;
        let name = left_name.or(right_name)?;
        if name == "extra" {
            let wanted = super::normalized(if left.is_empty() { &right } else { &left });
            let has = self.extras.contains(&wanted);
            return Some(has == (operator == "=="));
        }
        Some(match operator.as_str() {
            "in" => {
                right.split([' ', ',']).any(|word| word == left) != not || right == left && !not
            }
            "==" | "===" if !name.contains("version") => left == right,
            "!=" if !name.contains("version") => left != right,
            operator => compare(&left, operator, &right)?,
        })
    }

    /// A value, and the variable's name when it is one.
    fn operand(&mut self) -> Option<(String, Option<String>)> {
        let found = match self.tokens.get(self.at)? {
            Token::Text(text) => (text.clone(), None),
            Token::Word(name) if name == "extra" => (String::new(), Some(name.clone())),
            Token::Word(name) => (self.target.value(name)?, Some(name.clone())),
            _ => return None,
        };
        self.at += 1;
        Some(found)
    }
}

/// Compare release numbers; a suffix (`rc1`) is ignored.
pub(crate) fn compare(left: &str, operator: &str, right: &str) -> Option<bool> {
    let wild = right.ends_with(".*");
    let a = numbers(left)?;
    let b = numbers(right.trim_end_matches(".*"))?;
    let length = a.len().max(b.len());
    let padded = |numbers: &[u64]| -> Vec<u64> {
        numbers
            .iter()
            .copied()
            .chain(std::iter::repeat(0))
            .take(length)
            .collect()
    };
    let prefix = a.len() >= b.len() && a.iter().zip(&b).all(|(a, b)| a == b);
    let (left, right) = (padded(&a), padded(&b));
    Some(match operator {
        "==" | "===" | "=" if wild => prefix,
        "!=" if wild => !prefix,
        "==" | "===" | "=" => left == right,
        "!=" => left != right,
        ">=" => left >= right,
        "<=" => left <= right,
        ">" => left > right,
        "<" => left < right,
        "~=" => {
            left >= right
                && a.iter()
                    .zip(b.get(..b.len().saturating_sub(1))?)
                    .all(|(a, b)| a == b)
        }
        _ => return None,
    })
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    let found: Vec<u64> = text
        .trim()
        .trim_start_matches('v')
        .split('.')
        .map_while(|part| {
            let digits = part
                .find(|next: char| !next.is_ascii_digit())
                .unwrap_or(part.len());
            part.get(..digits)?.parse().ok()
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(marker: &str) -> bool {
        let target = Target {
            python: Version(3, 11, 7),
            implementation: "cpython".into(),
        };
        target.holds(marker, &BTreeSet::from(["redis".to_owned()]))
    }

    #[test]
    fn markers_are_evaluated_for_linux_and_the_python_in_use() {
        assert!(holds(
            "python_version >= \"3.8\" and python_version < \"4.0\""
        ));
        assert!(!holds("python_version<'3.10'"));
        assert!(holds(
            "python_version < '3.10' or (sys_platform == 'linux' and os_name != 'nt')"
        ));
        assert!(!holds("platform_system == \"Windows\""));
        assert!(holds("\"win\" not in sys_platform"));
        assert!(holds("python_full_version != '3.11.*' or extra == 'Redis'"));
        assert!(!holds("extra == 'mysql'"));
        assert!(holds("python_full_version <= \"3.11.7\""));
        assert!(holds("platform_python_implementation != 'PyPy'"));
        assert!(holds(
            "implementation_name == 'cpython' and python_version in '3.10 3.11'"
        ));
    }

    #[test]
    fn a_marker_that_is_not_understood_holds() {
        for marker in [
            "",
            "wat == '1'",
            "python_version ==",
            "((((",
            "'a' 'b'",
            "§",
        ] {
            assert!(holds(marker), "{marker}");
        }
        assert!(holds(&"(".repeat(100_000)));
    }
}
