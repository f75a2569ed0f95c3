//! What travels between programs of different versions stays readable. A line here is what a released version
//! wrote: none is ever changed, a new form gets a new line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde::de::DeserializeOwned;
use stead_model::agent;
use stead_model::build::{BuildSaid, BuildWish};
use stead_model::control::{Answer, Hello};
use stead_model::handover::{FromNew, FromOld};
use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::release::Release;

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
        r#"{"status":{"pid":1,"version":"0.1.0","serving_seconds":1,"listens":[],"generation":null,"routes":0,"instances":0,"leaving":[],"agent":false,"connections":0,"problems":["a"],"draining":[]}}"#,
    ]);
    reads::<EdgeCommand>(&[
        &format!(r#"{{"publish":{TABLE}}}"#),
        r#"{"http-challenges":{"generation":1,"answers":{"token":"token.thumbprint"}}}"#,
        r#"{"certificates":{"files":[{"chain":"/a.pem","key":"/a.key"}]}}"#,
        r#"{"certificates":{"files":[],"default":{"chain":"/a.pem","key":"/a.key"},"challenges":[{"host":"a.example","chain_pem":"x","key_pem":"y"}]}}"#,
        r#"{"certificates":{"files":[],"until":[{"chain":"/a.pem","key":"/a.key"}]}}"#,
        r#"{"ask":{"id":7,"host":"a.example","path":"/allowed?domain=b.example","timeout":{"secs":5,"nanos":0}}}"#,
        r#"{"not-wanted":{"host":"b.example","within":{"secs":60,"nanos":0}}}"#,
    ]);
    reads::<EdgeEvent>(&[
        r#"{"asked":{"id":7,"outcome":{"Ok":204}}}"#,
        r#"{"wanted":{"host":"b.example"}}"#,
        r#"{"answering":{"generation":1}}"#,
        r#"{"published":{"generation":3}}"#,
        r#"{"refused":{"generation":3,"why":"no"}}"#,
        r#"{"drained":{"instance":7}}"#,
        r#"{"certificates":{"certificates":1,"problems":[{"subject":"/a.pem","why":"no","serves":true}]}}"#,
        r#"{"users-file":{"file":"/etc/htpasswd","problem":"is no text"}}"#,
        r#"{"users-file":{"file":"/etc/htpasswd","problem":null}}"#,
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

/// As a store has it, and the answer of a build.
const RELEASE: &str = r#"{"app":"shop","number":42,"code":"/srv/42","path":["/srv/envs/1f/bin"],"env":{"A":"b"},"secrets":{"KEY":true},"volumes":{"data":"instance"},"release_command":"flask migrate","processes":{"web":{"start":{"command":["python","w.py"]},"listen":{"descriptor":"frames"},"count":"auto","capacity":16,"memory":null,"timeout":{"secs":30,"nanos":0},"timeouts":{"connect":{"secs":5,"nanos":0},"idle":null,"total":null},"sticky":false,"drain":{"secs":30,"nanos":0},"health":{"path":"/","status":[100,499],"host":null,"within":{"secs":60,"nanos":0},"every":null}},"api":{"start":{"preload":["python"]},"listen":{"port":"http"},"count":{"fixed":2},"capacity":1,"memory":1,"timeout":{"secs":30,"nanos":0},"timeouts":{"connect":{"secs":5,"nanos":0},"idle":null,"total":null},"sticky":true,"drain":{"secs":30,"nanos":0},"health":{"path":"/","status":[200,200],"host":"a","within":{"secs":60,"nanos":0},"every":{"secs":5,"nanos":0}}}},"jobs":{"refresh":{"schedule":"@hourly","timezone":"Asia/Shanghai","command":"true","overlap":"skip","timeout":{"secs":60,"nanos":0}}},"routes":[{"hosts":[],"path":"/","target":{"upstream":"shop.web"},"body_limit":1048576}],"edge":{"connections":7}}"#;

#[test]
fn releases_are_kept_as_before() {
    reads::<Release>(&[RELEASE]);
}

#[test]
fn builds_are_asked_for_and_answered_as_before() {
    reads::<BuildWish>(&[
        r#"{"protocol":1,"app":"shop","number":42,"code":"/srv/42","state":"/srv/build"}"#,
    ]);
    reads::<BuildSaid>(&[
        r#"{"step":{"text":"packages"}}"#,
        r#"{"output":{"line":"x"}}"#,
        r#"{"ended":{"detail":"7 packages"}}"#,
        r#"{"note":{"text":"x"}}"#,
        &format!(
            r#"{{"built":{{"release":{RELEASE},"acme":{{"email":"a@example.com","challenge":"http-01"}},"tls":{{"hsts":{{"secs":60,"nanos":0}},"minimum":"1.3"}}}}}}"#
        ),
        r#"{"failed":{"act":"cannot build","causes":["x"],"hint":"y","log":["z"],"configuration":true}}"#,
    ]);
}

#[test]
fn an_agent_is_asked_and_answers_as_before() {
    reads::<agent::Question>(&[
        r#"{"protocol":1,"wish":"apps"}"#,
        r#"{"protocol":1,"detached":true,"wish":{"deploy":{"app":"shop","tree":"9f","origin":{"who":"a","commit":"b","branch":"c","message":"d","dirty":true},"release_command":false}}}"#,
        r#"{"protocol":1,"wish":{"rollback":{"app":"shop","to":41,"who":"a"}}}"#,
        r#"{"protocol":1,"wish":{"releases":{"app":"shop"}}}"#,
        r#"{"protocol":1,"wish":{"restart":{"app":"shop","process":"web"}}}"#,
        r#"{"protocol":1,"wish":{"scale":{"app":"shop","process":"web","count":3}}}"#,
        r#"{"protocol":1,"wish":{"remove":{"app":"shop","data":false}}}"#,
    ]);
    reads::<agent::Answer>(&[
        r#"{"apps":[{"app":"shop","release":null,"processes":[{"name":"web","wanted":1,"scaled":false,"instances":[{"name":"web.1","release":42,"unit":"u","state":"running","since":1,"memory":2,"restarts":3,"pid":4}]}],"traffic":{"since":1,"requests":2,"errors":3,"requests_last_minute":4,"errors_last_minute":5},"hosts":["a"],"certificates":[{"host":"a","issuer":"b","ends":1,"renewed":2,"problem":"c"}],"jobs":[{"name":"a","schedule":"b","running_since":1,"last":2,"last_failure":"c","next":3}],"disk":{"releases":1,"volumes":2,"free":3},"deploying":{"release":43,"who":"a","since":1,"step":"build"},"problems":["x"]}]}"#,
        r#"{"releases":[{"number":42,"state":"serving","at":1,"origin":{"who":"a","commit":null,"branch":null,"message":null,"dirty":false},"tree":"9f","rollback_of":41,"changed":["code"],"took":1,"failure":null,"kept":true}]}"#,
        r#"{"progress":{"release":{"number":42}}}"#,
        r#"{"progress":{"began":{"step":"build"}}}"#,
        r#"{"progress":{"ended":{"step":"build","milliseconds":1,"detail":"unchanged"}}}"#,
        r#"{"progress":{"output":{"stream":"release","line":"x"}}}"#,
        r#"{"progress":{"note":{"text":"x"}}}"#,
        r#"{"done":{"text":"release 42 serves","release":42,"previous":41,"milliseconds":1,"counts":["web: 1"],"addresses":["http://a"]}}"#,
        r#"{"failed":{"act":"a","causes":["b"],"state":"c","hint":"d","log":["e"],"configuration":false}}"#,
        r#"{"refused":{"causes":["no"]}}"#,
    ]);
}
