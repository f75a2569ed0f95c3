use simple_dns::rdata::{A, AAAA, TXT};
use simple_dns::{Question, ResourceRecord};

use super::*;

/// An answer to the question in `asked`, with these records.
fn answer(asked: &[u8], records: Vec<RData<'static>>, rcode: RCODE, flags: PacketFlag) -> Vec<u8> {
    let asked = Packet::parse(asked).unwrap();
    let mut packet = Packet::new_reply(asked.id());
    packet.set_flags(PacketFlag::RESPONSE | flags);
    *packet.rcode_mut() = rcode;
    let name = asked.questions[0].qname.clone();
    packet.questions.push(Question::new(
        name.clone(),
        asked.questions[0].qtype,
        asked.questions[0].qclass,
        false,
    ));
    for rdata in records {
        let record = ResourceRecord::new(name.clone(), CLASS::IN, 60, rdata);
        packet.answers.push(record);
    }
    packet.build_bytes_vec().unwrap()
}

fn kind_of(asked: &[u8]) -> TYPE {
    match Packet::parse(asked).unwrap().questions[0].qtype {
        simple_dns::QTYPE::TYPE(kind) => kind,
        other => panic!("{other:?}"),
    }
}

/// A DNS server on a free port that answers so.
async fn server(answers: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + Clone + 'static) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = tokio::net::TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let over_tcp = answers.clone();
    tokio::spawn(async move {
        let mut question = vec![0; 512];
        while let Ok((length, peer)) = udp.recv_from(&mut question).await {
            let answer = answers(&question[..length]);
            let _ = udp.send_to(&answer, peer).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await.unwrap();
            // Over TCP nothing is cut off.
            let mut answer = over_tcp(&question);
            answer[2] &= !0x02;
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

fn addresses(asked: &[u8]) -> Vec<RData<'static>> {
    match kind_of(asked) {
        TYPE::A => vec![RData::A(A::from(Ipv4Addr::new(192, 0, 2, 7)))],
        TYPE::AAAA => vec![RData::AAAA(AAAA::from(Ipv6Addr::LOCALHOST))],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_host_has_addresses_of_both_kinds() {
    let plain =
        server(|asked| answer(asked, addresses(asked), RCODE::NoError, PacketFlag::empty()));
    let cut = server(|asked| {
        answer(
            asked,
            addresses(asked),
            RCODE::NoError,
            PacketFlag::TRUNCATION,
        )
    });
    for address in [plain.await, cut.await] {
        let found = Resolver::new(&[address]).addresses("www.example.com").await;
        let expected: Vec<IpAddr> = vec!["192.0.2.7".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(found, Ok(expected));
    }
}

#[tokio::test]
async fn no_name_no_address_and_no_answer_are_three_things() {
    let none = |rcode| move |asked: &[u8]| answer(asked, Vec::new(), rcode, PacketFlag::empty());
    let no_name = server(none(RCODE::NameError)).await;
    let found = Resolver::new(&[no_name]).addresses("a.example.com").await;
    assert_eq!(found, Err(Unknown::NoName));
    let no_address = server(none(RCODE::NoError)).await;
    let found = Resolver::new(&[no_address])
        .addresses("a.example.com")
        .await;
    assert_eq!(found, Ok(Vec::new()));
    let failing = server(none(RCODE::ServerFailure)).await;
    let found = Resolver::new(&[failing]).addresses("a.example.com").await;
    assert!(matches!(found, Err(Unknown::NoAnswer(_))), "{found:?}");
    // The next server is asked.
    let good = server(|asked| answer(asked, addresses(asked), RCODE::NoError, PacketFlag::empty()));
    let both = Resolver::new(&[failing, good.await]);
    assert_eq!(both.addresses("a.example.com").await.unwrap().len(), 2);
}

#[tokio::test]
async fn texts_come_whole() {
    let text = server(|asked| {
        let mut text = TXT::new();
        text.add_string("value").unwrap();
        answer(
            asked,
            vec![RData::TXT(text)],
            RCODE::NoError,
            PacketFlag::empty(),
        )
    });
    let records = ask(text.await, "_acme-challenge.example.com", TYPE::TXT, false).await;
    assert_eq!(records.unwrap().texts, ["value"]);
}

#[test]
fn whatever_comes_instead_of_an_answer_is_an_error() {
    let asked = question(7, "www.example.com", TYPE::A, true).unwrap();
    let good = answer(
        &asked,
        addresses(&asked),
        RCODE::NoError,
        PacketFlag::empty(),
    );
    assert!(read(&good, 7, "WWW.example.com.", TYPE::A).is_ok());
    assert!(read(&good, 8, "www.example.com", TYPE::A).is_err());
    assert!(read(&good, 7, "other.example.com", TYPE::A).is_err());
    assert!(read(&asked, 7, "www.example.com", TYPE::A).is_err());
    for length in 0..good.len() {
        let _ = read(&good[..length], 7, "www.example.com", TYPE::A);
        for flip in 0..8 {
            let mut wrong = good.clone();
            wrong[length] ^= 1 << flip;
            let _ = read(&wrong, 7, "www.example.com", TYPE::A);
        }
    }
}

#[test]
fn servers_are_read_from_resolv_conf() {
    let text = "# a\nsearch example.com\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n nameserver ::1 \nnameserver\n";
    let servers = of_resolv_conf(text);
    assert_eq!(servers.len(), 2);
    assert_eq!(servers[0], "192.0.2.1:53".parse().unwrap());
}
