use std::io::Read as _;

use super::*;

fn decode(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    // What was flushed can be read, although the end is still to come.
    let _ = match encoding {
        Encoding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain),
        Encoding::Zstandard => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_end(&mut plain),
        Encoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
    };
    plain
}

#[test]
fn what_was_flushed_can_be_read_before_more_comes() {
    for encoding in Encoding::ALL {
        let mut coder = Coder::new(encoding, None).unwrap();
        let (mut coded, mut plain) = (Vec::new(), Vec::new());
        for number in 0..5 {
            let piece = format!("piece {number}, {}\n", "x".repeat(number * 100));
            coder.write(piece.as_bytes()).unwrap();
            plain.extend_from_slice(piece.as_bytes());
            assert!(coder.flush().unwrap());
            assert!(!coder.flush().unwrap(), "there is nothing more");
            coded.extend(coder.take());
            assert_eq!(decode(encoding, &coded), plain, "{encoding:?}");
        }
        coded.extend(coder.finish().unwrap());
        assert_eq!(decode(encoding, &coded), plain, "{encoding:?}");
    }
}

#[test]
fn a_body_of_another_length_than_was_said_is_cut_or_cut_off() {
    let mut coder = Coder::new(Encoding::Gzip, Some(5)).unwrap();
    coder.write(b"hello and more").unwrap();
    let coded = coder.finish().unwrap();
    assert_eq!(decode(Encoding::Gzip, &coded), b"hello");
    let mut coder = Coder::new(Encoding::Gzip, Some(5)).unwrap();
    coder.write(b"hell").unwrap();
    assert!(coder.finish().is_none());
}

#[test]
fn nothing_stays_in_a_coder_that_gets_large_bodies() {
    let mut state = 1_u64;
    for encoding in Encoding::ALL {
        let mut coder = Coder::new(encoding, None).unwrap();
        let (mut coded, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            // A text that compresses by half or so.
            let piece: Vec<u8> = std::iter::repeat_with(|| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                b'a' + (state >> 60) as u8
            })
            .take(32 * 1024)
            .collect();
            coder.write(&piece).unwrap();
            plain.extend_from_slice(&piece);
            coded.extend(coder.take());
        }
        let before = coded.len();
        assert!(
            before > plain.len() / 4,
            "it comes out while it goes in: {before}"
        );
        coded.extend(coder.finish().unwrap());
        assert!(coded.len() < plain.len() * 3 / 4);
        assert!(decode(encoding, &coded) == plain, "{encoding:?}");
    }
}

#[test]
fn a_coder_holds_a_few_megabytes_at_most() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size()
    };
    let text: Vec<u8> = (0..60_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .map(|byte| b'a' + byte % 16)
        .collect();
    for encoding in Encoding::ALL {
        let before = resident();
        let coders: Vec<Kind> = (0..8)
            .map(|_| {
                let mut kind = Kind::new(encoding).unwrap();
                match &mut kind {
                    Kind::Brotli(coder) => coder.write_all(&text).unwrap(),
                    Kind::Zstandard(coder) => coder.write_all(&text).unwrap(),
                    Kind::Gzip(coder) => coder.write_all(&text).unwrap(),
                }
                kind
            })
            .collect();
        let each = resident().saturating_sub(before) / coders.len();
        // Other tests of this process take memory meanwhile, too.
        assert!(each < 6 << 20, "{encoding:?}: {each}");
    }
}
