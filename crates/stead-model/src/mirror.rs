//! Public copies of the Python package index, by the names that people know them by.

use crate::config_error::{Problem, nearest};

/// A package index that `build.index` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `aliyun`.
    pub name: &'static str,
    /// The address of its simple index (PEP 503), with `/` at the end.
    pub url: &'static str,
}

/// PyPI itself.
pub const PYPI: Mirror = Mirror {
    name: "pypi",
    url: "https://pypi.org/simple/",
};

/// Every mirror that has a name, PyPI first.
pub const MIRRORS: &[Mirror] = &[
    PYPI,
    Mirror {
        name: "aliyun",
        url: "https://mirrors.aliyun.com/pypi/simple/",
    },
    Mirror {
        name: "tuna",
        url: "https://pypi.tuna.tsinghua.edu.cn/simple/",
    },
    Mirror {
        name: "ustc",
        url: "https://mirrors.ustc.edu.cn/pypi/simple/",
    },
    Mirror {
        name: "tencent",
        url: "https://mirrors.cloud.tencent.com/pypi/simple/",
    },
    Mirror {
        name: "huawei",
        url: "https://repo.huaweicloud.com/repository/pypi/simple/",
    },
    Mirror {
        name: "bfsu",
        url: "https://mirrors.bfsu.edu.cn/pypi/web/simple/",
    },
];

/// The mirror with this name.
pub fn mirror(name: &str) -> Option<&'static Mirror> {
    MIRRORS.iter().find(|mirror| mirror.name == name)
}

/// What `build.index` may say: `auto`, a mirror's name or an URL.
pub(crate) fn validate(text: &str) -> Result<String, Problem> {
    if text == "auto" || mirror(text).is_some() {
        return Ok(text.to_owned());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split('/').next().unwrap_or_default();
        let problem = if !matches!(scheme, "http" | "https") {
            "an index is reached by http or https"
        } else if authority.contains('@') {
            "an URL in the file must not carry a user name or password"
        } else if authority.trim_matches(':').is_empty()
            || !text.bytes().all(|b| b.is_ascii_graphic())
        {
            "it is not an URL"
        } else if text.contains(['?', '#']) {
            "an index has no query and no fragment"
        } else {
            return Ok(text.to_owned());
        };
        return Err(
            Problem::new(problem).hint("for example: index = \"https://pypi.example.com/simple/\"")
        );
    }
    let names = || std::iter::once("auto").chain(MIRRORS.iter().map(|mirror| mirror.name));
    let list: Vec<String> = names().map(|name| format!("\"{name}\"")).collect();
    let problem = Problem::new(format!(
        "`{}` is neither a known index nor an URL",
        super::manifest::shorten(text)
    ));
    Err(match nearest(text, names()) {
        Some(name) => problem.hint(format!("did you mean \"{name}\"?")),
        None => problem.hint(format!("one of {} or an URL", list.join(", "))),
    })
}
