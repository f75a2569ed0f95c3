use std::io::{BufRead, Write};

use stead_model::agent::{Done, Progress, Stream};
use tokio::sync::mpsc::unbounded_channel;

use super::*;

/// An agent in a directory of its own, whose edge cannot be asked.
async fn with_agent(
    apps: Option<UnboundedSender<Asked>>,
    ask: impl FnOnce(std::os::unix::net::UnixStream) -> Vec<String> + Send + 'static,
) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let agent = Agent {
        socket: socket.clone(),
        version: "1.2.3".to_owned(),
        edge: Arc::new(|| Err(vec!["no edge".to_owned()])),
        apps,
    };
    let asked = tokio::task::spawn_blocking(move || {
        let stream = loop {
            match std::os::unix::net::UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        ask(stream)
    });
    tokio::select! {
        ended = serve(agent) => panic!("{ended:?}"),
        lines = asked => lines.unwrap(),
    }
}

fn lines(stream: std::os::unix::net::UnixStream) -> Vec<String> {
    io::BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .collect()
}

#[tokio::test]
async fn questions_are_answered_one_by_one_and_nonsense_is_refused() {
    let answers = with_agent(None, |mut stream| {
        stream
            .write_all(b"{\"protocol\":1,\"wish\":\"status\"}\nnonsense\n{\"protocol\":9,\"wish\":\"status\"}\n{\"protocol\":1,\"wish\":\"fly\"}\n")
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        lines(stream)
    })
    .await;
    assert_eq!(answers.len(), 4, "{answers:?}");
    let Answer::Status(status) = serde_json::from_str(&answers[0]).unwrap() else {
        panic!("{answers:?}");
    };
    assert_eq!(status.version, "1.2.3");
    assert_eq!(status.edge, Err(vec!["no edge".to_owned()]));
    assert!(answers[1].contains("that is no question"), "{answers:?}");
    assert!(
        answers[2].contains("speaks version 1 of its protocol, not 9"),
        "{answers:?}"
    );
    assert!(answers[3].contains("that is no question"), "{answers:?}");
}

#[tokio::test]
async fn a_question_without_end_is_cut_off() {
    let answers = with_agent(None, |mut stream| {
        // It may be closed before everything was written.
        let _ = stream.write_all(&vec![b'x'; LONGEST_QUESTION + 10]);
        lines(stream)
    })
    .await;
    assert!(answers.len() <= 1, "{answers:?}");
    assert!(
        answers.iter().all(|answer| answer.contains("at most")),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_socket_that_a_dead_agent_left_is_taken_and_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let first = bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(first);
}

/// Someone who keeps apps: says so many lines, then waits for the client to give up when it is to.
fn keeper(lines: usize, waits: bool) -> UnboundedSender<Asked> {
    let (apps, mut asked) = unbounded_channel::<Asked>();
    tokio::spawn(async move {
        while let Some(Asked { wish, client }) = asked.recv().await {
            assert_eq!(wish.app(), Some("shop"));
            for number in 0..lines {
                client.say(Progress::Output {
                    stream: Stream::Build,
                    line: number.to_string(),
                });
                tokio::task::yield_now().await;
            }
            if waits {
                client.gives_up().await;
            }
            let text = match client.has_given_up() {
                true => "given up",
                false => "done",
            };
            client
                .end(Answer::Done(Box::new(Done {
                    text: text.to_owned(),
                    ..Done::default()
                })))
                .await;
        }
    });
    apps
}

const RESTART: &str = r#"{"protocol":1,"wish":{"restart":{"app":"shop","process":null}}}"#;

#[tokio::test]
async fn what_is_asked_of_apps_is_answered_by_who_keeps_them_line_by_line() {
    let answers = with_agent(Some(keeper(3, false)), |mut stream| {
        stream
            .write_all(format!("{RESTART}\n{RESTART}\n").as_bytes())
            .unwrap();
        let mut read = io::BufReader::new(stream).lines();
        (0..8).map(|_| read.next().unwrap().unwrap()).collect()
    })
    .await;
    let last: Vec<bool> = answers
        .iter()
        .map(|line| serde_json::from_str::<Answer>(line).unwrap().is_last())
        .collect();
    let wanted = [false, false, false, true];
    assert_eq!(last, [wanted, wanted].concat(), "{answers:?}");
    assert!(answers[7].contains("\"done\""), "{answers:?}");
}

#[tokio::test]
async fn a_client_that_ends_its_side_has_given_up_unless_it_is_detached() {
    let answers = with_agent(Some(keeper(0, true)), |mut stream| {
        stream.write_all(format!("{RESTART}\n").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        lines(stream)
    })
    .await;
    assert!(answers[0].contains("given up"), "{answers:?}");
    let detached = RESTART.replace("\"wish\"", "\"detached\":true,\"wish\"");
    let answers = with_agent(Some(keeper(100, false)), move |mut stream| {
        stream
            .write_all(format!("{detached}\n").as_bytes())
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        lines(stream)
    })
    .await;
    assert!(answers.last().unwrap().contains("\"done\""), "{answers:?}");
}

#[tokio::test]
async fn a_wish_that_cannot_be_meant_or_that_nobody_carries_out_is_refused() {
    let answers = with_agent(None, |mut stream| {
        let hostile = RESTART.replace("shop", "../shop");
        stream
            .write_all(format!("{hostile}\n{RESTART}\n").as_bytes())
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        lines(stream)
    })
    .await;
    assert!(answers[0].contains("an app's name is"), "{answers:?}");
    assert!(answers[1].contains("keeps no apps"), "{answers:?}");
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_lines_of_output_and_nothing_else() {
    let (asked, mut answers) = client::asked(Wish::Apps);
    for number in 0..100_000 {
        asked.client.say(Progress::Output {
            stream: Stream::Build,
            line: number.to_string(),
        });
    }
    let step = "build".to_owned();
    asked.client.say(Progress::Began { step });
    asked.client.end(Answer::Apps(Vec::new())).await;
    let (mut lines, mut steps) = (0, 0);
    loop {
        match answers.next().await.unwrap() {
            Answer::Progress(Progress::Output { .. }) => lines += 1,
            Answer::Progress(Progress::Began { .. }) => steps += 1,
            answer => {
                assert!(answer.is_last());
                break;
            }
        }
    }
    assert_eq!(steps, 1);
    assert!((1000..100_000).contains(&lines), "{lines}");
}
