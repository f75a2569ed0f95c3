use jiff::Timestamp;
use stead_model::agent::{
    CertificateStatus, Disk, InstanceState, InstanceStatus, JobStatus, ProcessStatus, Traffic,
};
use stead_model::logs::LogLine;

use super::*;

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn release() -> ReleaseInfo {
    ReleaseInfo {
        number: 42,
        state: ReleaseState::Serving,
        at: NOW - 7200,
        origin: Origin {
            who: "ana@laptop".to_owned(),
            commit: Some("3f2a1b9cd".to_owned()),
            branch: Some("main".to_owned()),
            message: Some("Say\u{1b}[2Jhello".to_owned()),
            dirty: false,
        },
        changed: vec!["code".to_owned(), "environment".to_owned()],
        took: Some(1_830),
        ..ReleaseInfo::default()
    }
}

const NOW: i64 = 1_795_000_000;

#[test]
fn one_screen_says_how_an_app_is() {
    let certificate = |host: &str, days: i64| CertificateStatus {
        host: host.to_owned(),
        issuer: Some("R11".to_owned()),
        ends: Some(NOW + days * 86_400 + 60),
        ..CertificateStatus::default()
    };
    let instance = |name: &str, state, restarts| InstanceStatus {
        name: name.to_owned(),
        release: 42,
        state,
        since: NOW - 300,
        memory: Some(30 << 20),
        restarts,
        ..InstanceStatus::default()
    };
    let app = AppStatus {
        app: "shop".to_owned(),
        release: Some(release()),
        processes: vec![ProcessStatus {
            name: "web".to_owned(),
            wanted: 2,
            scaled: true,
            instances: vec![
                instance("web.1", InstanceState::Running, 0),
                instance("web.2", InstanceState::Failed, 3),
            ],
        }],
        traffic: Some(Traffic {
            since: NOW - 86_400,
            requests: 2000,
            errors: 5,
            requests_last_minute: Some(7),
            errors_last_minute: Some(0),
        }),
        certificates: vec![
            certificate("a.example", 80),
            certificate("b.example", 13),
            certificate("c.example", -3),
            CertificateStatus {
                host: "d.example".to_owned(),
                problem: Some("the authority does not reach port 80".to_owned()),
                ..CertificateStatus::default()
            },
        ],
        jobs: vec![JobStatus {
            name: "refresh".to_owned(),
            schedule: Some("@hourly".to_owned()),
            last: Some(NOW - 1800),
            last_failure: Some("exit status 3".to_owned()),
            ..JobStatus::default()
        }],
        disk: Disk {
            releases: 81 << 20,
            volumes: 2048,
            free: 17 << 30,
        },
        problems: vec!["`web.2` ends again and again".to_owned()],
        ..AppStatus::default()
    };
    let now = Timestamp::from_second(NOW).unwrap();
    let all = [("deploy@h1".to_owned(), app)];
    let text = plain(&status(&all, now));
    let when = minute(NOW - 7200);
    assert_eq!(
        text,
        format!(
            "shop on deploy@h1
  release      42, {when} (2 h ago): ana@laptop, main 3f2a1b9 \"Say\\u{{1b}}[2Jhello\"
  web          1 of 2 run, as `stead scale` said
               web.1      runs, release 42, for 5 min, 30 MB
               web.2      failed, release 42, for 5 min, 30 MB, restarted 3 times
  requests     2000, 5 errors (0.2 %) in 24 h; 7, no errors in the last minute
  certificate  a.example: of R11, 80 days left
  certificate  b.example: of R11, ends in 13 days
  certificate  c.example: of R11, ended 2 days ago
  certificate  d.example: none yet; the authority does not reach port 80
  job          refresh (@hourly): failed 30 min ago: exit status 3
  disk         81 MB of releases, 2 KB of volumes, 17408 MB free
  problem      `web.2` ends again and again
"
        )
    );
    assert!(status_json(&all).contains("\"release\": 42"));
}

#[test]
fn releases_say_who_when_and_what_changed() {
    let failed = ReleaseInfo {
        number: 43,
        state: ReleaseState::Failed,
        at: NOW,
        rollback_of: Some(40),
        failure: Some("`GET /` answered 500".to_owned()),
        ..ReleaseInfo::default()
    };
    let text = plain(&releases(
        "shop",
        &[("h1".to_owned(), vec![failed, release()])],
    ));
    let (first, second) = (minute(NOW), minute(NOW - 7200));
    assert_eq!(
        text,
        format!(
            "   43  failed    {first}    (release 40 again)
       `GET /` answered 500
   42  serves    {second}  ana@laptop  main 3f2a1b9 \"Say\\u{{1b}}[2Jhello\"
       changed: code, environment; after 1.8 s
"
        )
    );
}

#[test]
fn a_line_of_a_log_cannot_move_the_cursor() {
    let line = LogLine {
        at: 1_795_000_000_000_000,
        process: "web".to_owned(),
        instance: "web.1".to_owned(),
        release: Some(42),
        text: "a\u{7}b\u{1b}[2J".to_owned(),
        priority: Some(6),
    };
    let text = log_line(Some("h1"), &line);
    assert!(
        plain(&text).ends_with(" h1 web.1 | a\\u{7}b\\u{1b}[2J\n"),
        "{text}"
    );
    assert!(log_json(None, &line).contains(r#""at":"2026-11-18T"#));
}

#[test]
fn times_are_said_in_the_unit_that_fits() {
    assert_eq!(took(812), "812 ms");
    assert_eq!(took(1_830), "1.8 s");
    assert_eq!(took(185_000), "3 min 5 s");
}
