//! What the body of a delivery says, once it is known who sent it.
//!
//! | server | header with the event | of a push |
//! |---|---|---|
//! | GitHub, Gitea, Forgejo | `X-GitHub-Event` | `push`; `ping` when it was set up |
//! | GitLab | `X-Gitlab-Event` | `Push Hook` |
//! | Gitee | `X-Gitee-Event` | `Push Hook` |
//!
//! The bodies agree in what is read here: `ref`, and `after`, the commit that the branch is at now. Sources: "Webhook events and payloads" of GitHub's
//! documentation, "Webhook events" of GitLab's, "WebHook push data" of Gitee's.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The largest body that is taken, bytes. A push of two thousand commits has less.
pub const LARGEST_BODY: u64 = 4 << 20;
/// In an app's directory: which [`crate::manifest::Webhook`] is in force.
pub const FILE: &str = "webhook.json";
/// In an app's directory: the bare repository that its webhook pulls into.
pub const PULLED: &str = "webhook.git";
/// The socket's name in an app's directory below `/run`.
const SOCKET: &str = "webhook.sock";

/// What a delivery is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The branch was pushed.
    Push,
    /// Nothing is to be done; why, a sentence.
    Other(String),
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "ref")]
    name: Option<String>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    deleted: Option<bool>,
}

/// What a delivery of `event` with this body means for `branch`.
///
/// # Errors
/// The body is none that such an event has: a sentence.
pub fn read(event: &str, body: &[u8], branch: &str) -> Result<Delivery, String> {
    if !matches!(event, "push" | "Push Hook") {
        let shown: String = event.chars().filter(|c| !c.is_control()).take(60).collect();
        return Ok(Delivery::Other(format!("`{shown}` is no push")));
    }
    let payload: Payload = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not the JSON of a push: {error}"))?;
    let name = payload
        .name
        .ok_or("the body does not say what was pushed")?;
    if name.strip_prefix("refs/heads/") != Some(branch) {
        return Ok(Delivery::Other(format!("only `{branch}` is deployed")));
    }
    let gone = payload
        .after
        .is_some_and(|after| !after.is_empty() && after.bytes().all(|byte| byte == b'0'));
    match gone || payload.deleted == Some(true) {
        true => Ok(Delivery::Other(format!("`{branch}` was removed"))),
        false => Ok(Delivery::Push),
    }
}

/// Where the edge hands deliveries over. `run` is the app's directory below `/run`.
pub fn socket_path(run: &Path) -> PathBuf {
    run.join(SOCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(name: &str, after: &str) -> Vec<u8> {
        format!("{{\"ref\":\"{name}\",\"after\":\"{after}\",\"commits\":[{{}}]}}").into_bytes()
    }

    #[test]
    fn a_push_of_the_branch_is_one_and_nothing_else_is() {
        let other =
            |event: &str, body: &[u8]| matches!(read(event, body, "main"), Ok(Delivery::Other(_)));
        let good = push("refs/heads/main", "5feceb66");
        assert_eq!(read("push", &good, "main"), Ok(Delivery::Push));
        assert_eq!(read("Push Hook", &good, "main"), Ok(Delivery::Push));
        assert!(other("ping", b"{}") && other("", &good) && other("Tag Push Hook", &good));
        assert!(other("push", &push("refs/heads/main2", "1")));
        assert!(other("push", &push("refs/tags/main", "1")));
        assert!(other("push", &push("main", "1")));
        assert!(other("push", &push("refs/heads/main", "0000000000")));
        assert!(other(
            "push",
            b"{\"ref\":\"refs/heads/main\",\"deleted\":true}"
        ));
        for end in 0..good.len() {
            assert!(read("push", &good[..end], "main").is_err(), "{end}");
        }
        for bad in [
            &b"[]"[..],
            b"{}",
            b"null",
            b"{\"ref\":1}",
            &[b'['; 100_000],
            b"\xff",
        ] {
            assert!(read("push", bad, "main").is_err());
        }
    }
}
