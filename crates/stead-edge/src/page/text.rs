//! The words of the error pages. They are HTML-safe as they stand.

use super::Reason;

/// One page's words.
pub(super) struct Text {
    /// Without a full stop.
    pub(super) title: &'static str,
    /// What happened, for somebody who knows nothing of servers.
    pub(super) happened: &'static str,
    /// What to do now.
    pub(super) advice: &'static str,
}

/// The words for a status; one that the edge never sends gets those of its class.
pub(super) fn of(status: u16, reason: Reason) -> Text {
    let (title, happened, advice) = match status {
        400 if reason == Reason::PlainOverTls => (
            "This address is for HTTPS",
            "The browser spoke HTTP to a place where only HTTPS is spoken.",
            "Write https:// in front of the address.",
        ),
        401 => (
            "Please sign in",
            "This page is for people with a name and a password.",
            "Load the page again and enter yours, or ask whoever runs this site for one.",
        ),
        503 if reason == Reason::Maintenance => (
            "We are working on this site",
            "It is closed for a while, and will be back.",
            "Try again in a few minutes.",
        ),
        404 => (
            "Page not found",
            "There is nothing at this address.",
            "Check the address for typing errors, or start from the home page.",
        ),
        405 => (
            "This cannot be done here",
            "The address exists, but it does not accept this kind of request.",
            "Go back and try another way, or start from the home page.",
        ),
        408 => (
            "The request took too long to arrive",
            "The connection was open, but the request did not arrive in time.",
            "Check your connection and try again.",
        ),
        412 => (
            "This has changed meanwhile",
            "The request was meant for an earlier version of what is at this address.",
            "Load the page again, then repeat what you did.",
        ),
        507 => (
            "There is no room for this now",
            "The server has no room left to take in what you sent. Nothing of it was used.",
            "Keep what you sent, and try again later.",
        ),
        413 => (
            "This is too large to send",
            "What you sent is larger than this site accepts.",
            "Try again with a smaller file, or send it in parts.",
        ),
        414 => (
            "The address is too long",
            "The address of this request is longer than this site accepts.",
            "Shorten the address, or start from the home page.",
        ),
        416 => (
            "That part of the file does not exist",
            "A part of a file was requested that lies beyond its end. The file may have changed since you began to download it.",
            "Start the download again from the beginning.",
        ),
        421 => (
            "This site is not served here",
            "The request reached a server that does not serve the site it asks for.",
            "Check the address for typing errors. If it is right, try again in a new window.",
        ),
        429 => (
            "Too many requests",
            "Many requests came from your network in a short time.",
            "Wait a minute, then try again.",
        ),
        431 => (
            "The request carries too much",
            "The browser sent more accompanying data, such as cookies, than this site accepts.",
            "Delete the cookies of this site in your browser, then try again.",
        ),
        500 => (
            "Something went wrong here",
            "The site failed to answer this request. It is not your mistake.",
            "Try again in a moment. If it happens again, tell the owner of the site what you did.",
        ),
        502 => (
            "The site did not answer properly",
            "The site broke off while it answered this request. It is not your mistake.",
            "Try again in a moment. If you sent something, check whether it arrived before you send it again.",
        ),
        503 if reason == Reason::Busy => (
            "The site is busy",
            "More visitors came than the site can serve at this moment. Your request was not processed.",
            "Try again in a few seconds.",
        ),
        503 if reason == Reason::Starting => (
            "The site is starting",
            "The site is not ready to answer yet. Your request was not processed.",
            "Try again in a few seconds.",
        ),
        503 => (
            "The site is not available",
            "The site cannot answer at this moment. Your request was not processed.",
            "Try again in a few minutes.",
        ),
        504 => (
            "The site took too long to answer",
            "The request was received, but no answer came in time.",
            "Try again in a moment. If you sent something, check whether it arrived before you send it again.",
        ),
        505 => (
            "This kind of connection is not supported",
            "The request uses a version of HTTP that this site does not speak.",
            "Try again with a current browser.",
        ),
        501 | 506..=599 => return of(500, reason),
        _ => (
            "The request could not be understood",
            "What the browser sent is not a valid request.",
            "Check the address for typing errors, or start from the home page.",
        ),
    };
    Text {
        title,
        happened,
        advice,
    }
}
