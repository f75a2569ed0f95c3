use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

use super::{next_after, validate};

/// Every run of a schedule after `from` up to `until`, as wall clock with offset.
fn runs(schedule: &str, timezone: &str, from: &str, until: &str) -> Vec<String> {
    let zone = TimeZoneDatabase::bundled()
        .get(timezone)
        .expect("a time zone");
    let until: Timestamp = until.parse().expect("a timestamp");
    let mut at: Timestamp = from.parse().expect("a timestamp");
    let mut runs = Vec::new();
    while let Some(next) = next_after(schedule, Some(timezone), at) {
        assert!(next > at, "{schedule}: {next} is not after {at}");
        if next > until {
            break;
        }
        runs.push(
            next.to_zoned(zone.clone())
                .strftime("%d %H:%M %:z")
                .to_string(),
        );
        at = next;
    }
    runs
}

// Clocks in Berlin went from 02:00 to 03:00 on 2024-03-31 (01:00Z) and from 03:00 back to 02:00 on
// 2024-10-27 (01:00Z).

#[test]
fn a_daily_job_whose_hour_is_skipped_runs_right_after_the_jump() {
    assert_eq!(
        runs(
            "30 2 * * *",
            "Europe/Berlin",
            "2024-03-30T00:00:00Z",
            "2024-04-01T12:00:00Z"
        ),
        ["30 02:30 +01:00", "31 03:00 +02:00", "01 02:30 +02:00"]
    );
}

#[test]
fn a_daily_job_whose_hour_is_repeated_runs_once() {
    assert_eq!(
        runs(
            "30 2 * * *",
            "Europe/Berlin",
            "2024-10-26T00:00:00Z",
            "2024-10-28T12:00:00Z"
        ),
        ["26 02:30 +02:00", "27 02:30 +02:00", "28 02:30 +01:00"]
    );
}

#[test]
fn a_daily_job_asked_for_between_the_two_passes_of_its_hour_does_not_run_again() {
    // 00:45Z is 02:45 of the first pass, 01:10Z is 02:10 of the second one.
    for from in ["2024-10-27T00:45:00Z", "2024-10-27T01:10:00Z"] {
        assert_eq!(
            runs("30 2 * * *", "Europe/Berlin", from, "2024-10-28T12:00:00Z"),
            ["28 02:30 +01:00"],
            "from {from}"
        );
    }
}

#[test]
fn a_daily_job_whose_hour_is_skipped_is_not_lost_by_asking_right_before_the_jump() {
    assert_eq!(
        runs(
            "30 2 * * *",
            "Europe/Berlin",
            "2024-03-31T00:59:59Z",
            "2024-03-31T12:00:00Z"
        ),
        ["31 03:00 +02:00"]
    );
    assert_eq!(
        runs(
            "30 2 * * *",
            "Europe/Berlin",
            "2024-03-31T01:00:00Z",
            "2024-03-31T12:00:00Z"
        ),
        Vec::<String>::new()
    );
}

#[test]
fn an_hourly_job_runs_every_hour_of_elapsed_time_when_clocks_go_forward() {
    assert_eq!(
        runs(
            "@hourly",
            "Europe/Berlin",
            "2024-03-31T00:00:00Z",
            "2024-03-31T02:00:00Z"
        ),
        ["31 03:00 +02:00", "31 04:00 +02:00"]
    );
}

#[test]
fn an_hourly_job_runs_every_hour_of_elapsed_time_when_clocks_go_back() {
    assert_eq!(
        runs(
            "0 * * * *",
            "Europe/Berlin",
            "2024-10-26T23:30:00Z",
            "2024-10-27T02:30:00Z"
        ),
        ["27 02:00 +02:00", "27 02:00 +01:00", "27 03:00 +01:00"]
    );
}

#[test]
fn a_frequent_job_runs_through_the_repeated_hour() {
    let runs = runs(
        "*/15 * * * *",
        "Europe/Berlin",
        "2024-10-26T23:59:00Z",
        "2024-10-27T02:00:00Z",
    );
    assert_eq!(runs.len(), 9, "{runs:?}");
    assert_eq!(runs[0], "27 02:00 +02:00");
    assert_eq!(runs[4], "27 02:00 +01:00");
    assert_eq!(runs[8], "27 03:00 +01:00");
}

#[test]
fn half_hour_jumps_and_midnight_jumps_are_kept_too() {
    // Lord Howe puts its clock back by 30 minutes, 02:00 → 01:30, on 2024-04-07.
    assert_eq!(
        runs(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2024-04-05T20:00:00Z",
            "2024-04-08T12:00:00Z"
        ),
        ["07 01:45 +11:00", "08 01:45 +10:30"]
    );
    // Beirut skips midnight to 01:00 on 2024-03-31.
    assert_eq!(
        runs(
            "@daily",
            "Asia/Beirut",
            "2024-03-30T10:00:00Z",
            "2024-04-01T10:00:00Z"
        ),
        ["31 01:00 +03:00", "01 00:00 +03:00"]
    );
}

#[test]
fn a_job_at_several_times_of_day_loses_none_and_doubles_none() {
    assert_eq!(
        runs(
            "30 2,14 * * *",
            "Europe/Berlin",
            "2024-03-31T00:00:00Z",
            "2024-04-01T00:00:00Z"
        ),
        ["31 03:00 +02:00", "31 14:30 +02:00"]
    );
    assert_eq!(
        runs(
            "0,30 1-3 * * *",
            "Europe/Berlin",
            "2024-03-31T00:00:00Z",
            "2024-03-31T20:00:00Z"
        ),
        // 01:00 is where this begins; 02:00, 02:30 and 03:00 are one run.
        ["31 01:30 +01:00", "31 03:00 +02:00", "31 03:30 +02:00"]
    );
    assert_eq!(
        runs(
            "15,45 2 * * *",
            "Europe/Berlin",
            "2024-10-26T12:00:00Z",
            "2024-10-27T12:00:00Z"
        ),
        ["27 02:15 +02:00", "27 02:45 +02:00"]
    );
    assert_eq!(
        runs(
            "0 8-20/6 * * *",
            "UTC",
            "2024-10-26T00:00:00Z",
            "2024-10-27T00:00:00Z"
        ),
        ["26 08:00 +00:00", "26 14:00 +00:00", "26 20:00 +00:00"]
    );
}

#[test]
fn without_a_time_zone_a_schedule_is_in_utc() {
    let at: Timestamp = "2024-03-31T00:59:30.5Z".parse().expect("a timestamp");
    let next = next_after("@hourly", None, at).expect("a next run");
    assert_eq!(next.to_string(), "2024-03-31T01:00:00Z");
    assert_eq!(
        next_after("@hourly", None, next)
            .expect("a next run")
            .to_string(),
        "2024-03-31T02:00:00Z"
    );
}

#[test]
fn either_the_day_of_the_month_or_of_the_week_is_enough_as_in_every_cron() {
    assert_eq!(
        runs(
            "0 0 13 * FRI",
            "UTC",
            "2024-09-06T12:00:00Z",
            "2024-09-21T00:00:00Z"
        ),
        ["13 00:00 +00:00", "20 00:00 +00:00"]
    );
}

#[test]
fn what_is_not_valid_never_runs() {
    let at = Timestamp::UNIX_EPOCH;
    assert_eq!(next_after("0 0 30 2 *", None, at), None);
    assert_eq!(next_after("nonsense", None, at), None);
    assert_eq!(next_after("@daily", Some("Nowhere"), at), None);
    assert_eq!(next_after("@daily", None, Timestamp::MAX), None);
    assert!(validate("0 0 30 2 *").is_err());
    assert!(validate("*/5 9-17 * * mon-fri").is_ok());
}
