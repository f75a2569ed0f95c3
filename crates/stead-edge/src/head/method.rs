//! Which methods the edge knows (RFC 9110 section 9).

use super::{Refusal, refuse};

/// The methods of IANA's registry and the few others that programs in use send. They have one
/// meaning; of an unknown one nobody knows whether its request has a body, and servers that are built
/// on a closed list would read what follows it differently from those that are not.
const KNOWN: [&[u8]; 42] = [
    b"ACL",
    b"BAN",
    b"BASELINE-CONTROL",
    b"BIND",
    b"CHECKIN",
    b"CHECKOUT",
    b"COPY",
    b"DELETE",
    b"GET",
    b"HEAD",
    b"LABEL",
    b"LINK",
    b"LOCK",
    b"M-SEARCH",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MKREDIRECTREF",
    b"MKWORKSPACE",
    b"MOVE",
    b"NOTIFY",
    b"OPTIONS",
    b"ORDERPATCH",
    b"PATCH",
    b"POST",
    b"PROPFIND",
    b"PROPPATCH",
    b"PURGE",
    b"PUT",
    b"QUERY",
    b"REBIND",
    b"REPORT",
    b"SEARCH",
    b"SUBSCRIBE",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNLOCK",
    b"UNSUBSCRIBE",
    b"UPDATE",
    b"VERSION-CONTROL",
];

/// Methods are case-sensitive: `get` is none that anybody registered, yet some servers take it for `GET`.
pub(super) fn check(method: &[u8]) -> Result<(), Refusal> {
    if matches!(method, b"GET" | b"POST" | b"HEAD") || KNOWN.binary_search(&method).is_ok() {
        return Ok(());
    }
    if method == b"CONNECT" {
        return Err(refuse(405, "CONNECT is not offered"));
    }
    if method == b"TRACE" {
        // It hands a script what is kept from it: cookies and what the edge adds (RFC 9110 section 9.3.8).
        return Err(refuse(405, "TRACE is not offered"));
    }
    let shouted = method.to_ascii_uppercase();
    if matches!(&*shouted, b"CONNECT" | b"TRACE") || KNOWN.binary_search(&&*shouted).is_ok() {
        return Err(refuse(400, "method in lower case"));
    }
    Err(refuse(501, "unknown method"))
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, check};

    #[test]
    fn known_methods_are_sorted_and_taken() {
        assert!(KNOWN.is_sorted());
        for method in KNOWN {
            assert_eq!(check(method), Ok(()));
        }
    }

    #[test]
    fn unknown_methods_are_refused() {
        for (method, status) in [
            ("get", 400),
            ("Get", 400),
            ("connect", 400),
            ("CONNECT", 405),
            ("TRACE", 405),
            ("MKCOLA", 501),
            ("GETGET", 501),
            ("G", 501),
            ("PRI", 501),
            ("SOURCE", 501),
            ("ANNOUNCE", 501),
        ] {
            let refusal = check(method.as_bytes()).unwrap_err();
            assert_eq!(refusal.status, status, "{method}");
        }
    }
}
