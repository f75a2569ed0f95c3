use super::*;

fn made(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_certificate_says_its_hosts_and_times() {
    let (chain, key) = made(&["Shop.example.com", "*.example.com"]);
    let leaf = read(&chain, &key).unwrap();
    assert_eq!(leaf.names, ["shop.example.com", "*.example.com"]);
    assert!(leaf.begins < leaf.ends);
}

#[test]
fn a_key_of_another_certificate_and_broken_files_are_refused_in_words() {
    let (chain, key) = made(&["a.example.com"]);
    let (_, other) = made(&["a.example.com"]);
    assert_eq!(
        read(&chain, &other).unwrap_err(),
        "the key does not belong to the certificate"
    );
    assert_eq!(read("", &key).unwrap_err(), "the chain has no certificate");
    assert!(read(&chain, "").is_err());
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(read(&chain, &encrypted).unwrap_err().contains("encrypted"));
    for length in 0..chain.len() - 1 {
        // A line end more or less is no difference.
        if chain[length..].trim().is_empty() {
            continue;
        }
        assert!(read(&chain[..length], &key).is_err(), "{length}");
    }
}
