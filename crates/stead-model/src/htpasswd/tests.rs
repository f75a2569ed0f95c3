use super::*;

const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

#[test]
fn what_htpasswd_writes_with_bcrypt_is_read() {
    let text = format!("# team\n\nanna:{HASH}\r\nben:{HASH}:Ben of sales\n");
    let found = parse(&text);
    let names: Vec<&str> = found.users.keys().map(String::as_str).collect();
    assert_eq!(names, ["anna", "ben"]);
    assert!(found.users.values().all(|hash| hash == HASH));
    assert_eq!(found.unusable, []);
    assert_eq!(parse(""), Htpasswd::default());
}

#[test]
fn every_other_line_lets_nobody_in_and_is_named() {
    for (line, name, why) in [
        (
            "anna:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
            Some("anna"),
            "MD5",
        ),
        (
            "anna:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=",
            Some("anna"),
            "SHA-1",
        ),
        ("anna:$6$salt$abc", Some("anna"), "crypt(3)"),
        ("anna:rqXexS6ZhobKA", Some("anna"), "DES"),
        ("anna:", Some("anna"), "in the clear"),
        ("anna:$2y$05$short", Some("anna"), "no whole bcrypt hash"),
        (
            "anna:$2y$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
            Some("anna"),
            "cost",
        ),
        ("anna", None, "name:hash"),
        (
            ":$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
            None,
            "a name",
        ),
        (
            "an na:$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
            None,
            "a name",
        ),
    ] {
        let found = parse(&format!("ben:{HASH}\n{line}\n"));
        assert_eq!(found.users.len(), 1, "{line}");
        let [unusable] = found.unusable.as_slice() else {
            panic!("{line}: {found:?}");
        };
        assert_eq!(
            (unusable.line, unusable.name.as_deref()),
            (2, name),
            "{line}"
        );
        assert!(unusable.why.contains(why), "{line}: {}", unusable.why);
        assert!(
            !unusable.why.contains("r31"),
            "nothing of the hash is repeated"
        );
    }
}

#[test]
fn the_first_line_of_a_name_counts_and_every_truncation_is_read() {
    let other = HASH.replace("$05$", "$06$");
    let text = format!("anna:{HASH}\nanna:{other}\n");
    let found = parse(&text);
    assert_eq!(found.users["anna"], HASH);
    assert_eq!(found.unusable[0].line, 2);
    for end in 0..text.len() {
        let found = parse(&text[..end]);
        assert!(found.users.values().all(|hash| hash == HASH), "{end}");
    }
}
