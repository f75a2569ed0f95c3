use super::*;

/// A mailbox, and the connection over which the worker got its end.
fn mailbox() -> (Mailbox, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    (Mailbox::new(ours.as_fd()).unwrap(), theirs)
}

/// What the worker reads next, if there is anything.
fn read(mailbox: &Mailbox) -> Option<Vec<u8>> {
    let mut message = vec![0; 64];
    let (length, _) = recv(&mailbox.theirs, message.as_mut_slice(), RecvFlags::DONTWAIT).ok()?;
    message.truncate(length);
    Some(message)
}

#[test]
fn only_the_frame_that_is_meant_is_taken_back() {
    let (mailbox, _connection) = mailbox();
    mailbox.put(b"first").unwrap();
    mailbox.put(b"other").unwrap();
    // The worker has not even read the first.
    assert!(!mailbox.take_back(b"other"));
    assert_eq!(read(&mailbox).unwrap(), b"first");
    assert!(mailbox.take_back(b"other"));
    assert!(!mailbox.take_back(b"other"));
    assert_eq!(read(&mailbox), None);
    // One that begins as another does is another.
    mailbox.put(b"others").unwrap();
    assert!(!mailbox.take_back(b"other"));
    assert!(!mailbox.take_back(b"others "));
    assert_eq!(read(&mailbox).unwrap(), b"others");
}

#[test]
fn what_was_before_a_frame_that_nobody_waits_for_goes_with_it() {
    let (mailbox, _connection) = mailbox();
    mailbox.put(b"first").unwrap();
    mailbox.put(b"other").unwrap();
    assert!(mailbox.take_back_all(b"other"));
    assert_eq!(read(&mailbox), None);
    assert!(!mailbox.take_back_all(b"other"));
}

#[test]
fn nobody_is_put_in_before_the_one_who_has_the_thread() {
    let (mailbox, _connection) = mailbox();
    assert!(!mailbox.has_begun());
    mailbox.put(b"first").unwrap();
    assert!(mailbox.has_begun());
    mailbox.reserve();
    assert!(!mailbox.has_begun());
}
