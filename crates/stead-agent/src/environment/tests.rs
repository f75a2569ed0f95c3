use std::path::PathBuf;

use super::*;

#[test]
fn inherited_variables_stay_unless_they_describe_another_program() {
    let release = Release {
        app: "shop".into(),
        number: 3,
        code: "/srv/shop".into(),
        path: vec![PathBuf::from("/env/bin"), PathBuf::from("/co:lon")],
        env: [
            ("LANG".into(), "de_DE.UTF-8".into()),
            ("MODE".into(), "production".into()),
        ]
        .into(),
        secrets: BTreeMap::new(),
        volumes: BTreeMap::new(),
        release_command: None,
        processes: BTreeMap::new(),
        jobs: BTreeMap::new(),
        routes: Vec::new(),
        edge: stead_model::manifest::Edge::default(),
        webhook: None,
    };
    let inherited = [
        ("PATH", "/usr/bin"),
        ("HOME", "/home/ada"),
        ("LANG", "C"),
        ("https_proxy", "http://proxy:3128"),
        ("TERM", "xterm"),
        ("VIRTUAL_ENV", "/other"),
        ("PYTHONPATH", "/other/lib"),
        ("LISTEN_FDS", "9"),
        ("NOTIFY_SOCKET", "/run/notify"),
        ("PORT", "5000"),
        ("STEAD_RUN", "another"),
        ("STEAD_WORKER_NATIVE", "none"),
        ("BASH_FUNC_x%%", "() { :; }"),
    ];
    let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
    let secrets = BTreeMap::from([("KEY".to_owned(), OsString::from("hidden"))]);
    let env = of_release(inherited, &release, &secrets, "run1");
    let lines: Vec<String> = env
        .iter()
        .map(|(name, value)| format!("{}={}", name.display(), value.display()))
        .collect();
    assert_eq!(
        lines,
        [
            "HOME=/home/ada",
            "KEY=hidden",
            "LANG=de_DE.UTF-8",
            "MODE=production",
            "PATH=/env/bin:/usr/bin",
            "PWD=/srv/shop",
            "PYTHONUNBUFFERED=1",
            "STEAD_APP=shop",
            "STEAD_RELEASE=3",
            "STEAD_RUN=run1",
            "STEAD_WORKER_NATIVE=none",
            "https_proxy=http://proxy:3128",
        ]
    );
}
