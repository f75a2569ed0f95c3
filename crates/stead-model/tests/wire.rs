//! What travels between programs of different versions stays readable. A line here is what a released version
//! wrote: none is ever changed, a new form gets a new line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde::de::DeserializeOwned;
use stead_model::control::{Answer, Hello};
use stead_model::handover::{FromNew, FromOld};
use stead_model::messages::{EdgeCommand, EdgeEvent};

fn reads<T: DeserializeOwned + serde::Serialize>(lines: &[&str]) {
    for line in lines {
        let value: T = serde_json::from_str(line).expect(line);
        let again = serde_json::to_value(&value).unwrap();
        let before: serde_json::Value = serde_json::from_str(line).unwrap();
        contains(&again, &before, line);
    }
}

/// Whatever was in the line is still written; newer versions may write more.
fn contains(now: &serde_json::Value, before: &serde_json::Value, line: &str) {
    match (now, before) {
        (serde_json::Value::Object(now), serde_json::Value::Object(before)) => {
            for (key, value) in before {
                contains(now.get(key).expect(line), value, line);
            }
        }
        (serde_json::Value::Array(now), serde_json::Value::Array(before)) => {
            assert_eq!(now.len(), before.len(), "{line}");
            for (now, before) in now.iter().zip(before) {
                contains(now, before, line);
            }
        }
        _ => assert_eq!(now, before, "{line}"),
    }
}

const TABLE: &str = r#"{"generation":3,"routes":[{"hosts":["a.example"],"path":"/","target":{"upstream":"shop.web"},"body_limit":1048576}],"upstreams":{"shop.web":{"app":"shop","process":"web","release":3,"protocol":"http","instances":[{"id":7,"address":{"unix":"/run/a.sock"},"capacity":16}],"timeout":{"secs":30,"nanos":0},"queue_limit":100,"queue_timeout":{"secs":10,"nanos":0}}}}"#;

#[test]
fn the_control_socket_speaks_as_before() {
    reads::<Hello>(&[
        r#"{"protocol":1,"wish":"agent"}"#,
        r#"{"protocol":1,"wish":"status"}"#,
        r#"{"protocol":1,"wish":{"upgrade":{"binary":"/usr/bin/stead","within":{"secs":20,"nanos":0}}}}"#,
    ]);
    reads::<Answer>(&[
        r#"{"welcome":{"protocol":1,"version":"0.1.0","generation":null,"leaving":[7]}}"#,
        r#"{"upgraded":{"pid":2,"version":"0.1.0","previous":1}}"#,
        r#"{"refused":{"causes":["no"]}}"#,
        r#"{"status":{"pid":1,"version":"0.1.0","serving_seconds":1,"listens":["127.0.0.1:80"],"generation":3,"routes":1,"instances":1,"leaving":[],"agent":true,"connections":0,"draining":[{"pid":1,"version":"0.1.0","connections":1}]}}"#,
    ]);
    reads::<EdgeCommand>(&[
        &format!(r#"{{"publish":{TABLE}}}"#),
        r#"{"http-challenges":{"generation":1,"answers":{"token":"token.thumbprint"}}}"#,
        r#"{"certificates":{"files":[{"chain":"/a.pem","key":"/a.key"}]}}"#,
        r#"{"certificates":{"files":[],"default":{"chain":"/a.pem","key":"/a.key"},"challenges":[{"host":"a.example","chain_pem":"x","key_pem":"y"}]}}"#,
    ]);
    reads::<EdgeEvent>(&[
        r#"{"answering":{"generation":1}}"#,
        r#"{"published":{"generation":3}}"#,
        r#"{"refused":{"generation":3,"why":"no"}}"#,
        r#"{"drained":{"instance":7}}"#,
        r#"{"certificates":{"certificates":1,"problems":[{"subject":"/a.pem","why":"no","serves":true}]}}"#,
    ]);
}

#[test]
fn an_edge_hands_over_as_before() {
    reads::<FromOld>(&[
        r#"{"hello":{"protocol":1,"version":"0.1.0","table":null}}"#,
        &format!(
            r#"{{"take":{{"table":{TABLE},"listeners":1,"agent":{{"input":[1],"output":[]}},"predecessors":[{{"pid":1,"version":"0.1.0","holds":[7],"pinned":false,"report":{{"busy":[[7,1]],"connections":1,"settled":false}},"pending":{{"input":[],"output":[]}}}}]}}}}"#
        ),
        r#""go""#,
        r#"{"event":{"drained":{"instance":7}}}"#,
        r#"{"report":{"busy":[[7,1]],"connections":1,"settled":true}}"#,
    ]);
    reads::<FromNew>(&[
        r#"{"ready":{"protocol":1,"version":"0.1.0","pid":2}}"#,
        r#"{"refused":{"why":"no"}}"#,
        r#""serving""#,
        &format!(r#"{{"publish":{TABLE}}}"#),
        r#"{"elsewhere":[[7,1]]}"#,
    ]);
}
