//! Which files a `cache` of a route is about.

/// `*.woff2` is about a file's name, `/assets/*` about its whole path; `*` is any text, slashes too.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<[u8]>,
    whole: bool,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.as_bytes().into(),
            whole: text.starts_with('/'),
        }
    }

    /// Whether it is about this clean path. The time that it takes grows with the path's length times the pattern's, at
    /// most.
    pub(crate) fn fits(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        fits(&self.text, if self.whole { path } else { name })
    }
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and what of the text it was tried up to.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(byte), _) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            (_, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, path, fits) in [
            ("*.woff2", "/fonts/a.woff2", true),
            ("*.woff2", "/a.woff", false),
            ("*.woff2", "/.woff2", true),
            ("a.css", "/x/a.css", true),
            ("a.css", "/x/ba.css", false),
            ("/assets/*", "/assets/x/y.js", true),
            ("/assets/*", "/assets/", true),
            ("/assets/*", "/x/assets/y.js", false),
            ("/assets/*.js", "/assets/x/y.js", true),
            ("/*/img/*.png", "/a/b/img/c.png", true),
            ("/*/img/*.png", "/img/c.png", false),
            ("*", "/anything", true),
            ("a*b*c", "/axbxbxc", true),
            ("a*b*c", "/axbxbx", false),
        ] {
            let got = Pattern::new(pattern).fits(path.as_bytes());
            assert_eq!(got, fits, "{pattern} {path}");
        }
        let long = [b"/".as_slice(), &[b'a'; 16_000]].concat();
        assert!(!Pattern::new("*a*a*a*a*b").fits(&long));
    }
}
