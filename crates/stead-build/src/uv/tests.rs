use super::*;

#[test]
fn the_version_is_read_from_what_uv_prints() {
    assert_eq!(
        parse_version("uv 0.8.3 (7e78f54e7 2025-07-24)\n"),
        Some(Version::new(0, 8, 3))
    );
    assert_eq!(parse_version("UltraViolet 1.0"), None);
}

#[test]
fn the_pinned_uv_is_downloaded_from_the_real_index_and_runs() {
    let cache = tempfile::tempdir().unwrap();
    let here = cache.path().display().to_string();
    let machine = Machine::of_this_process()
        .with("PATH", "/nonexistent")
        .with("XDG_CACHE_HOME", here);
    let index = crate::index::resolve(None, &machine).unwrap();
    let said = crate::test_app::Said::default();
    assert!(present(&machine, cache.path()).is_none());
    let uv = obtain(&machine, cache.path(), &index, &said).unwrap();
    let mut command = uv.command(&machine, &index, cache.path());
    let output = command.arg("--version").output().unwrap();
    assert_eq!(
        parse_version(&String::from_utf8_lossy(&output.stdout)),
        Some(pinned())
    );
    assert!(present(&machine, cache.path()).is_some());
}

#[test]
fn a_uv_on_path_is_used_when_it_is_recent_enough() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("uv");
    let machine = Machine::of_this_process()
        .with("PATH", directory.path().display().to_string())
        .with("XDG_CACHE_HOME", directory.path().display().to_string());
    for (version, used) in [("0.4.30", false), ("0.8.0", true), ("1.2.0", true)] {
        std::fs::write(
            &program,
            format!("#!/bin/sh\necho 'uv {version} (abc 2025-01-01)'\n"),
        )
        .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Another test that is forking may hold the file open for a moment.
        let found = (0..100).find_map(|_| {
            let found = on_path(&machine);
            if found.is_none() && used {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            found
        });
        assert_eq!(found.is_some(), used, "{version}");
    }
}

#[test]
fn a_user_who_has_no_place_for_a_cache_installs_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().display().to_string();
    let nowhere = Machine::of_this_process()
        .with("PATH", "/nonexistent")
        .with("HOME", "")
        .with("XDG_CACHE_HOME", "");
    let index = crate::index::resolve(None, &nowhere).unwrap();
    let said = crate::test_app::Said::default();
    let uv = obtain(&nowhere, directory.path(), &index, &said).unwrap();
    let without_cache = |machine: &Machine| {
        let mut command = uv.command(machine, &index, directory.path());
        let output = command.args(["cache", "dir"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let no_cache = command.get_envs().any(|(name, _)| name == "UV_NO_CACHE");
        (
            no_cache,
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (no_cache, place) = without_cache(&nowhere);
    assert!(no_cache && !Path::new(place.trim()).exists(), "{place}");
    let (no_cache, place) = without_cache(&nowhere.with("XDG_CACHE_HOME", here.clone()));
    assert!(!no_cache && place.starts_with(&here), "{place}");
}
