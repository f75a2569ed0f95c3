//! Content negotiation between HTML and JSON (RFC 9110 §12.5.1).

/// How well a media range fits, and how much it is wanted.
#[derive(Clone, Copy, Default)]
struct Preference {
    /// 0: not mentioned, 1: `*/*`, 2: `type/*`, 3: named. The most specific range counts.
    specific: u8,
    /// 0 to 1,000.
    quality: u16,
    /// Position in the list; of two named and equally wanted, the first.
    position: usize,
}

impl Preference {
    fn consider(&mut self, specific: u8, quality: u16, position: usize) {
        let better = (specific, quality) > (self.specific, self.quality);
        if better && specific > 0 {
            *self = Preference {
                specific,
                quality,
                position,
            };
        }
    }
}

/// Whether an Accept header wants JSON rather than HTML. A tie between wildcards is HTML's.
pub(crate) fn prefers_json(accept: &[u8]) -> bool {
    let (mut html, mut json) = (Preference::default(), Preference::default());
    for (position, element) in accept.split(|&byte| byte == b',').enumerate() {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let quality = parts.find_map(quality).unwrap_or(1_000);
        let is = |name: &[u8]| range.eq_ignore_ascii_case(name);
        let fits_html = match () {
            () if is(b"text/html") || is(b"application/xhtml+xml") => 3,
            () if is(b"text/*") => 2,
            () => u8::from(is(b"*/*")),
        };
        let fits_json = match () {
            () if is(b"application/json") || ends_with_json(range) => 3,
            () if is(b"application/*") => 2,
            () => u8::from(is(b"*/*")),
        };
        html.consider(fits_html, quality, position);
        json.consider(fits_json, quality, position);
    }
    if html.quality != json.quality {
        return json.quality > html.quality;
    }
    json.quality > 0
        && match json.specific.cmp(&html.specific) {
            std::cmp::Ordering::Equal => json.specific == 3 && json.position < html.position,
            order => order.is_gt(),
        }
}

/// `application/problem+json`, `application/vnd.api+json` and the like.
fn ends_with_json(range: &[u8]) -> bool {
    let tail = range.len().checked_sub(b"+json".len());
    tail.is_some_and(|start| start > 0 && range[start..].eq_ignore_ascii_case(b"+json"))
}

/// `q=0.5` → 500. A weight that cannot be read counts as 0.
fn quality(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at(memchr::memchr(b'=', parameter)?);
    if !name.trim_ascii().eq_ignore_ascii_case(b"q") {
        return None;
    }
    Some(weight(value[1..].trim_ascii()).unwrap_or(0))
}

/// RFC 9110 §12.4.2: at most three digits after the point.
pub(crate) fn weight(value: &[u8]) -> Option<u16> {
    let (whole, digits) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        thousandths = thousandths * 10
            + match digits.get(place) {
                None => 0,
                Some(digit @ b'0'..=b'9') => u16::from(digit - b'0'),
                Some(_) => return None,
            };
    }
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(1_000),
        _ => None,
    }
}
