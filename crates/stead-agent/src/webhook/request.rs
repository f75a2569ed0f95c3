//! One request of the edge. The edge has written it, so it is well formed; its bytes come from anybody.

use std::io::Read;

use stead_model::webhook::LARGEST_BODY;

/// The longest head, bytes.
const LONGEST_HEAD: usize = 64 << 10;

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    target: String,
    /// In lower case, in their order.
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Read it to its end. The error is a status, and why.
    pub(super) fn read(stream: &mut impl Read) -> Result<Self, (u16, &'static str)> {
        const CUT: (u16, &str) = (400, "the request was cut off");
        const NONE: (u16, &str) = (400, "that is no request");
        let mut bytes = Vec::new();
        let mut buffer = [0; 8192];
        let end = loop {
            let from = bytes.len().saturating_sub(3);
            let count = stream.read(&mut buffer).map_err(|_| CUT)?;
            if count == 0 {
                return Err(CUT);
            }
            bytes.extend_from_slice(&buffer[..count]);
            if let Some(at) = bytes[from..]
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break from + at;
            }
            if bytes.len() > LONGEST_HEAD {
                return Err((413, "the head is too long"));
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| NONE)?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (first.next(), first.next(), first.next(), first.next())
        else {
            return Err(NONE);
        };
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(NONE)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: bytes.split_off(end + 4),
        };
        if request.header("transfer-encoding").is_some() {
            return Err((411, "a delivery says how long it is"));
        }
        let length: u64 = match request.header("content-length") {
            None => 0,
            Some(length) => length.parse().map_err(|_| NONE)?,
        };
        if length > LARGEST_BODY {
            return Err((413, "the body is too large"));
        }
        let have = request.body.len() as u64;
        if have > length {
            return Err(NONE);
        }
        let mut rest = stream.take(length - have);
        rest.read_to_end(&mut request.body).map_err(|_| CUT)?;
        match request.body.len() as u64 == length {
            true => Ok(request),
            false => Err(CUT),
        }
    }

    /// Without a query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The only one of this name. Two that differ are none.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        let first = found.next()?;
        found.next().is_none().then_some(first.1.as_str())
    }
}
