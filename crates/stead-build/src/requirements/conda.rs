//! environment.yml: the part that can be had from the Python package index.
//!
//! Most of what conda environments of web apps list are Python packages with the same name on
//! PyPI, and C libraries that PyPI's wheels bring along. Programs and other languages are
//! refused by name.

use super::normalized;

/// conda's name → PyPI's name, where they differ.
const RENAMED: &[(&str, &str)] = &[
    ("pytorch", "torch"),
    ("pytorch-cpu", "torch"),
    ("pytables", "tables"),
    ("opencv", "opencv-python-headless"),
    ("py-opencv", "opencv-python-headless"),
    ("matplotlib-base", "matplotlib"),
    ("msgpack-python", "msgpack"),
    ("ruamel-yaml", "ruamel.yaml"),
    ("dask-core", "dask"),
    ("seaborn-base", "seaborn"),
    ("bokeh-core", "bokeh"),
    ("distributed-core", "distributed"),
    ("numpy-base", "numpy"),
    ("psycopg2", "psycopg2-binary"),
    ("tensorflow-base", "tensorflow"),
    ("tensorflow-mkl", "tensorflow"),
    ("python-graphviz", "graphviz"),
    ("pyqt", "PyQt5"),
    ("py-xgboost", "xgboost"),
    ("python-flatbuffers", "flatbuffers"),
    ("typing-extensions", "typing_extensions"),
    ("pysocks", "PySocks"),
    ("python-lmdb", "lmdb"),
    ("uvicorn-standard", "uvicorn[standard]"),
    ("importlib-metadata", "importlib_metadata"),
    ("pillow-simd", "pillow"),
    ("faiss", "faiss-cpu"),
    ("redis-py", "redis"),
];

/// Libraries that wheels carry inside them, and conda's own parts: left out.
const BROUGHT_ALONG: &[&str] = &[
    "python",
    "python-abi",
    "conda",
    "mamba",
    "anaconda",
    "openssl",
    "zlib",
    "zstd",
    "xz",
    "tk",
    "sqlite",
    "readline",
    "ncurses",
    "ca-certificates",
    "bzip2",
    "freetype",
    "jpeg",
    "lcms2",
    "lz4-c",
    "icu",
    "intel-openmp",
    "mkl",
    "mkl-service",
    "mkl-fft",
    "mkl-random",
    "blas",
    "openblas",
    "openjpeg",
    "giflib",
    "yaml",
    "snappy",
    "brotli",
    "brotli-bin",
    "c-ares",
    "krb5",
    "expat",
    "gettext",
    "glib",
    "fontconfig",
    "pixman",
    "hdf5",
    "cudatoolkit",
    "tbb",
    "vc",
    "vs2015-runtime",
    "wincertstore",
    "pcre",
    "pcre2",
    "tzdata",
    "nspr",
    "nss",
    "dbus",
    "gstreamer",
    "gst-plugins-base",
    "qt",
    "qt-main",
    "qt-webengine",
    "gmp",
    "mpfr",
    "mpc",
    "jbig",
    "lerc",
    "zfp",
    "blosc",
    "aom",
    "dav1d",
    "svt-av1",
    "charls",
    "cfitsio",
    "imagecodecs-lite",
    "pthread-stubs",
    "geos",
    "proj",
    "unixodbc",
    "keyutils",
    "gflags",
    "glog",
    "re2",
    "orc",
    "utf8proc",
    "arrow-cpp",
    "boost-cpp",
    "grpc-cpp",
    "aws-c-common",
    "aws-sdk-cpp",
    "winpty",
];

/// Programs and languages that no Python package brings. The second is Debian's name.
const PROGRAMS: &[(&str, &str)] = &[
    ("nodejs", "nodejs"),
    ("gdal", "gdal-bin libgdal-dev"),
    ("ffmpeg", "ffmpeg"),
    ("graphviz", "graphviz"),
    ("poppler", "poppler-utils"),
    ("tesseract", "tesseract-ocr"),
    ("imagemagick", "imagemagick"),
    ("ghostscript", "ghostscript"),
    ("git", "git"),
    ("redis", "redis-server"),
    ("redis-server", "redis-server"),
    ("postgresql", "postgresql"),
    ("mysql", "default-mysql-server"),
    ("mongodb", "mongodb"),
    ("nginx", "nginx"),
    ("openjdk", "default-jre"),
    ("r-base", "r-base"),
    ("perl", "perl"),
    ("make", "make"),
    ("cmake", "cmake"),
    ("gcc", "build-essential"),
    ("gxx", "build-essential"),
    ("gcc-linux-64", "build-essential"),
    ("gxx-linux-64", "build-essential"),
    ("compilers", "build-essential"),
    ("pandoc", "pandoc"),
    ("wkhtmltopdf", "wkhtmltopdf"),
    ("geckodriver", "firefox-esr"),
    ("firefox", "firefox-esr"),
    ("samtools", "samtools"),
    ("bcftools", "bcftools"),
    ("bedtools", "bedtools"),
    ("blast", "ncbi-blast+"),
    ("bwa", "bwa"),
    ("rdkit", "python3-rdkit"),
    ("openbabel", "openbabel"),
];

/// What an environment.yml comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Converted {
    /// As in a requirements.txt.
    pub(super) text: String,
    /// What cannot be had from PyPI: conda's name and the Debian package that has it, if known.
    pub(super) refused: Vec<(String, Option<String>)>,
}

/// Convert the `dependencies` of an environment.yml.
pub(super) fn convert(yaml: &str) -> Converted {
    let mut converted = Converted::default();
    for item in items(yaml) {
        match item {
            Item::Pip(line) => {
                converted.text.push_str(&line);
                converted.text.push('\n');
            }
            Item::Conda(spec) => {
                // `conda-forge::flask=2.0`
                let spec = spec.rsplit("::").next().unwrap_or(&spec).trim();
                let end = spec
                    .find(['=', '<', '>', '!', '~', ' ', '['])
                    .unwrap_or(spec.len());
                let (name, version) = spec.split_at(end);
                one(name, version, &mut converted);
            }
        }
    }
    converted
}

fn one(name: &str, version: &str, converted: &mut Converted) {
    let plain = normalized(name);
    let library = plain.starts_with("lib") && plain != "libsass"
        || plain.starts_with('-')
        || plain.starts_with("xorg-")
        || plain.starts_with("ld-impl");
    if library
        || BROUGHT_ALONG.contains(&plain.as_str())
        || matches!(plain.as_str(), "pip" | "wheel")
    {
        return;
    }
    if let Some((_, debian)) = PROGRAMS.iter().find(|(program, _)| *program == plain) {
        converted
            .refused
            .push((name.to_owned(), Some((*debian).to_owned())));
        return;
    }
    if plain.starts_with("r-") || plain.starts_with("bioconductor-") || plain.starts_with("perl-") {
        converted.refused.push((name.to_owned(), None));
        return;
    }
    let name = RENAMED
        .iter()
        .find(|(conda, _)| *conda == plain)
        .map_or(name, |(_, pypi)| *pypi);
    converted
        .text
        .push_str(&format!("{name}{}\n", pep440(version)));
}

/// conda's version as PyPI's: `=1.2` is a prefix, `==1.2` exact, `=1.2=py39_0` has a build string.
fn pep440(version: &str) -> String {
    let version = version.trim().trim_matches(['"', '\'']).replace(' ', "");
    if let Some(exact) = version.strip_prefix("==") {
        return format!("=={exact}");
    }
    if let Some(rest) = version.strip_prefix('=') {
        return match rest.split_once('=') {
            Some((exact, _build)) => format!("=={exact}"),
            None if rest.is_empty() || rest == "*" => String::new(),
            None if rest.ends_with(".*") => format!("=={rest}"),
            None => format!("=={}.*", rest.trim_end_matches('*')),
        };
    }
    match version.chars().next() {
        Some(digit) if digit.is_ascii_digit() => format!("=={version}"),
        _ => version,
    }
}

enum Item {
    Conda(String),
    Pip(String),
}

/// The entries of `dependencies:` and of the `pip:` list in it. Only this much YAML is understood:
/// block lists of plain or quoted words, which is what conda writes.
fn items(yaml: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut inside = false;
    let mut pip_indent = None;
    for line in yaml.lines() {
        let content = line.split(" #").next().unwrap_or(line).trim_end();
        let bare = content.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let indent = content.len() - bare.len();
        if indent == 0 && !bare.starts_with('-') {
            inside = bare.starts_with("dependencies:");
            pip_indent = None;
            // `dependencies: [a, b]`
            if let Some(list) = bare
                .strip_prefix("dependencies:")
                .map(str::trim)
                .and_then(|rest| rest.strip_prefix('['))
            {
                let list = list.trim_end_matches(']').split(',');
                items.extend(list.map(|name| Item::Conda(unquoted(name).to_owned())));
            }
            continue;
        }
        let Some(entry) = bare.strip_prefix('-').filter(|_| inside) else {
            continue;
        };
        let entry = unquoted(entry);
        if pip_indent.is_some_and(|pip| indent <= pip) {
            pip_indent = None;
        }
        if entry == "pip:" {
            pip_indent = Some(indent);
        } else if pip_indent.is_some() {
            items.push(Item::Pip(entry.to_owned()));
        } else {
            items.push(Item::Conda(entry.to_owned()));
        }
    }
    items
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_packages_are_taken_libraries_left_out_and_programs_refused() {
        let converted = convert(
            "name: site\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.9.7=h12debd9_1\n  - conda-forge::flask=2.0\n  \
             - numpy=1.21.5=py39h6c91a56_3 # fast\n  - pandas>=1.3\n  - 'scipy 1.7.*'\n  - pytorch\n  - libgcc-ng=11\n  - openssl\n  \
             - r-ggplot2\n  - ffmpeg\n  - pip\n  - pip:\n      - gunicorn==20.1.0\n      - -r more.txt\n  - redis-py\nprefix: /x\n",
        );
        assert_eq!(
            converted.text,
            "flask==2.0.*\nnumpy==1.21.5\npandas>=1.3\nscipy==1.7.*\ntorch\ngunicorn==20.1.0\n-r more.txt\nredis\n"
        );
        assert_eq!(
            converted.refused,
            [
                ("r-ggplot2".into(), None),
                ("ffmpeg".into(), Some("ffmpeg".into()))
            ]
        );
    }
}
