use super::*;

fn chosen(accept: &str, there: &[Encoding]) -> Option<&'static str> {
    choose(Some(accept.as_bytes()), there.iter().copied()).map(Encoding::name)
}

#[test]
fn the_most_wanted_coding_that_is_there_is_chosen() {
    for (accept, expected) in [
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip, zstd", Some("zstd")),
        ("gzip", Some("gzip")),
        ("GZIP", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("*", Some("br")),
        ("br;q=0, *", Some("zstd")),
        ("br;q=0.5, gzip;q=0.8", Some("gzip")),
        ("gzip; q=0.8 , br ; q=0.5", Some("gzip")),
        ("gzip;q=0", None),
        ("gzip;q=0.000", None),
        ("gzip;q=x", None),
        ("gzip;level=9", None),
        ("deflate", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", Some("gzip")),
        ("identity;q=0", None),
        ("", None),
        (";,q=1,,=", None),
        ("brr, gzipx", None),
    ] {
        assert_eq!(chosen(accept, &Encoding::ALL), expected, "{accept}");
    }
}

#[test]
fn what_is_not_there_is_not_chosen() {
    assert_eq!(chosen("br, gzip", &[Encoding::Gzip]), Some("gzip"));
    assert_eq!(chosen("br, gzip", &[]), None);
    assert_eq!(choose(None, Encoding::ALL.into_iter()), None);
}
