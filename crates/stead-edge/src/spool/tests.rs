use super::*;

async fn read(mut reader: Reader) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let piece = std::future::poll_fn(|context| {
            reader
                .poll_next(context)
                .map(|piece| piece.map(|piece| piece.map(<[u8]>::to_vec)))
        });
        match piece.await.expect("readable") {
            Some(piece) => all.extend(piece),
            None => return all,
        }
    }
}

#[tokio::test]
async fn what_was_put_in_comes_out_as_often_as_it_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::open(&folder.path().join("new/spool"), 1 << 20).expect("opened");
    let mut body = spool.begin().await.expect("begun");
    let mut expected = Vec::new();
    for number in 0..9_u8 {
        let piece = vec![number; 40_000];
        expected.extend_from_slice(&piece);
        let back = body.append(piece).await.expect("taken");
        assert!(back.is_empty() && back.capacity() >= 40_000);
    }
    assert_eq!((body.length(), spool.used()), (360_000, 360_000));
    assert!(read(body.reader()).await == expected);
    assert!(read(body.reader()).await == expected);
    // Nothing has a name.
    let names = std::fs::read_dir(folder.path().join("new/spool")).expect("a folder");
    assert_eq!(names.count(), 0);
    drop(body);
    assert_eq!(spool.used(), 0);
}

#[tokio::test]
async fn all_bodies_together_are_bounded_and_what_one_leaves_another_may_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::open(folder.path(), 100_000).expect("opened");
    let (mut first, mut second) = (
        spool.begin().await.expect("begun"),
        spool.begin().await.expect("begun"),
    );
    first.append(vec![1; 60_000]).await.expect("taken");
    let refused = second.append(vec![2; 60_000]).await;
    assert!(matches!(refused, Err(Refused::TooMuch)));
    drop((first, second));
    assert_eq!(spool.used(), 0);
    let mut third = spool.begin().await.expect("begun");
    third.append(vec![3; 100_000]).await.expect("taken");
}

#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::open(folder.path(), 100_000).expect("opened");
    let full = OpenOptions::new().write(true).open("/dev/full");
    let mut body = Spooled {
        spool: Arc::clone(&spool),
        file: Arc::new(full.expect("Linux has it")),
        length: 0,
    };
    assert!(matches!(
        body.append(vec![1; 10]).await,
        Err(Refused::DiskFull)
    ));
    drop(body);
    assert_eq!(spool.used(), 0, "what did not fit takes no room");
    let gone = OpenOptions::new().read(true).open("/dev/null");
    let mut body = Spooled {
        spool,
        file: Arc::new(gone.expect("Linux has it")),
        length: 0,
    };
    assert!(matches!(
        body.append(vec![1; 10]).await,
        Err(Refused::Failed)
    ));
}
