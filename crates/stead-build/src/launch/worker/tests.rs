use proptest::prelude::*;

use super::{NATIVE, write};

// Not of this crate, but what it reads comes from another program.
#[path = "../../../worker/native/pairs.rs"]
mod pairs;

proptest! {
    #[test]
    fn whatever_a_frame_holds_is_read_to_its_end_or_refused(bytes: Vec<u8>, kinds in "[zZaus0]{0,9}") {
        // Bytes alone are hardly ever a pair.
        let written = kinds.bytes().zip(&bytes).flat_map(|(kind, byte)| [kind, byte % 4, 0, 0, 0]);
        for text in [bytes.clone(), written.collect()] {
            let mut rest = &text[..];
            while let Some(pair) = pairs::first_pair(rest) {
                prop_assert!(pair.key_end > pair.key.len() && pair.bytes.len() > pair.key_end);
                prop_assert!(pair.bytes[..pair.key_end].ends_with(pair.key));
                let (pairs::Value::Text(value) | pairs::Value::Bytes(value)) = pair.value;
                prop_assert!(pair.bytes.ends_with(value));
                rest = rest.strip_prefix(pair.bytes).expect("it is the beginning");
            }
        }
    }
}

#[test]
fn frame_is_pairs_until_its_end() {
    let rest = pairs::dict_of(b"{Z\x01az\x02bcZ\x05inputs\x01\0\0\0d0").expect("a dict");
    let first = pairs::first_pair(rest).expect("a pair");
    assert_eq!(
        (first.key, first.value),
        (&b"a"[..], pairs::Value::Text(b"bc"))
    );
    let rest = &rest[first.bytes.len()..];
    let second = pairs::first_pair(rest).expect("another");
    assert_eq!(
        (second.key, second.value),
        (&b"input"[..], pairs::Value::Bytes(b"d"))
    );
    assert!(pairs::is_end(&rest[second.bytes.len()..]));
    assert!(!pairs::is_end(b"0 and more"));
    for size in 0..rest.len() - 1 {
        assert_eq!(pairs::first_pair(&rest[..size]), None, "{size}");
    }
}

#[test]
#[cfg(target_env = "gnu")]
fn native_part_was_compiled() {
    assert!(NATIVE.starts_with(b"\x7fELF"), "{} bytes", NATIVE.len());
}

#[test]
fn worker_is_written_with_its_native_part_and_mended_when_it_was_damaged() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let worker = write(state.path()).expect("written");
    let native = worker.with_file_name("stead_native.so");
    assert_eq!(std::fs::read(&native).ok().as_deref(), Some(NATIVE));
    std::fs::write(&native, b"half of it").expect("damaged");
    assert_eq!(write(state.path()).expect("written again"), worker);
    assert_eq!(std::fs::read(&native).ok().as_deref(), Some(NATIVE));
}
