use proptest::prelude::*;

use super::{Decoder, Malformed, Step, TRAILER_LIMIT};

fn decode(mut input: &[u8], piece: usize) -> Result<(Vec<u8>, usize), Malformed> {
    let (mut decoder, mut out, mut used, mut window) = (Decoder::default(), Vec::new(), 0, piece);
    loop {
        match decoder.step(&input[..window.min(input.len())])? {
            Step::Skip(length) => (input, used) = (&input[length..], used + length),
            Step::Data(length) => {
                out.extend_from_slice(&input[..length]);
                (input, used) = (&input[length..], used + length);
            }
            Step::More if window >= input.len() => return Err(Malformed),
            Step::More => window += piece,
            Step::Done => return Ok((out, used)),
        }
    }
}

#[test]
fn a_body_is_the_same_in_pieces_of_any_size() {
    let text = b"5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET";
    for piece in 1..text.len() {
        assert_eq!(
            decode(text, piece),
            Ok((b"hello world".to_vec(), text.len() - 3))
        );
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for text in [
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "\r\n",
        "10000000000000000\r\nx",
        "5\rX\nhello\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\nA B: x\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "5;a\nb\r\nhello",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;;a\r\nhello\r\n0\r\n\r\n",
        "5; a\r\nhello\r\n0\r\n\r\n",
        "5;a b\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\\\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n",
        "5;=b\r\nhello\r\n0\r\n\r\n",
        "5a;b=c\"d\"\r\nhello\r\n0\r\n\r\n",
    ] {
        assert_eq!(decode(text.as_bytes(), 1000), Err(Malformed), "{text:?}");
    }
}

#[test]
fn trailers_have_a_limit_that_nothing_passes() {
    // One line that fills the limit exactly must not make room for more.
    let full = format!("0\r\nA: {}\r\n", "x".repeat(TRAILER_LIMIT - 3));
    let complete = format!("{full}\r\n");
    assert_eq!(
        decode(complete.as_bytes(), 1000),
        Ok((Vec::new(), complete.len()))
    );
    let more = format!("{full}B: y\r\n\r\n");
    assert_eq!(decode(more.as_bytes(), 1000), Err(Malformed));
    let many = format!("0\r\n{}\r\n", "A: x\r\n".repeat(TRAILER_LIMIT));
    assert_eq!(decode(many.as_bytes(), 1000), Err(Malformed));
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_wherever_it_is_split(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..300), "(;[a-z]{1,5}(=([a-z]{1,5}|\"([ a-z;=]|\\\\[ -~]){0,5}\"))?){0,3}", any::<bool>()), 0..8),
        trailers in proptest::collection::vec("[A-Za-z-]{1,9}: [ -~]{0,20}", 0..4),
        after in proptest::collection::vec(any::<u8>(), 0..20),
        piece in 1_usize..400,
    ) {
        let mut text = Vec::new();
        for (data, extension, upper) in &chunks {
            let size = if *upper { format!("{:X}", data.len()) } else { format!("{:04x}", data.len()) };
            text.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
            text.extend_from_slice(data);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"0\r\n");
        for trailer in &trailers {
            text.extend_from_slice(format!("{trailer}\r\n").as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        let length = text.len();
        text.extend_from_slice(&after);
        let data: Vec<u8> = chunks.iter().flat_map(|(data, ..)| data.clone()).collect();
        prop_assert_eq!(decode(&text, piece), Ok((data, length)));
    }

    #[test]
    fn no_bytes_are_used_that_did_not_come(text in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
        if let Ok((content, used)) = decode(&text, piece) {
            prop_assert!(used <= text.len() && content.len() <= used);
        }
    }
}
