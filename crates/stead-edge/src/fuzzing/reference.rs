//! A second reading of requests, to hold the edge's own against: written from RFC 9112 alone,
//! whole lines of text at a time, as slow and as plain as it can be. It shares no code with the parser in
//! use. Tests also read with it what the edge writes to an upstream.

/// What stands at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A whole request.
    Message(Message),
    /// The beginning of one.
    Partial,
    /// Nothing that RFC 9112 would call a request, or one whose length can be argued about.
    Invalid(&'static str),
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// As sent.
    pub method: String,
    /// As sent.
    pub target: String,
    /// The last digit of the version.
    pub minor: u8,
    /// Names as sent, values without the white space around them.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Without its framing.
    pub body: Vec<u8>,
    /// How many bytes head and body took.
    pub used: usize,
}

impl Message {
    /// Every value of that name.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        let same = |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        let fields = self.fields.iter().filter(same);
        fields.map(|field| field.1.as_slice()).collect()
    }
}

/// Read one request.
pub fn read(input: &[u8]) -> Reading {
    match message(input) {
        Ok(Some(message)) => Reading::Message(message),
        Ok(None) => Reading::Partial,
        Err(why) => Reading::Invalid(why),
    }
}

/// Requests that follow each other, and what comes after the last whole one.
pub fn read_all(input: &[u8]) -> (Vec<Message>, Reading) {
    let (mut messages, mut rest) = (Vec::new(), input);
    loop {
        match read(rest) {
            Reading::Message(message) => {
                rest = &rest[message.used..];
                messages.push(message);
            }
            other => return (messages, other),
        }
    }
}

type Result<T> = std::result::Result<T, &'static str>;

fn message(input: &[u8]) -> Result<Option<Message>> {
    let mut lines = Lines { input, at: 0 };
    // RFC 9112 section 2.2: empty lines before a request line are no part of it.
    let mut first = lines.next()?;
    while first == Some(b"") && lines.at <= 16 {
        first = lines.next()?;
    }
    let Some(first) = first else { return Ok(None) };
    let mut message = request_line(first)?;
    loop {
        match lines.next()? {
            None => return Ok(None),
            Some(b"") => break,
            Some(line) => message.fields.push(field(line)?),
        }
    }
    let hosts = message.values("host").len();
    if hosts > 1 || (hosts == 0 && message.minor > 0) {
        return Err("not one Host");
    }
    let body = match (
        message.values("transfer-encoding").as_slice(),
        message.values("content-length").as_slice(),
    ) {
        ([], []) => Some(Vec::new()),
        ([], [length]) => lines.take(decimal(length)?),
        ([coding], []) if message.minor > 0 && coding.eq_ignore_ascii_case(b"chunked") => {
            chunks(&mut lines)?
        }
        _ => return Err("its length can be argued about"),
    };
    Ok(body.map(|body| Message {
        body,
        used: lines.at,
        ..message
    }))
}

fn request_line(line: &[u8]) -> Result<Message> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts.as_slice() else {
        return Err("not three parts");
    };
    if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err("no method or no target");
    }
    let minor = match *version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        _ => return Err("no version"),
    };
    Ok(Message {
        method: String::from_utf8_lossy(method).into_owned(),
        target: String::from_utf8_lossy(target).into_owned(),
        minor,
        ..Message::default()
    })
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.ok_or("a line without a colon")?);
    let value = value[1..].trim_ascii();
    let fine = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 127);
    if !is_token(name) || !value.iter().all(fine) {
        return Err("a name or a value with a byte that is not allowed");
    }
    Ok((String::from_utf8_lossy(name).into_owned(), value.to_vec()))
}

fn chunks(lines: &mut Lines<'_>) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = lines.next()? else {
            return Ok(None);
        };
        let size = line.split(|byte| *byte == b';').next().unwrap_or(b"");
        if size.is_empty() || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err("no chunk size");
        }
        let text = std::str::from_utf8(size).unwrap_or("");
        let size = u64::from_str_radix(text, 16).map_err(|_| "a chunk beyond all measure")?;
        if size == 0 {
            break;
        }
        let Some(data) = lines.take(size) else {
            return Ok(None);
        };
        body.extend(data);
        match lines.input.get(lines.at..lines.at + 2) {
            None => return Ok(None),
            Some(b"\r\n") => lines.at += 2,
            Some(_) => return Err("a chunk that is longer than its size"),
        }
    }
    loop {
        match lines.next()? {
            None => return Ok(None),
            Some(b"") => return Ok(Some(body)),
            Some(line) => field(line).map(drop)?,
        }
    }
}

fn decimal(text: &[u8]) -> Result<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err("a length that is no number");
    }
    let text = std::str::from_utf8(text).unwrap_or("");
    text.parse().map_err(|_| "a length beyond all measure")
}

fn is_token(text: &[u8]) -> bool {
    let mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
}

/// Text line by line.
struct Lines<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its CR LF; an error when either stands alone in it.
    fn next(&mut self) -> Result<Option<&'a [u8]>> {
        let rest = &self.input[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line = rest[..end].strip_suffix(b"\r");
        let line = line.ok_or("a line feed alone")?;
        if line.contains(&b'\r') {
            return Err("a carriage return alone");
        }
        self.at += end + 1;
        Ok(Some(line))
    }

    /// So many bytes, once they are there.
    fn take(&mut self, length: u64) -> Option<Vec<u8>> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        let bytes = self.input.get(self.at..end)?.to_vec();
        self.at = end;
        Some(bytes)
    }
}
