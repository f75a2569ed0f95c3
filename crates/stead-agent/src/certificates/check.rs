//! Whether a host leads here, told from what was found out about it: pure, and in words that a person can act on.

use std::net::IpAddr;

/// What was found out about a host before its certificate is ordered.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) host: String,
    /// Its addresses in the DNS, or why they are not known.
    pub(crate) addresses: Result<Vec<Address>, Unknown>,
    /// Addresses of this host by which it reaches the world.
    pub(crate) own: Vec<IpAddr>,
}

/// Why addresses are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The DNS says that there is no such name.
    NoName,
    /// The DNS could not be asked.
    NoAnswer(String),
}

/// An address of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) address: IpAddr,
    /// This machine has it.
    pub(crate) is_own: bool,
    pub(crate) answer: Answer,
}

/// Who answered there, when asked for a token of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This program.
    Ours,
    /// A redirect: the authority follows it, and it may lead here.
    Redirect,
    /// Somebody else.
    Other(String),
    /// Nobody.
    Nothing(String),
    /// Nobody was asked: the challenge needs no port 80.
    NotAsked,
}

/// Whether to order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It leads here.
    Here,
    /// It cannot be told from here; the authority finds out.
    Perhaps(String),
    /// It does not: an order would fail, and count.
    NotHere(String),
}

/// Judge.
pub(crate) fn judge(found: &Found) -> Verdict {
    let host = &found.host;
    let addresses = match &found.addresses {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) | Err(Unknown::NoName) => {
            return Verdict::NotHere(format!(
                "`{host}` has no address in the DNS{}",
                wanted(found)
            ));
        }
        Err(Unknown::NoAnswer(why)) => {
            return Verdict::Perhaps(format!("where `{host}` leads is not known: {why}"));
        }
    };
    let mut doubt = None;
    for address in addresses {
        match one(found, address) {
            Verdict::Here => {}
            Verdict::Perhaps(why) => doubt = Some(why),
            // The authority takes any of them.
            wrong => return wrong,
        }
    }
    doubt.map_or(Verdict::Here, Verdict::Perhaps)
}

fn one(found: &Found, address: &Address) -> Verdict {
    let host = &found.host;
    let at = address.address;
    match &address.answer {
        Answer::Ours => Verdict::Here,
        Answer::Redirect => Verdict::Perhaps(format!(
            "port 80 of {at}, where `{host}` leads, answers with a redirect"
        )),
        Answer::Other(what) if address.is_own => Verdict::NotHere(format!(
            "port 80 of {at}, which is this host, is answered by another program: {what}"
        )),
        Answer::Other(what) => Verdict::NotHere(format!(
            "`{host}` resolves to {at}, where another server answers ({what}){}",
            this_host(found)
        )),
        Answer::Nothing(why) if address.is_own => Verdict::NotHere(format!(
            "`{host}` resolves to {at}, which is this host, and nothing answers at its port 80: {why}"
        )),
        Answer::Nothing(_) | Answer::NotAsked if address.is_own => Verdict::Here,
        Answer::Nothing(why) => elsewhere(found, at, &format!(", where nothing answers ({why})")),
        Answer::NotAsked => elsewhere(found, at, ""),
    }
}

/// The host has an address that this machine has not. Behind a router that is as it should be; who has a public address
/// of the same kind is not behind one.
fn elsewhere(found: &Found, at: IpAddr, what: &str) -> Verdict {
    let host = &found.host;
    let public = found
        .own
        .iter()
        .any(|own| own.is_ipv4() == at.is_ipv4() && is_public(*own));
    if public {
        return Verdict::NotHere(format!(
            "`{host}` resolves to {at}{what}{}",
            this_host(found)
        ));
    }
    Verdict::Perhaps(format!(
        "`{host}` resolves to {at}, which cannot be reached from here; a router may lead it here"
    ))
}

fn this_host(found: &Found) -> String {
    let own: Vec<String> = found.own.iter().map(IpAddr::to_string).collect();
    match own.is_empty() {
        true => String::new(),
        false => format!(", this host is {}", own.join(" and ")),
    }
}

fn wanted(found: &Found) -> String {
    let own: Vec<String> = found
        .own
        .iter()
        .filter(|own| is_public(**own))
        .map(IpAddr::to_string)
        .collect();
    match own.is_empty() {
        true => String::new(),
        false => format!("; it should be {}", own.join(" and ")),
    }
}

/// Whether the world reaches it (the special registries of RFC 6890, roughly: what a host gets behind a router).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || shared)
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[(&str, bool, Answer)], own: &[&str]) -> Found {
        Found {
            host: "www.example.com".into(),
            addresses: Ok(addresses
                .iter()
                .map(|(address, is_own, answer)| Address {
                    address: address.parse().unwrap(),
                    is_own: *is_own,
                    answer: answer.clone(),
                })
                .collect()),
            own: own.iter().map(|own| own.parse().unwrap()).collect(),
        }
    }

    fn nothing() -> Answer {
        Answer::Nothing("connection refused".into())
    }

    fn not_here(found: &Found) -> String {
        match judge(found) {
            Verdict::NotHere(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_that_answers_with_our_token_leads_here_whatever_its_address() {
        let ours = found(&[("203.0.113.9", false, Answer::Ours)], &["10.0.0.5"]);
        assert_eq!(judge(&ours), Verdict::Here);
    }

    #[test]
    fn a_host_that_leads_elsewhere_is_told_with_both_addresses() {
        let wrong = found(&[("203.0.113.9", false, nothing())], &["198.51.100.7"]);
        assert_eq!(
            not_here(&wrong),
            "`www.example.com` resolves to 203.0.113.9, where nothing answers (connection refused), this host is 198.51.100.7"
        );
        let other = Answer::Other("nginx, 404".into());
        let wrong = found(&[("203.0.113.9", false, other)], &["10.0.0.5"]);
        assert_eq!(
            not_here(&wrong),
            "`www.example.com` resolves to 203.0.113.9, where another server answers (nginx, 404), this host is 10.0.0.5"
        );
    }

    #[test]
    fn one_wrong_address_of_two_is_wrong() {
        let wrong = found(
            &[
                ("198.51.100.7", true, Answer::Ours),
                ("2001:db8::9", false, nothing()),
            ],
            &["198.51.100.7", "2001:db8::7"],
        );
        assert!(not_here(&wrong).contains("resolves to 2001:db8::9"));
    }

    #[test]
    fn behind_a_router_that_does_not_lead_back_it_cannot_be_told() {
        let hairpin = found(&[("203.0.113.9", false, nothing())], &["192.168.1.5"]);
        assert!(matches!(judge(&hairpin), Verdict::Perhaps(_)));
        let shared = found(&[("203.0.113.9", false, nothing())], &["100.70.1.5"]);
        assert!(matches!(judge(&shared), Verdict::Perhaps(_)));
        let redirect = found(
            &[("203.0.113.9", false, Answer::Redirect)],
            &["198.51.100.7"],
        );
        assert!(matches!(judge(&redirect), Verdict::Perhaps(_)));
    }

    #[test]
    fn no_address_and_no_dns_are_two_things() {
        let mut none = found(&[], &["198.51.100.7"]);
        assert_eq!(
            not_here(&none),
            "`www.example.com` has no address in the DNS; it should be 198.51.100.7"
        );
        none.addresses = Err(Unknown::NoAnswer("192.0.2.53 did not answer".into()));
        assert!(matches!(judge(&none), Verdict::Perhaps(_)));
    }

    #[test]
    fn an_own_address_without_an_answer_is_told() {
        let silent = found(&[("198.51.100.7", true, nothing())], &["198.51.100.7"]);
        assert!(not_here(&silent).contains("nothing answers at its port 80"));
        let unasked = found(
            &[("198.51.100.7", true, Answer::NotAsked)],
            &["198.51.100.7"],
        );
        assert_eq!(judge(&unasked), Verdict::Here);
    }
}
