use super::*;

#[test]
fn a_mirror_is_found_by_its_name_and_an_unknown_one_is_refused_with_the_names() {
    let machine = Machine::default();
    let index = resolve(Some("tuna"), &machine).unwrap();
    assert_eq!(index.url(), "https://pypi.tuna.tsinghua.edu.cn/simple/");
    let error = resolve(Some("nowhere"), &machine).unwrap_err();
    assert!(error.causes[0].contains("`aliyun`"), "{error:?}");
}

#[test]
fn the_setting_wins_over_the_environment_and_uv_over_pip() {
    let machine = Machine::default()
        .with("PIP_INDEX_URL", "https://pip.example/simple")
        .with("UV_INDEX_URL", "https://uv.example/simple");
    assert_eq!(resolve(Some("pypi"), &machine).unwrap().url(), PYPI);
    let index = resolve(None, &machine).unwrap();
    assert_eq!(index.url(), "https://uv.example/simple");
    assert_eq!(index.origin, "UV_INDEX_URL");
    let machine = machine.with("UV_DEFAULT_INDEX", "inner=https://named.example/simple");
    assert_eq!(
        resolve(Some("auto"), &machine).unwrap().url(),
        "https://named.example/simple"
    );
}

#[test]
fn a_pip_configuration_is_read_as_pip_reads_it() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".config/pip")).unwrap();
    std::fs::write(
        home.path().join(".config/pip/pip.conf"),
        "# mirror\n[global]\nindex_url = http://mirror.example/simple/?a=b\ntrusted-host =\n    mirror.example\n    other.example\n[list]\nindex-url = wrong\n",
    )
    .unwrap();
    let machine = Machine::default().with("HOME", home.path().to_str().unwrap());
    let index = resolve(None, &machine).unwrap();
    assert_eq!(index.url(), "http://mirror.example/simple/?a=b");
    assert_eq!(index.trusted, ["mirror.example", "other.example"]);
    assert_eq!(
        pip_configuration("[install]\nindex-url: https://a/\n[global]\nindex-url=https://b/")
            .index_url,
        Some("https://a/".into())
    );
}
