use std::io::{BufRead, Write};

use super::*;

/// An agent in a directory of its own, whose edge cannot be asked.
async fn with_agent(
    ask: impl FnOnce(std::os::unix::net::UnixStream) -> Vec<String> + Send + 'static,
) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let agent = Agent {
        socket: socket.clone(),
        version: "1.2.3".to_owned(),
        edge: Arc::new(|| Err(vec!["no edge".to_owned()])),
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
    let answers = with_agent(|mut stream| {
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
    let answers = with_agent(|mut stream| {
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
