use super::*;

#[test]
fn an_authority_is_made_once_and_is_nobody_elses_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("stead/authority");
    authority(&dir).unwrap();
    let first = std::fs::read(dir.join(CERTIFICATE)).unwrap();
    authority(&dir).unwrap();
    assert_eq!(std::fs::read(dir.join(CERTIFICATE)).unwrap(), first);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join(KEY))), (0o700, 0o600));
    // Made in part: begun anew. Broken: nothing is overwritten.
    std::fs::remove_file(dir.join(KEY)).unwrap();
    authority(&dir).unwrap();
    assert_ne!(std::fs::read(dir.join(CERTIFICATE)).unwrap(), first);
    std::fs::write(dir.join(KEY), "nonsense").unwrap();
    let why = authority(&dir).unwrap_err();
    assert!(why.contains("remove the directory"), "{why}");
    assert_eq!(std::fs::read(dir.join(KEY)).unwrap(), b"nonsense");
}

#[test]
fn an_app_has_its_names_here_and_those_of_its_routes() {
    let text = "app = \"shop\"\n[route]\nhosts = [\"shop.example.com\", \"*.shop.example.com\"]\n\
                redirects = { \"www.example.com\" = \"shop.example.com\", \"/a\" = \"/b\" }\n";
    let manifest = Manifest::parse(text, "stead.toml").unwrap();
    assert_eq!(
        names(&manifest, "0.0.0.0"),
        [
            "localhost",
            "*.localhost",
            "127.0.0.1",
            "::1",
            "shop.localhost",
            "shop.example.com",
            "shop.example.com.localhost",
            "*.shop.example.com",
            "www.example.com",
            "www.example.com.localhost",
        ]
    );
    assert_eq!(names(&Manifest::default(), "192.0.2.1")[5..], ["192.0.2.1"]);
}
