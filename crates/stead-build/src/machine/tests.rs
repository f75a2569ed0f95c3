use super::*;

#[test]
fn downloads_are_kept_beside_the_app_when_the_user_has_no_home_to_keep_them_in() {
    let state = Path::new("/app/.stead");
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().display().to_string();
    let machine = Machine::default().with("HOME", home);
    assert_eq!(machine.cache(state), folder.path().join(".cache/stead"));
    // Below a file nothing can be made, not even by root.
    std::fs::write(folder.path().join("file"), "").unwrap();
    let nowhere = folder.path().join("file/home").display().to_string();
    for machine in [
        Machine::default(),
        Machine::default().with("HOME", nowhere.clone()),
        Machine::default().with("XDG_CACHE_HOME", nowhere),
    ] {
        assert_eq!(machine.cache(state), Path::new("/app/.stead/cache"));
        assert_eq!(machine.user_cache(), None);
    }
}
