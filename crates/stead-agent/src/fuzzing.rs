//! Doors for the fuzz targets in `fuzz/`; nobody else's business.
#![allow(missing_docs)]

/// Carry out one input of the target of that name, as a seed file holds it.
///
/// # Panics
/// The target does not hold, or there is no such target.
pub fn replay(target: &str, input: &[u8]) {
    match target {
        "dns_answer" => crate::certificates::dns_answer(input),
        _ => panic!("there is no such target"),
    }
}

#[cfg(test)]
mod tests {
    use super::replay;

    /// What cargo-fuzz starts from; every truncation of it, and each of its bytes changed.
    #[test]
    fn the_seeds_of_the_fuzzers_hold_and_what_is_near_them() {
        let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/dns_answer");
        let mut count = 0;
        for seed in std::fs::read_dir(fuzz).unwrap() {
            let text = std::fs::read(seed.unwrap().path()).unwrap();
            replay("dns_answer", &text);
            for at in 0..text.len() {
                replay("dns_answer", &text[..at]);
                for other in [0, 1, 0x0c, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                    let mut changed = text.clone();
                    changed[at] = other;
                    replay("dns_answer", &changed);
                }
            }
            count += 1;
        }
        assert!(count > 5, "the target has its seeds");
    }
}
