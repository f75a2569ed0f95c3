use std::process::{Command, Stdio};

use super::line;

/// What means something to some shell, alone and around words.
const HOSTILE: [&str; 34] = [
    "$(touch HERE)",
    "`touch HERE`",
    "; touch HERE",
    "& touch HERE",
    "| touch HERE",
    "|| touch HERE",
    "&& touch HERE",
    "\ntouch HERE\n",
    "> HERE",
    ">> HERE",
    "< /etc/passwd",
    "${IFS}touch${IFS}HERE",
    "'",
    "\"",
    "\\",
    "\\'",
    "'\\''",
    "a\\",
    "#",
    "!",
    "!!",
    "*",
    "?",
    "[a-z]*",
    "~",
    "~root",
    "{a,b}",
    "$HOME",
    "$'\\x41'",
    "=(touch HERE)",
    "%1",
    "\t",
    "-rf",
    "é€😀",
];

/// Every pair of them, with and without a word around: more than two thousand words.
fn words() -> Vec<String> {
    let mut words = vec![String::new(), "plain".to_owned()];
    for one in HOSTILE {
        words.push(one.to_owned());
        words.push(format!("shop{one}"));
        words.push(format!("{one}shop"));
        words.extend(HOSTILE.iter().map(|other| format!("{one}{other}")));
        words.extend(HOSTILE.iter().map(|other| format!("{one} shop{other}")));
    }
    words
}

#[test]
fn no_word_is_executed_and_each_arrives_as_it_was() {
    let words = words();
    assert!(words.len() > 2000);
    let mut tried = 0;
    for shell in ["sh", "bash", "dash", "zsh", "ksh", "fish"] {
        if Command::new(shell)
            .args(["-c", "true"])
            .stdin(Stdio::null())
            .output()
            .is_err()
        {
            continue;
        }
        tried += 1;
        let dir = tempfile::tempdir().unwrap();
        for some in words.chunks(200) {
            let command = ["printf", "%s\\0"]
                .into_iter()
                .chain(some.iter().map(String::as_str));
            let output = Command::new(shell)
                .arg("-c")
                .arg(line(command))
                .current_dir(dir.path())
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let arrived: Vec<&str> = said.split_terminator('\0').collect();
            assert_eq!(
                arrived,
                some,
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 0, "{shell} executed something");
    }
    assert!(tried >= 1, "no shell is here");
}

#[test]
fn plain_words_stay_readable() {
    assert_eq!(line(["stead", "api", "set-up"]), "stead api set-up");
    assert_eq!(line(["sudo", "-n", "", "it's"]), "sudo -n '' it\\'s");
}
