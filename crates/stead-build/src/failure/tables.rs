//! What is known of failing installations.

/// A library or program of the system that a build from source needs.
#[derive(Debug)]
pub(super) struct Missing {
    /// Any of these in the output.
    pub(super) signs: &'static [&'static str],
    /// In words: `MariaDB's client library`.
    pub(super) what: &'static str,
    /// Debian packages, separated by spaces. `python3-dev` becomes the one of the Python in use.
    pub(super) packages: &'static str,
    /// Another way, as the end of a hint.
    pub(super) instead: Option<&'static str>,
}

/// Code that a newer Python broke.
#[derive(Debug)]
pub(super) struct TooOld {
    pub(super) signs: &'static [&'static str],
    /// The first Python with which it fails.
    pub(super) since: (u32, u32),
    pub(super) why: &'static str,
}

/// A constraint for the builds of old packages, whose own build takes the newest of its tools.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remedy {
    /// Any of these in the output.
    pub(super) signs: &'static [&'static str],
    /// For `--build-constraints`.
    pub(crate) constraint: &'static str,
    /// For the progress line.
    pub(crate) why: &'static str,
}

/// Tried in turn, each once, before a failure is reported.
pub(super) const REMEDIES: &[Remedy] = &[
    Remedy {
        signs: &["use_2to3 is invalid"],
        constraint: "setuptools<58",
        why: "an old package uses `use_2to3`, which setuptools 58 took out",
    },
    Remedy {
        signs: &[
            "No module named 'pkg_resources'",
            "No module named 'setuptools.command.test'",
        ],
        constraint: "setuptools<72",
        why: "an old package is built with parts that newer setuptools took out",
    },
    Remedy {
        signs: &[
            "'build_ext' object has no attribute 'cython_sources'",
            "object has no attribute 'cython_sources'",
            "Cython.Compiler.Errors.CompileError",
        ],
        constraint: "cython<3",
        why: "an old package is built with Cython 0.29",
    },
];

const fn missing(
    signs: &'static [&'static str],
    what: &'static str,
    packages: &'static str,
) -> Missing {
    Missing {
        signs,
        what,
        packages,
        instead: None,
    }
}

/// The first that matches is reported; a missing compiler hides all others.
pub(super) const SYSTEM: &[Missing] = &[
    missing(
        &[
            "gcc: not found",
            "cc: not found",
            "command 'gcc' failed: No such file or directory",
            "command 'cc' failed: No such file or directory",
            "command 'x86_64-linux-gnu-gcc' failed: No such file",
            "command 'aarch64-linux-gnu-gcc' failed: No such file",
            "unable to execute 'gcc'",
            "No such file or directory: 'gcc'",
            "No such file or directory: 'cc'",
            "command 'g++' failed: No such file",
            "Unknown compiler(s): [['cc'], ['gcc']",
            "no acceptable C compiler found",
            "No CMAKE_C_COMPILER could be found",
            "linker `cc` not found",
        ],
        "a C compiler",
        "build-essential",
    ),
    Missing {
        signs: &[
            "mysql_config: not found",
            "mysql_config not found",
            "Can not find valid pkg-config name",
            "mysql.h: No such file",
        ],
        what: "the client library of MySQL or MariaDB",
        packages: "default-libmysqlclient-dev pkg-config build-essential",
        instead: Some("use `PyMySQL`, which needs no compiler"),
    },
    Missing {
        signs: &[
            "pg_config executable not found",
            "pg_config: not found",
            "libpq-fe.h: No such file",
        ],
        what: "PostgreSQL's client library",
        packages: "libpq-dev build-essential",
        instead: Some("use `psycopg2-binary` in place of `psycopg2`"),
    },
    missing(
        &[
            "libxml/xmlversion.h: No such file",
            "Please make sure the libxml2 and libxslt development packages are installed",
            "libxslt/xsltconfig.h: No such file",
            "xml2-config: not found",
        ],
        "libxml2 and libxslt",
        "libxml2-dev libxslt1-dev build-essential",
    ),
    missing(
        &["ffi.h: No such file"],
        "libffi",
        "libffi-dev build-essential",
    ),
    missing(
        &["Python.h: No such file"],
        "the headers of Python",
        "python3-dev build-essential",
    ),
    missing(
        &[
            "lber.h: No such file",
            "ldap.h: No such file",
            "sasl/sasl.h: No such file",
            "sasl.h: No such file",
        ],
        "OpenLDAP's client library",
        "libldap2-dev libsasl2-dev build-essential",
    ),
    missing(
        &[
            "headers or library files could not be found for jpeg",
            "headers or library files could not be found for zlib",
            "jpeglib.h: No such file",
        ],
        "libjpeg and zlib",
        "libjpeg-dev zlib1g-dev build-essential",
    ),
    missing(
        &["ft2build.h: No such file", "freetype2"],
        "FreeType",
        "libfreetype-dev build-essential",
    ),
    missing(
        &[
            "curl-config: not found",
            "No such file or directory: 'curl-config'",
            "Could not run curl-config",
        ],
        "libcurl",
        "libcurl4-openssl-dev libssl-dev build-essential",
    ),
    missing(
        &[
            "xmlsec1 is not installed",
            "Unable to invoke pkg-config",
            "xmlsec/xmlsec.h: No such file",
            "pkg-config error while looking for xmlsec",
        ],
        "libxmlsec1 and pkg-config",
        "libxmlsec1-dev pkg-config build-essential",
    ),
    missing(
        &[
            "openssl/opensslv.h: No such file",
            "openssl/ssl.h: No such file",
            "openssl/evp.h: No such file",
            "openssl/aes.h: No such file",
        ],
        "OpenSSL",
        "libssl-dev build-essential",
    ),
    missing(
        &["gmp.h: No such file"],
        "GMP",
        "libgmp-dev build-essential",
    ),
    missing(
        &["mpfr.h: No such file"],
        "MPFR",
        "libmpfr-dev libmpc-dev build-essential",
    ),
    missing(
        &["sqlite3.h: No such file"],
        "SQLite",
        "libsqlite3-dev build-essential",
    ),
    missing(
        &[
            "krb5-config: not found",
            "gssapi.h: No such file",
            "gssapi/gssapi.h: No such file",
            "Could not find MIT Kerberos",
        ],
        "Kerberos",
        "libkrb5-dev build-essential",
    ),
    missing(
        &["snappy-c.h: No such file", "snappy.h: No such file"],
        "Snappy",
        "libsnappy-dev build-essential",
    ),
    missing(
        &[
            "gdal-config: not found",
            "No such file or directory: 'gdal-config'",
            "gdal_config_error",
        ],
        "GDAL",
        "libgdal-dev build-essential",
    ),
    missing(
        &["geos_c.h: No such file", "geos-config: not found"],
        "GEOS",
        "libgeos-dev build-essential",
    ),
    missing(
        &["sql.h: No such file"],
        "ODBC",
        "unixodbc-dev build-essential",
    ),
    missing(
        &[
            "cairo.h: No such file",
            "Dependency \"cairo\" not found",
            "Package 'cairo'",
        ],
        "Cairo",
        "libcairo2-dev pkg-config build-essential",
    ),
    missing(
        &["girepository-2.0", "gobject-introspection-1.0"],
        "GObject introspection",
        "libgirepository-2.0-dev pkg-config build-essential",
    ),
    missing(
        &["portaudio.h: No such file"],
        "PortAudio",
        "portaudio19-dev build-essential",
    ),
    missing(
        &["pcap.h: No such file"],
        "libpcap",
        "libpcap-dev build-essential",
    ),
    missing(
        &["pcre.h: No such file"],
        "PCRE",
        "libpcre3-dev build-essential",
    ),
    missing(
        &["libmemcached/memcached.h: No such file"],
        "libmemcached",
        "libmemcached-dev zlib1g-dev build-essential",
    ),
    missing(
        &["librdkafka/rdkafka.h: No such file"],
        "librdkafka",
        "librdkafka-dev build-essential",
    ),
    missing(
        &[
            "systemd/sd-daemon.h: No such file",
            "Cannot find libsystemd",
        ],
        "libsystemd",
        "libsystemd-dev pkg-config build-essential",
    ),
    missing(
        &[
            "dbus/dbus.h: No such file",
            "Dependency \"dbus-1\" not found",
        ],
        "D-Bus",
        "libdbus-1-dev libglib2.0-dev pkg-config build-essential",
    ),
    missing(
        &["event.h: No such file"],
        "libevent",
        "libevent-dev build-essential",
    ),
    missing(
        &["sys/acl.h: No such file"],
        "libacl",
        "libacl1-dev build-essential",
    ),
    missing(
        &["attr/xattr.h: No such file"],
        "libattr",
        "libattr1-dev build-essential",
    ),
    missing(
        &["augeas.h: No such file"],
        "Augeas",
        "libaugeas-dev build-essential",
    ),
    missing(
        &["magic.h: No such file"],
        "libmagic",
        "libmagic-dev build-essential",
    ),
    missing(
        &[
            "hdf5.h: No such file",
            "Unable to load dependency HDF5",
            "libhdf5.so",
        ],
        "HDF5",
        "libhdf5-dev build-essential",
    ),
    missing(
        &["zlib.h: No such file"],
        "zlib",
        "zlib1g-dev build-essential",
    ),
    missing(
        &["bzlib.h: No such file"],
        "bzip2",
        "libbz2-dev build-essential",
    ),
    missing(
        &["lzma.h: No such file"],
        "liblzma",
        "liblzma-dev build-essential",
    ),
    Missing {
        signs: &[
            "can't find Rust compiler",
            "cargo, the Rust package manager, is not installed",
            "Rust not found, installing into a temporary directory",
            "error: can't find Rust",
        ],
        what: "a Rust compiler",
        packages: "cargo build-essential",
        instead: Some("ask for a newer version, which has a ready-made build for this Python"),
    },
    Missing {
        signs: &[
            "Unknown compiler(s): [['gfortran']",
            "No Fortran compiler found",
            "gfortran: not found",
            "Library not found: OpenBLAS",
            "Dependency \"OpenBLAS\" not found",
        ],
        what: "a Fortran compiler and BLAS",
        packages: "gfortran libopenblas-dev build-essential",
        instead: Some("ask for a newer version, which has a ready-made build for this Python"),
    },
    missing(
        &[
            "CMake must be installed",
            "cmake: not found",
            "No such file or directory: 'cmake'",
        ],
        "CMake",
        "cmake build-essential",
    ),
    missing(
        &[
            "swig: not found",
            "command 'swig' failed: No such file",
            "No such file or directory: 'swig'",
        ],
        "SWIG",
        "swig build-essential",
    ),
    missing(
        &[
            "Git executable not found",
            "No such file or directory: 'git'",
        ],
        "git",
        "git",
    ),
    missing(
        &[
            "pkg-config: not found",
            "No such file or directory: 'pkg-config'",
            "pkg-config is not installed",
            "pkg-config is required",
        ],
        "pkg-config",
        "pkg-config build-essential",
    ),
];

/// Newest break first: it is the least that has to be given up.
pub(super) const TOO_OLD: &[TooOld] = &[
    TooOld {
        signs: &[
            "No module named 'distutils'",
            "module 'pkgutil' has no attribute 'ImpImporter'",
            "has no attribute 'SafeConfigParser'",
            "No module named 'imp'",
            "No module named 'asyncore'",
            "‘PyLongObject’ {aka ‘struct _longobject’} has no member named ‘ob_digit’",
            "name 'CCompiler' is not defined",
        ],
        since: (3, 12),
        why: "it is built with modules that Python 3.12 took out",
    },
    TooOld {
        signs: &[
            "longintrepr.h: No such file",
            "invalid use of incomplete typedef ‘PyFrameObject’",
            "invalid use of incomplete type ‘PyFrameObject’",
            "has no member named ‘exc_type’",
            "has no member named ‘exc_traceback’",
            "has no member named ‘use_tracing’",
            "has no member named ‘cframe’",
            "has no member named ‘recursion_depth’",
            "has no attribute 'getargspec'",
        ],
        since: (3, 11),
        why: "its C code uses what Python 3.11 made private",
    },
    TooOld {
        signs: &[
            "lvalue required as left operand of assignment",
            "cannot import name 'Mapping' from 'collections'",
            "cannot import name 'MutableMapping' from 'collections'",
            "cannot import name 'Callable' from 'collections'",
            "cannot import name 'Iterable' from 'collections'",
            "implicit declaration of function ‘_Py_",
            "No module named 'distutils.msvccompiler'",
        ],
        since: (3, 10),
        why: "it uses what Python 3.10 took out",
    },
    TooOld {
        signs: &[
            "has no member named ‘tp_print’",
            "has no attribute 'tostring'",
            "PyObject_CheckBuffer",
        ],
        since: (3, 9),
        why: "it uses what Python 3.9 took out",
    },
    TooOld {
        signs: &["only versions >=3.", "Cannot install on Python version"],
        since: (3, 10),
        why: "its own set-up refuses newer Pythons",
    },
    TooOld {
        signs: &["use_2to3 is invalid"],
        since: (3, 0),
        why: "it was written for Python 2",
    },
];
