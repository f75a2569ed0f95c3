//! Certificates that change, break and come in great numbers.

use std::time::Instant;

use stead_model::certificates::{CertificateFiles, CertificateTable};

use super::authority::{Secure, text};

fn table(files: Vec<CertificateFiles>) -> CertificateTable {
    CertificateTable {
        files,
        ..CertificateTable::default()
    }
}

#[test]
fn a_pair_that_is_broken_torn_or_gone_leaves_the_former_one_in_force() {
    let mut secure = Secure::start();
    let files = secure.authority.issue("a", &["a.example"]);
    let (other, other_key) = secure.authority.pair(&["a.example"]);
    let (chain, key) = (
        std::fs::read_to_string(&files.chain).unwrap(),
        std::fs::read_to_string(&files.key).unwrap(),
    );
    assert_eq!(secure.show(table(vec![files.clone()])).problems, []);
    let cases: [(&str, &str, &str); 6] = [
        (&other, &key, "is not the one of the certificate"),
        (&chain, &other_key, "is not the one of the certificate"),
        (&chain[..chain.len() / 2], &key, "broken PEM"),
        (&chain, "", "no private key"),
        ("", &key, "no certificate"),
        (
            &chain,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "encrypted with a passphrase",
        ),
    ];
    for (new_chain, new_key, why) in cases {
        std::fs::write(&files.chain, new_chain).unwrap();
        std::fs::write(&files.key, new_key).unwrap();
        let report = secure.show(table(vec![files.clone()]));
        assert_eq!(report.certificates, 1);
        assert!(report.problems[0].why.contains(why), "{report:?}");
        assert!(report.problems[0].serves);
        text(&secure.curl("a.example", &[]));
    }
    std::fs::remove_file(&files.key).unwrap();
    let report = secure.show(table(vec![files.clone()]));
    assert!(
        report.problems[0].why.contains("there is no such file"),
        "{report:?}"
    );
    text(&secure.curl("a.example", &[]));
    // Whole again, and another one.
    std::fs::write(&files.chain, &other).unwrap();
    std::fs::write(&files.key, &other_key).unwrap();
    assert_eq!(secure.show(table(vec![files])).problems, []);
    let said = secure.openssl(&["-servername", "a.example"], "");
    assert!(said.contains(other.trim()), "{said}");
}

#[test]
fn a_broken_pair_costs_only_itself_and_an_expired_one_is_told() {
    let mut secure = Secure::start();
    let good = secure.authority.issue("good", &["good.example"]);
    let bad = secure.authority.issue("bad", &["bad.example"]);
    std::fs::write(&bad.chain, "nonsense").unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["old.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let (chain, key) = secure.authority.pair_of(params);
    let old = secure.authority.issue("old", &[]);
    std::fs::write(&old.chain, chain).unwrap();
    std::fs::write(&old.key, key).unwrap();
    let report = secure.show(table(vec![good, bad, old]));
    assert_eq!(report.certificates, 2);
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|problem| (problem.why.as_str(), problem.serves))
        .collect();
    assert!(
        problems[0].0.ends_with("holds no certificate in PEM form") && !problems[0].1,
        "{problems:?}"
    );
    assert_eq!(problems[1], ("it has expired", true));
    text(&secure.curl("good.example", &[]));
}

#[test]
fn of_two_certificates_for_a_name_the_one_that_lasts_longest_is_shown() {
    let mut secure = Secure::start();
    let mut pairs = Vec::new();
    for (file, year) in [("x", 2031), ("y", 2035), ("z", 2033)] {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let (chain, key) = secure.authority.pair_of(params);
        let files = secure.authority.issue(file, &[]);
        std::fs::write(&files.chain, &chain).unwrap();
        std::fs::write(&files.key, key).unwrap();
        pairs.push((files, chain));
    }
    secure.show(table(
        pairs.iter().map(|(files, _)| files.clone()).collect(),
    ));
    let said = secure.openssl(&["-servername", "a.example"], "");
    assert!(said.contains(pairs[1].1.trim()), "{said}");
}

#[test]
fn a_thousand_certificates_are_each_found() {
    let mut secure = Secure::start();
    let files: Vec<_> = (0..1000)
        .map(|number| {
            secure
                .authority
                .issue(&format!("n{number}"), &[&format!("n{number}.example")])
        })
        .collect();
    let began = Instant::now();
    let report = secure.show(table(files));
    eprintln!("1,000 certificates were read in {:?}", began.elapsed());
    assert_eq!((report.certificates, report.problems), (1000, Vec::new()));
    for number in [0, 499, 999] {
        text(&secure.curl(&format!("n{number}.example"), &[]));
    }
}
