use super::*;

#[test]
fn questions_and_answers_of_this_version_are_read_for_ever() {
    let question: Question = serde_json::from_str(r#"{"protocol":1,"wish":"status"}"#).unwrap();
    assert_eq!(question.wish, Wish::Status);
    let answer: Answer = serde_json::from_str(
        r#"{"status":{"protocol":1,"version":"0.1.0","pid":7,"running_seconds":3,"later":true,
        "edge":{"Err":["no edge has its control socket there"]}}}"#,
    )
    .unwrap();
    let Answer::Status(status) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(
        status.edge,
        Err(vec!["no edge has its control socket there".to_owned()])
    );
}
