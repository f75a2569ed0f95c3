//! Credentials for authorities and providers: a file in `<state>/secrets`, else a variable of our own environment, as
//! for an app's secrets. They are in no argument, no log and no error.

use std::io;
use std::path::Path;

use crate::state::Failure;

/// The value of a credential.
pub(crate) fn credential(state: &Path, name: &str) -> Result<String, Failure> {
    let file = state.join("secrets").join(name);
    match std::fs::read_to_string(&file) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let act = format!("cannot read the secret `{name}`");
            return Err(Failure::new(act, crate::spawn::io_text(&error)));
        }
    }
    match std::env::var(name) {
        Ok(value) if !value.trim().is_empty() => Ok(value.trim().to_owned()),
        _ => Err(Failure::new(
            format!("the secret `{name}` has no value"),
            format!("neither `{}` nor the environment has one", file.display()),
        )
        .hint(format!("export {name}=…"))),
    }
}
