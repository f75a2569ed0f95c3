use super::*;

/// Where a vector is that has room for so much.
fn place_of(length: usize) -> usize {
    let mut scratch = Scratch::with_room(length);
    assert!(scratch.0.is_empty() && scratch.0.capacity() >= length);
    scratch.0.resize(length, 1);
    scratch.0.as_ptr().addr()
}

#[test]
fn room_for_a_body_is_lent_again_and_again() {
    for length in [10_000, 2 * SIZE, 2 * SIZE + 1, LARGE - SIZE] {
        let first = place_of(length);
        assert_eq!(place_of(length), first, "{length}");
    }
    // What is taken for a head may be smaller.
    let head = Scratch::take();
    assert!(head.0.capacity() >= FIRST);
}

#[test]
fn thread_keeps_few_large_vectors_and_none_that_is_larger() {
    let many: Vec<_> = (0..3 * KEPT_LARGE)
        .map(|_| Scratch::with_room(LARGE))
        .collect();
    drop(many);
    drop(Scratch::with_room(LARGE + 1));
    let kept = LARGE_SCRATCH.with_borrow(|pool| (pool.len(), pool.iter().map(Vec::capacity).max()));
    assert_eq!(kept, (KEPT_LARGE, Some(LARGE)));
}

#[test]
fn little_room_takes_no_large_vector() {
    assert!(Scratch::with_room(100).0.capacity() <= 2 * SMALL);
}
