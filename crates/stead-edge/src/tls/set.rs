//! All certificates that are in force, found by the name that a visitor asks for. Built beside the visitors, and
//! swapped in as a whole.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use stead_model::certificates::{
    CertificateFiles, CertificateProblem, CertificateReport, CertificateTable,
};

use super::pair::{self, Pair, Stamp};

/// Fewer than this many files are read by one thread.
const FEW: usize = 64;

/// Certificates in force.
#[derive(Debug, Default)]
pub(crate) struct Set {
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By what follows the star and the dot of `*.example.com`.
    wildcards: HashMap<Box<str>, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
    /// By host, where there is no other.
    until: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By host, for authorities that check it.
    challenges: HashMap<Box<str>, Arc<CertifiedKey>>,
    table: CertificateTable,
    /// In the table's order: `files`, `until`, the default.
    loaded: Vec<Loaded>,
    failed_challenges: Vec<CertificateProblem>,
}

/// One pair of files.
#[derive(Clone, Debug)]
struct Loaded {
    stamps: [Stamp; 2],
    pair: Option<Arc<Pair>>,
    /// Why `pair` is not what the files hold now.
    why: Option<String>,
}

impl Set {
    /// The certificates of a table. Files that have not changed since `former` are not read again, and of
    /// those that are broken now the former certificates stay in force.
    pub(crate) fn new(table: CertificateTable, former: &Set) -> Self {
        let known: HashMap<&CertificateFiles, &Loaded> =
            former.files().zip(&former.loaded).collect();
        let files = table.files.iter().chain(&table.until);
        let files: Vec<&CertificateFiles> = files.chain(&table.default).collect();
        let loaded = load_all(&files, &known);
        let mut set = Self {
            loaded,
            ..Self::default()
        };
        for challenge in &table.challenges {
            let host: Box<str> = challenge.host.to_ascii_lowercase().into();
            let (chain, key) = (&challenge.chain_pem, &challenge.key_pem);
            match pair::parse_challenge(chain.as_bytes(), key.as_bytes()) {
                Ok(certified) => drop(set.challenges.insert(host, certified)),
                Err(_) => set.failed_challenges.push(CertificateProblem {
                    subject: challenge.host.clone(),
                    why: "the certificate that the authority is to be shown is broken".to_owned(),
                    serves: false,
                }),
            }
        }
        let mut best: HashMap<&str, &Pair> = HashMap::new();
        for pair in set.loaded[..table.files.len()]
            .iter()
            .filter_map(|loaded| loaded.pair.as_deref())
        {
            for name in &pair.names {
                let shown = best.entry(name).or_insert(pair);
                if shown.not_after < pair.not_after {
                    *shown = pair;
                }
            }
        }
        for (name, pair) in best {
            let certified = Arc::clone(&pair.certified);
            match name.strip_prefix("*.") {
                Some(parent) => set.wildcards.insert(parent.into(), certified),
                None => set.exact.insert(name.into(), certified),
            };
        }
        let until = set.loaded[table.files.len()..][..table.until.len()].iter();
        for pair in until.filter_map(|loaded| loaded.pair.as_deref()) {
            for name in &pair.names {
                let certified = Arc::clone(&pair.certified);
                set.until.insert(name.as_str().into(), certified);
            }
        }
        if table.default.is_some() {
            let pair = set.loaded.last().and_then(|loaded| loaded.pair.as_ref());
            set.default = pair.map(|pair| Arc::clone(&pair.certified));
        }
        set.table = table;
        set
    }

    fn files(&self) -> impl Iterator<Item = &CertificateFiles> {
        let files = self.table.files.iter().chain(&self.table.until);
        files.chain(&self.table.default)
    }

    /// The table that these are of.
    pub(crate) fn table(&self) -> &CertificateTable {
        &self.table
    }

    /// Any of the files has changed since it was read.
    pub(crate) fn is_outdated(&self) -> bool {
        self.files()
            .zip(&self.loaded)
            .any(|(files, loaded)| stamps(files) != loaded.stamps)
    }

    /// What whoever asks for `host`, in lower case, is shown.
    pub(crate) fn find(&self, host: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        host.and_then(|host| self.named(host).or_else(|| self.until.get(host)))
            .or(self.default.as_ref())
    }

    /// A certificate that names `host`, in lower case.
    pub(crate) fn named(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        self.exact.get(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            self.wildcards.get(parent)
        })
    }

    /// What an authority that checks `host` is shown.
    pub(crate) fn challenge(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        self.challenges.get(host)
    }

    /// When each certificate ends, seconds since 1970, by its first host: of several, the one that lasts longest.
    pub(crate) fn ends(&self) -> BTreeMap<String, i64> {
        let mut ends = BTreeMap::new();
        let own = self.loaded[..self.table.files.len().min(self.loaded.len())].iter();
        for pair in own.filter_map(|one| one.pair.as_deref()) {
            if let Some(host) = pair.names.first() {
                let end = ends.entry(host.clone()).or_insert(pair.not_after);
                *end = pair.not_after.max(*end);
            }
        }
        ends
    }

    /// How it went; `now` is in seconds since 1970.
    pub(crate) fn report(&self, now: i64) -> CertificateReport {
        let mut problems = self.failed_challenges.clone();
        for (files, loaded) in self.files().zip(&self.loaded) {
            let why = match (&loaded.why, &loaded.pair) {
                (Some(why), _) => Some(why.clone()),
                (None, Some(pair)) if pair.not_after < now => Some("it has expired".to_owned()),
                (None, Some(pair)) if pair.not_before > now => {
                    Some("it is not valid yet; is the clock of this host right?".to_owned())
                }
                (None, Some(pair)) if pair.names.is_empty() && self.table.files.contains(files) => {
                    Some("it names no host (subjectAltName), so nobody is shown it".to_owned())
                }
                (None, _) => None,
            };
            if let Some(why) = why {
                problems.push(CertificateProblem {
                    subject: files.chain.display().to_string(),
                    why,
                    serves: loaded.pair.is_some(),
                });
            }
        }
        CertificateReport {
            certificates: self
                .loaded
                .iter()
                .filter(|loaded| loaded.pair.is_some())
                .count(),
            problems,
        }
    }
}

fn stamps(files: &CertificateFiles) -> [Stamp; 2] {
    let of = |path: &Path| Stamp::of(path);
    [of(&files.chain), of(&files.key)]
}

/// Read files, with all processors when there are many: checking that a key is sound takes its time.
fn load_all(
    files: &[&CertificateFiles],
    known: &HashMap<&CertificateFiles, &Loaded>,
) -> Vec<Loaded> {
    let load_some = |files: &[&CertificateFiles]| -> Vec<Loaded> {
        files
            .iter()
            .map(|files| load(files, known.get(files).copied()))
            .collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = files.len().div_ceil(threads).max(FEW);
    if files.len() <= share {
        return load_some(files);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = files
            .chunks(share)
            .map(|part| (part, scope.spawn(|| load_some(part))))
            .collect();
        parts
            .into_iter()
            // A thread that failed is made up for here.
            .flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| load_some(part)))
            .collect()
    })
}

fn load(files: &CertificateFiles, former: Option<&Loaded>) -> Loaded {
    // Before they are read: what changes meanwhile is seen the next time.
    let stamps = stamps(files);
    if let Some(former) = former.filter(|former| former.stamps == stamps) {
        return former.clone();
    }
    match pair::read(files) {
        Ok(pair) => Loaded {
            stamps,
            pair: Some(Arc::new(pair)),
            why: None,
        },
        Err(why) => Loaded {
            stamps,
            pair: former.and_then(|former| former.pair.clone()),
            why: Some(why),
        },
    }
}
