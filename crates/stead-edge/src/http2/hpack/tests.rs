use proptest::prelude::*;

use super::super::encode;
use super::*;

fn list(decoder: &mut Decoder, block: &[u8]) -> Result<String, Malformed> {
    let mut text = String::new();
    decoder.decode(block, |name, value| {
        text.push_str(&String::from_utf8_lossy(name));
        text.push('=');
        text.push_str(&String::from_utf8_lossy(value));
        text.push('\n');
    })?;
    Ok(text)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// The examples of RFC 7541 appendix C.3 and C.4, which say the same, plain and with Huffman codes.
#[test]
fn the_requests_of_the_rfc_are_read() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let host = ":authority=www.example.com\n";
    for blocks in [plain, coded] {
        let mut decoder = Decoder::default();
        let first = list(&mut decoder, &hex(blocks[0])).unwrap();
        assert_eq!(first, format!(":method=GET\n:scheme=http\n:path=/\n{host}"));
        let second = list(&mut decoder, &hex(blocks[1])).unwrap();
        assert_eq!(
            second,
            format!(":method=GET\n:scheme=http\n:path=/\n{host}cache-control=no-cache\n")
        );
        let third = list(&mut decoder, &hex(blocks[2])).unwrap();
        assert_eq!(
            third,
            format!(
                ":method=GET\n:scheme=https\n:path=/index.html\n{host}custom-key=custom-value\n"
            )
        );
    }
}

#[test]
fn what_breaks_the_rules_is_refused() {
    for (block, why) in [
        ("80", "index 0"),
        ("be", "an index beyond both tables"),
        ("ff ff ff ff 7f", "an integer that is too long"),
        ("3f e2 1f", "a table larger than allowed"),
        ("82 20", "a change of the table's size after a field"),
        ("40 01", "a string that is not there"),
        ("40 05 61 62", "a string that is cut off"),
        ("40 81 ff 00", "eight bits of padding"),
        ("40 84 ff ff ff fc 00", "the end of a string within it"),
        ("40 81 00 00", "padding that is not ones"),
        ("7f", "an integer that is cut off"),
        ("00", "a literal that is cut off"),
        ("0f", "a name that is cut off"),
        ("42", "a value that is not there"),
    ] {
        assert_eq!(
            list(&mut Decoder::default(), &hex(block)),
            Err(Malformed),
            "{why}"
        );
    }
}

#[test]
fn every_truncation_is_refused_or_a_shorter_list() {
    let block = hex("8286 84be 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
    for end in 0..block.len() {
        let mut decoder = Decoder::default();
        list(&mut decoder, &hex("41 01 61")).unwrap();
        let _ = list(&mut decoder, &block[..end]);
    }
}

#[test]
fn the_dynamic_table_holds_what_its_size_allows() {
    let mut decoder = Decoder::default();
    let entry = |letter: u8| [&[0x40, 1, letter, 0x7f, 0xd1, 0x0e][..], &[b'v'; 2000]].concat();
    for letter in *b"abc" {
        list(&mut decoder, &entry(letter)).unwrap();
    }
    // Of three entries of 2,033 bytes two fit.
    assert!(list(&mut decoder, &[0xbe]).unwrap().starts_with("c="));
    assert!(list(&mut decoder, &[0xbf]).unwrap().starts_with("b="));
    assert_eq!(list(&mut decoder, &[0xc0]), Err(Malformed));
    // Made smaller, larger again: what was dropped stays so.
    assert_eq!(list(&mut decoder, &hex("20 3f e1 1f")), Ok(String::new()));
    assert_eq!(list(&mut decoder, &[0xbe]), Err(Malformed));
    // An entry that is too large for the table empties it, and is a field nevertheless.
    list(&mut decoder, &hex("40 01 61 01 62")).unwrap();
    let large = [&[0x40, 1, b'x', 0x7f, 0x89, 0x26][..], &[b'v'; 5000]].concat();
    assert!(list(&mut decoder, &large).unwrap().starts_with("x=vvv"));
    assert_eq!(list(&mut decoder, &[0xbe]), Err(Malformed));
}

#[test]
fn a_name_of_an_entry_that_makes_room_for_its_own_successor_is_kept() {
    let mut decoder = Decoder::default();
    let first = [&[0x40, 1, b'n', 0x7f, 0x81, 0x1d][..], &[b'v'; 3840]].concat();
    list(&mut decoder, &first).unwrap();
    let second = [&[0x7e, 0x7f, 0x82, 0x1d][..], &[b'w'; 3841]].concat();
    assert!(list(&mut decoder, &second).unwrap().starts_with("n=www"));
    assert!(list(&mut decoder, &[0xbe]).unwrap().starts_with("n=www"));
}

#[test]
fn what_the_edge_says_is_read_as_it_was_meant() {
    let mut expected = String::new();
    let mut block = Vec::new();
    for code in [200, 204, 206, 304, 400, 404, 500, 101, 405, 503] {
        encode::status(&mut block, code);
        expected.push_str(&format!(":status={code}\n"));
    }
    for (name, _) in STATIC.iter().filter(|(name, _)| !name.starts_with(':')) {
        for value in ["", "x", &"long".repeat(100)] {
            encode::field(
                &mut block,
                name.to_ascii_uppercase().as_bytes(),
                value.as_bytes(),
            );
            expected.push_str(&format!("{name}={value}\n"));
        }
    }
    encode::field(&mut block, b"X-Of-Nobody", b"1");
    expected.push_str("x-of-nobody=1\n");
    assert_eq!(list(&mut Decoder::default(), &block), Ok(expected));
}

proptest! {
    #[test]
    fn huffman_codes_of_any_bytes_are_read(text: Vec<u8>) {
        let mut out = Vec::new();
        prop_assert_eq!(huffman::decode(&huffman::encode(&text), &mut out), Ok(()));
        prop_assert_eq!(out, text);
    }

    #[test]
    fn no_block_makes_it_panic(blocks: Vec<Vec<u8>>) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = list(&mut decoder, &block);
        }
    }
}
