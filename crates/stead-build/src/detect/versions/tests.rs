use super::{Wanted, choose};

fn check(text: &str, expected: &str) {
    let said = match choose(text) {
        Wanted::Version(version) => version,
        Wanted::Two => "2".to_owned(),
        Wanted::Open => "open".to_owned(),
    };
    assert_eq!(said, expected, "{text}");
}

#[test]
fn a_version_is_chosen_from_whatever_says_it() {
    check("3.11.4", "3.11");
    check("python-3.6.8", "3.6");
    check("python-2.7.18", "2");
    check(">=3.8", "open");
    check("^3.8", "open");
    check(">=3.6,<3.9", "3.8");
    check(">=3.6, <4.0", "open");
    check("==3.8.*", "3.8");
    check("~=3.8.1", "3.8");
    check("~3.9", "3.9");
    check("<3.13,>=3.8", "3.12");
    check("=3.7", "3.7");
    check("myproject", "open");
    check("", "open");
    check("3", "open");
    check("pypy3.9", "open");
    check("3.99999999999", "open");
}
