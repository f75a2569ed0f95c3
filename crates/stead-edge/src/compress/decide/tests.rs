use super::*;

fn plan(
    accept: Option<Encoding>,
    status: u16,
    headers: &[(&str, &str)],
    whole: Option<u64>,
) -> Plan {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    Plan::of(Choice { encoding: accept }, status, &headers, whole)
}

#[test]
fn what_would_not_gain_or_must_not_change_is_sent_as_it_is() {
    let html = ("Content-Type", "text/html; charset=utf-8");
    for (status, headers, whole) in [
        (200, &[][..], None),
        (200, &[("Content-Type", "image/png")], None),
        (200, &[("Content-Type", "text/event-stream")], None),
        (200, &[("Content-Type", "application/octet-stream")], None),
        (200, &[("Content-Type", "\u{e9}")], None),
        (200, &[html, ("Content-Length", "1023")], None),
        (200, &[html], Some(1023)),
        (200, &[html, ("Content-Encoding", "br")], None),
        (
            200,
            &[html, ("Cache-Control", "public, No-Transform")],
            None,
        ),
        (200, &[html, ("Content-Range", "bytes 0-1/5")], None),
        (200, &[html, ("Digest", "x")], None),
        (200, &[html, ("Repr-Digest", "x")], None),
        (206, &[html], None),
        (204, &[html], None),
    ] {
        let plan = plan(Some(Encoding::Gzip), status, headers, whole);
        assert_eq!(plan, Plan::default(), "{status} {headers:?} {whole:?}");
    }
}

#[test]
fn whoever_could_get_another_representation_is_told() {
    let html = ("content-type", "TEXT/HTML;charset=utf-8");
    for status in [200, 404, 500] {
        let coded = plan(
            Some(Encoding::Brotli),
            status,
            &[html, ("content-length", "1024")],
            None,
        );
        assert_eq!(coded.encoding, Some(Encoding::Brotli));
        assert_eq!(coded.declared, Some(1024));
        assert!(coded.varies && coded.weakens);
    }
    let plain = plan(None, 200, &[html], None);
    assert_eq!(plain.encoding, None);
    assert!(plain.varies && !plain.weakens);
    let unchanged = plan(Some(Encoding::Gzip), 304, &[], None);
    assert!(unchanged.varies && unchanged.weakens && unchanged.encoding.is_none());
    for kind in [
        "application/json",
        "image/svg+xml",
        "application/javascript",
        "text/css",
        "application/problem+json",
    ] {
        assert!(
            plan(None, 200, &[("content-type", kind)], None).varies,
            "{kind}"
        );
    }
}
