use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::route53::Route53;
use super::*;

/// A request as the server got it.
#[derive(Clone, Debug, Default)]
struct Request {
    method: String,
    /// With the query.
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    fn value(&self, name: &str) -> String {
        let pair = self.query().split('&').find_map(|pair| {
            let (own, value) = pair.split_once('=')?;
            (own == name).then_some(value)
        });
        pair.unwrap_or_default().replace("%2A", "*")
    }
}

/// A real HTTP server on a free port.
struct Server {
    endpoint: String,
    host: String,
}

impl Server {
    fn start(answer: impl Fn(&Request) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut request = Request::default();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let mut words = line.split(' ');
                request.method = words.next().unwrap().to_owned();
                request.target = words.next().unwrap_or_default().to_owned();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.trim_end().split_once(": ") else {
                        break;
                    };
                    request
                        .headers
                        .push((name.to_lowercase(), value.to_owned()));
                }
                let length = request.header("content-length").parse().unwrap_or(0);
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                request.body = String::from_utf8(body).unwrap();
                let (status, body) = answer(&request);
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
            }
        });
        Self {
            endpoint: format!("http://{host}"),
            host,
        }
    }
}

/// A zone `example.com` and its TXT records, as every provider below keeps them.
type Zone = Arc<Mutex<Vec<(String, String)>>>;

const NAME: &str = "_acme-challenge.www.example.com";

/// Two values at one name, as a host and its wildcard need them; another's record stays.
fn exercise(records: &Records, zone: &Zone) {
    let others = (NAME.to_owned(), "another's".to_owned());
    zone.lock().unwrap().push(others.clone());
    records.present(NAME, "one-_1").unwrap();
    records.present(NAME, "two").unwrap();
    // A second time changes nothing.
    records.present(NAME, "two").unwrap();
    let mut values: Vec<String> = zone
        .lock()
        .unwrap()
        .iter()
        .map(|(_, value)| value.clone())
        .collect();
    values.sort();
    assert_eq!(values, ["another's", "one-_1", "two"]);
    records.cleanup(NAME, "one-_1").unwrap();
    records.cleanup(NAME, "two").unwrap();
    records.cleanup(NAME, "two").unwrap();
    assert_eq!(*zone.lock().unwrap(), [others]);
    let why = records
        .present("_acme-challenge.example.net", "x")
        .unwrap_err();
    assert!(why.contains("example.net"), "{why}");
}

#[test]
fn records_are_made_and_removed_at_cloudflare() {
    let zone = Zone::default();
    let kept = Arc::clone(&zone);
    let server = Server::start(move |request| {
        let mut zone = kept.lock().unwrap();
        let good = |result: Value| {
            (
                200,
                json!({ "success": true, "errors": [], "result": result }).to_string(),
            )
        };
        if request.header("authorization") != "Bearer secret-token" {
            let error = json!({ "success": false, "errors": [{ "code": 9109, "message": "Invalid access token" }] });
            return (403, error.to_string());
        }
        match (request.method.as_str(), request.path()) {
            ("GET", "/zones") => good(match request.value("name").as_str() {
                "example.com" => json!([{ "id": "z1", "name": "example.com" }]),
                _ => json!([]),
            }),
            ("GET", "/zones/z1/dns_records") => {
                assert_eq!(request.value("type"), "TXT");
                let records = zone.iter().enumerate();
                let records: Vec<Value> = records
                    .filter(|(_, (name, _))| *name == request.value("name"))
                    .map(|(at, (_, value))| json!({ "id": at.to_string(), "content": format!("\"{value}\"") }))
                    .collect();
                good(json!(records))
            }
            ("POST", "/zones/z1/dns_records") => {
                let record: Value = serde_json::from_str(&request.body).unwrap();
                assert_eq!(record["type"], "TXT");
                let text = |key: &str| record[key].as_str().unwrap().trim_matches('"').to_owned();
                zone.push((text("name"), text("content")));
                good(json!({ "id": "new" }))
            }
            ("DELETE", path) => {
                let at: usize = path.rsplit('/').next().unwrap().parse().unwrap();
                zone.remove(at);
                good(json!({ "id": at.to_string() }))
            }
            other => panic!("{other:?}"),
        }
    });
    let cloudflare = |token: &str| {
        Records::Cloudflare(cloudflare::Cloudflare {
            agent: http::agent(None).unwrap(),
            endpoint: server.endpoint.clone(),
            token: token.to_owned(),
        })
    };
    exercise(&cloudflare("secret-token"), &zone);
    let why = cloudflare("wrong-token").present(NAME, "x").unwrap_err();
    assert!(why.contains("Invalid access token (9109)"), "{why}");
    assert!(!why.contains("wrong-token"));
}

#[test]
fn records_are_made_and_removed_at_alibaba_cloud() {
    let zone = Zone::default();
    let kept = Arc::clone(&zone);
    let nonces = Mutex::new(Vec::new());
    let server = Server::start(move |request| {
        let mut zone = kept.lock().unwrap();
        assert_eq!((request.method.as_str(), request.path()), ("POST", "/"));
        let action = request.header("x-acs-action").to_owned();
        // What is signed is what came.
        let signed = alidns::Signed {
            host: request.header("host"),
            action: &action,
            version: "2015-01-09",
            query: request.query(),
            time: request.header("x-acs-date").parse().unwrap(),
            nonce: request.header("x-acs-signature-nonce"),
        };
        let nonce = signed.nonce.to_owned();
        assert!(
            !nonces.lock().unwrap().contains(&nonce),
            "a nonce came twice"
        );
        nonces.lock().unwrap().push(nonce);
        if request.header("authorization") != signed.authorization("key-id", "key-secret") {
            let error = json!({ "Code": "SignatureDoesNotMatch", "Message": "The signature does not match." });
            return (400, error.to_string());
        }
        let answer = match action.as_str() {
            "DescribeDomains" => {
                assert_eq!(request.value("SearchMode"), "EXACT");
                let known = request.value("KeyWord") == "example.com";
                let domains = if known {
                    json!([{ "DomainName": "example.com" }])
                } else {
                    json!([])
                };
                json!({ "Domains": { "Domain": domains } })
            }
            "AddDomainRecord" => {
                let name = format!("{}.{}", request.value("RR"), request.value("DomainName"));
                let record = (name, request.value("Value"));
                if zone.contains(&record) {
                    let error = json!({ "Code": "DomainRecordDuplicate", "Message": "The DNS record already exists." });
                    return (400, error.to_string());
                }
                zone.push(record);
                json!({ "RecordId": "new" })
            }
            "DescribeSubDomainRecords" => {
                let records = zone.iter().enumerate();
                let records: Vec<Value> = records
                    .filter(|(_, (name, _))| *name == request.value("SubDomain"))
                    .map(|(at, (_, value))| json!({ "RecordId": at.to_string(), "Value": value }))
                    .collect();
                json!({ "DomainRecords": { "Record": records } })
            }
            "DeleteDomainRecord" => {
                zone.remove(request.value("RecordId").parse::<usize>().unwrap());
                json!({})
            }
            other => panic!("{other}"),
        };
        (200, answer.to_string())
    });
    assert!(!server.host.is_empty());
    let alidns = |secret: &str| {
        Records::Alidns(alidns::Alidns {
            agent: http::agent(None).unwrap(),
            endpoint: server.endpoint.clone(),
            key_id: "key-id".to_owned(),
            key_secret: secret.to_owned(),
        })
    };
    exercise(&alidns("key-secret"), &zone);
    let why = alidns("wrong-secret").present(NAME, "x").unwrap_err();
    assert!(why.contains("SignatureDoesNotMatch"), "{why}");
    assert!(!why.contains("wrong-secret"));
}

#[test]
fn records_are_made_and_removed_at_route_53() {
    let zone = Zone::default();
    let kept = Arc::clone(&zone);
    let server = Server::start(move |request| {
        let mut zone = kept.lock().unwrap();
        let signed = route53::Signed {
            method: &request.method,
            host: request.header("host"),
            path: request.path(),
            query: request.query(),
            body: &request.body,
            session: Some("session"),
            region: "us-east-1",
            service: "route53",
            time: jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", request.header("x-amz-date"))
                .unwrap()
                .to_zoned(jiff::tz::TimeZone::UTC)
                .unwrap()
                .timestamp(),
        };
        if request.header("authorization") != signed.authorization("key-id", "key-secret") {
            return (403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match</Message></Error></ErrorResponse>".into());
        }
        let answer = match (request.method.as_str(), request.path()) {
            ("GET", "/2013-04-01/hostedzonesbyname") => match request.value("dnsname").as_str() {
                // As the real one: the zones from that name on, in its order; and a private one of the same name.
                "www.example.com" | "example.com" => "<ListHostedZonesByNameResponse><HostedZones><HostedZone><Id>/hostedzone/Z0</Id><Name>example.com.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone><HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones></ListHostedZonesByNameResponse>".to_owned(),
                _ => "<ListHostedZonesByNameResponse><HostedZones></HostedZones></ListHostedZonesByNameResponse>".to_owned(),
            },
            ("GET", "/2013-04-01/hostedzone/Z1/rrset") => {
                let values: String = zone
                    .iter()
                    .map(|(_, value)| format!("<ResourceRecord><Value>\"{value}\"</Value></ResourceRecord>"))
                    .collect();
                match values.is_empty() {
                    true => "<R><ResourceRecordSets></ResourceRecordSets></R>".to_owned(),
                    false => format!("<R><ResourceRecordSets><ResourceRecordSet><Name>{NAME}.</Name><Type>TXT</Type><TTL>60</TTL><ResourceRecords>{values}</ResourceRecords></ResourceRecordSet></ResourceRecordSets></R>"),
                }
            }
            ("POST", "/2013-04-01/hostedzone/Z1/rrset") => {
                let values = request.body.split("<Value>\"").skip(1);
                let values: Vec<(String, String)> = values
                    .map(|rest| (NAME.to_owned(), rest.split('"').next().unwrap().to_owned()))
                    .collect();
                assert!(request.body.contains(&format!("<Name>{NAME}</Name><Type>TXT</Type><TTL>60</TTL>")));
                if request.body.contains("<Action>UPSERT</Action>") {
                    *zone = values;
                } else {
                    assert!(request.body.contains("<Action>DELETE</Action>"));
                    // It must name the whole set.
                    assert_eq!(*zone, values);
                    zone.clear();
                }
                "<R><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></R>".to_owned()
            }
            ("GET", "/2013-04-01/change/C1") => "<R><ChangeInfo><Id>/change/C1</Id><Status>INSYNC</Status></ChangeInfo></R>".to_owned(),
            other => panic!("{other:?}"),
        };
        (200, answer)
    });
    let route53 = |secret: &str| {
        Records::Route53(Route53 {
            agent: http::agent(None).unwrap(),
            endpoint: server.endpoint.clone(),
            key_id: "key-id".to_owned(),
            key_secret: secret.to_owned(),
            session: Some("session".to_owned()),
        })
    };
    exercise(&route53("key-secret"), &zone);
    // The last value takes the set with it.
    zone.lock().unwrap().clear();
    route53("key-secret").present(NAME, "only").unwrap();
    route53("key-secret").cleanup(NAME, "only").unwrap();
    assert!(zone.lock().unwrap().is_empty());
    let why = route53("wrong-secret").present(NAME, "x").unwrap_err();
    assert!(why.contains("The signature does not match"), "{why}");
}

/// The example of AWS's documentation of Signature Version 4 (`get-vanilla` of its test suite).
#[test]
fn an_aws_signature_is_as_documented() {
    let signed = route53::Signed {
        method: "GET",
        host: "example.amazonaws.com",
        path: "/",
        query: "",
        body: "",
        session: None,
        region: "us-east-1",
        service: "service",
        time: "2015-08-30T12:36:00Z".parse().unwrap(),
    };
    let authorization =
        signed.authorization("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert_eq!(
        authorization,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

/// The example of Alibaba Cloud's documentation of request signatures, version 3.
#[test]
fn an_alibaba_signature_is_as_documented() {
    let query = query(&[
        ("RegionId", "cn-shanghai"),
        (
            "ImageId",
            "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
        ),
    ]);
    let signed = alidns::Signed {
        host: "ecs.cn-shanghai.aliyuncs.com",
        action: "RunInstances",
        version: "2014-05-26",
        query: &query,
        time: "2023-10-26T10:22:32Z".parse().unwrap(),
        nonce: "3156853299f313e23d1673dc12e1703d",
    };
    let authorization = signed.authorization("YourAccessKeyId", "YourAccessKeySecret");
    assert!(
        authorization.ends_with(
            "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        ),
        "{authorization}"
    );
}

#[test]
fn a_program_is_run_without_a_shell_and_says_why_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("records");
    let log = folder.path().join("log");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{}'\n[ \"$3\" != fails.example.com ] || {{ echo first >&2; echo 'no such zone' >&2; exit 3; }}\n",
        log.display()
    );
    std::fs::write(&program, script).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let line = [program.display().to_string(), "--zone; rm x".to_owned()];
    let records = Records::Program(program_of(&line));
    records
        .present("_acme-challenge.a.example.com", "value")
        .unwrap();
    records
        .cleanup("_acme-challenge.a.example.com", "value")
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "--zone; rm x\npresent\n_acme-challenge.a.example.com\nvalue\n--zone; rm x\ncleanup\n_acme-challenge.a.example.com\nvalue\n"
    );
    let why = records.present("fails.example.com", "value").unwrap_err();
    assert!(
        why.ends_with("ended with exit status: 3: no such zone"),
        "{why}"
    );
    let missing = Records::Program(program_of(&["/no/such/program".to_owned()]));
    assert!(
        missing
            .present("a", "b")
            .unwrap_err()
            .contains("cannot be run")
    );
}

#[test]
fn every_name_above_a_record_may_be_its_zone() {
    let zones: Vec<&str> = zones("_acme-challenge.a.example.co.uk").collect();
    assert_eq!(
        zones,
        [
            "_acme-challenge.a.example.co.uk",
            "a.example.co.uk",
            "example.co.uk",
            "co.uk"
        ]
    );
}

fn program_of(line: &[String]) -> program::Program {
    program::Program::of(&CertificateWish {
        acme: stead_model::manifest::Acme {
            dns_program: line.to_vec(),
            ..Default::default()
        },
        ..Default::default()
    })
}
