use super::*;

#[tokio::test(start_paused = true)]
async fn only_while_the_edge_begins_is_a_first_table_waited_for() {
    let (events, _heard) = tokio::sync::mpsc::unbounded_channel();
    let tables = Tables::new(&Settings::default(), events, Arc::new(Metrics::new(1))).unwrap();
    let began = Instant::now();
    tables.first().await;
    assert_eq!(began.elapsed().as_secs(), FIRST_TABLE.as_secs());
    let later = Instant::now();
    tables.first().await;
    tables.first().await;
    assert_eq!(later.elapsed(), Duration::ZERO);
}
