use super::*;

fn v2(kind: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[kind, family]);
    header.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    header.extend_from_slice(payload);
    header
}

fn v4_payload() -> Vec<u8> {
    let mut payload = vec![192, 0, 2, 1, 198, 51, 100, 1];
    payload.extend_from_slice(&56324_u16.to_be_bytes());
    payload.extend_from_slice(&443_u16.to_be_bytes());
    payload
}

fn source(peer: &str, local_port: u16, tls: bool) -> Option<Source> {
    Some(Source {
        peer: peer.parse().unwrap(),
        local_port,
        tls,
    })
}

/// Every header that is right, with what it says.
fn right() -> Vec<(Vec<u8>, Option<Source>)> {
    let mut v6 = vec![0; 32];
    (v6[0], v6[1], v6[15]) = (0x20, 0x01, 7);
    v6.extend_from_slice(&[0, 80, 1, 187]);
    let with = |extensions: &[u8]| [v4_payload(), extensions.to_vec()].concat();
    let local = |tls| source("192.0.2.1:56324", 443, tls);
    vec![
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            local(false),
        ),
        (
            b"PROXY TCP6 2001::7 ::1 80 443\r\n".to_vec(),
            source("[2001::7]:80", 443, false),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ff:f:: a b c\r\n".to_vec(), None),
        (v2(0x20, 0, b""), None),
        (v2(0x20, 0x11, &[1, 2, 3]), None),
        (v2(0x21, 0x11, &v4_payload()), local(false)),
        (v2(0x21, 0x21, &v6), source("[2001::7]:80", 443, false)),
        (v2(0x21, 0x31, &[7; 216]), None),
        (v2(0x21, 0x12, &v4_payload()), None),
        (v2(0x21, 0x11, &with(&[4, 0, 2, 0, 0])), local(false)),
        (
            v2(0x21, 0x11, &with(&[0x20, 0, 5, 1, 0, 0, 0, 0])),
            local(true),
        ),
        (
            v2(0x21, 0x11, &with(&[0x20, 0, 5, 0, 0, 0, 0, 0])),
            local(false),
        ),
    ]
}

#[test]
fn a_header_says_whom_a_connection_is_from() {
    for (mut header, source) in right() {
        let length = header.len();
        assert_eq!(
            parse(&header),
            Ok(Parsed::Complete(length, source)),
            "{header:?}"
        );
        header.extend_from_slice(b"GET / HTTP/1.1\r\n");
        assert_eq!(parse(&header), Ok(Parsed::Complete(length, source)));
    }
}

#[test]
fn every_truncation_waits_for_more() {
    for (header, _) in right() {
        for end in 0..header.len() {
            assert_eq!(
                parse(&header[..end]),
                Ok(Parsed::Partial),
                "{header:?} {end}"
            );
        }
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let short = v2(0x21, 0x11, &v4_payload()[..11]);
    let long = v2(0x21, 0x11, &[0; 4000]);
    let open = v2(0x21, 0x11, &[v4_payload(), vec![4, 0]].concat());
    let cut = v2(0x21, 0x11, &[v4_payload(), vec![4, 0, 9, 1]].concat());
    for bad in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\r\n\r\nG",
        b"PROXY\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n",
        b"PROXY TCP4 ::1 ::1 1 1\r\n",
        b"PROXY TCP6 1.1.1.1 ::1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 \xff\r\n",
        &[&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
        &v2(0x31, 0x11, &v4_payload()),
        &v2(0x22, 0x11, &v4_payload()),
        &SIGNATURE.iter().copied().chain([0x41]).collect::<Vec<_>>(),
        &short,
        &long,
        &open,
        &cut,
    ] {
        assert_eq!(parse(bad), Err(Malformed), "{bad:?}");
    }
}
