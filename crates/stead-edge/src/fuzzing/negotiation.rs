//! What is claimed of codings that visitors accept, and of their passwords.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::folder::{Encoding, choose};
use crate::rules::users::Credentials;

/// A coding is only chosen when it, or a `*`, is in the list; and what is offered beside it changes nothing for
/// who wants only that.
pub(super) fn accept_encoding(input: &[u8]) {
    let lower = input.to_ascii_lowercase();
    let names = |word: &[u8]| memchr::memmem::find(&lower, word).is_some();
    let chosen = choose(Some(input), Encoding::ALL.into_iter());
    for encoding in Encoding::ALL {
        let alone = choose(Some(input), [encoding].into_iter());
        if alone.is_some() {
            assert!(names(encoding.name().as_bytes()) || names(b"*"));
            assert!(chosen.is_some());
        }
        if chosen == Some(encoding) {
            assert_eq!(alone, chosen);
        }
    }
    let backwards = choose(Some(input), Encoding::ALL.into_iter().rev());
    assert_eq!(backwards.is_some(), chosen.is_some());
}

/// What is read of an Authorization header is written and read again as the same, and no name has a colon.
pub(super) fn authorization(input: &[u8]) {
    let Some(credentials) = Credentials::parse(input) else {
        return;
    };
    let Credentials { name, password } = &credentials;
    assert!(!name.contains(&b':'));
    assert!(!name.iter().chain(password).any(u8::is_ascii_control));
    let pair = [name.as_slice(), b":", password].concat();
    let again = format!("Basic {}", STANDARD.encode(pair));
    assert_eq!(Credentials::parse(again.as_bytes()), Some(credentials));
}
