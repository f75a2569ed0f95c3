use std::time::Duration;

use stead_agent::Report;

use crate::house::{App, House, spec, until};

#[tokio::test]
async fn a_flood_of_lines_blocks_nobody_and_is_capped() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    // 200 MB as fast as it goes, then a sign of life.
    let flood = "import os\nline = b'x' * 99 + b'\\n'\nfor _ in range(200): os.write(1, line * 10000)\n\
                 os.system('touch flooded')\nimport time\ntime.sleep(1000)";
    release
        .processes
        .insert("worker".into(), spec(&["python3", "-c", flood], None, 1));
    house.switch(release);
    house.until_serving(1).await;
    until("the flood is over", || {
        app.dir.path().join("flooded").exists()
    })
    .await;
    house
        .until_noted("were dropped: it prints more than 4 MB a second")
        .await;
    let reports = house.reports();
    let gaps: Vec<&str> = reports
        .iter()
        .filter_map(|r| match r {
            Report::Note { text, .. } | Report::Line { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .filter(|text| text.contains("were dropped"))
        .collect();
    // 200 MB are some 3,000 pieces. One gap a second at most is told, and a busy machine takes a while for all of it.
    assert!(gaps.len() < 300, "{gaps:#?}");
    assert!(gaps.iter().all(|text| !text.contains("(0 ")), "{gaps:#?}");
    let shown: usize = house
        .reports()
        .iter()
        .map(|r| match r {
            Report::Line { source, text, .. } if source == "worker.1" => text.len(),
            _ => 0,
        })
        .sum();
    assert!(shown < 10_000_000, "{shown} bytes were shown");
    assert_eq!(house.edge.visit("/").await.unwrap().0, 200);
    let state = house.state.clone();
    house.stop().await.unwrap();
    let kept: u64 = std::fs::read_dir(state.join("logs"))
        .map(|logs| logs.flatten().map(|f| f.metadata().unwrap().len()).sum())
        .unwrap_or(0);
    assert!(kept < 40_000_000, "{kept} bytes were kept");
}

#[tokio::test]
async fn what_is_not_text_or_not_a_line_is_shown_all_the_same() {
    let app = App::new();
    let house = House::new();
    let mut release = app.web(1, 1);
    let print =
        r"printf 'caf\351\r\n'; printf 'x%.0s' $(seq 20000); echo; printf 'no end'; sleep 1000";
    let mut worker = spec(&["sh", "-c", print], None, 1);
    worker.drain = Duration::from_secs(1);
    release.processes.insert("worker".into(), worker);
    house.switch(release);
    house.until_line("caf\u{fffd}").await;
    let long = house.until_line("xxx").await;
    assert!(long.ends_with("x … (3616 more bytes)"), "{}", long.len());
    let reports = house.reports();
    assert!(
        !reports
            .iter()
            .any(|r| matches!(r, Report::Line { text, .. } if text == "no end"))
    );
    house.switch(app.web(2, 1));
    house.until_line("no end").await;
    house.stop().await.unwrap();
}
