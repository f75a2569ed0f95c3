//! `USER@HOST`, as ssh takes it.

use stead_model::host::is_target;

/// Where ssh is asked to go: a host name, an address or a name of the user's ssh configuration, with or without a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(String);

impl Target {
    /// Only letters, digits and the signs that names and addresses have: what ssh puts a target into (`ProxyCommand`,
    /// `Match exec`) may be a shell. The error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        match is_target(text) {
            true => Ok(Self(text.to_owned())),
            false => Err("a host is given as `HOST` or `USER@HOST`, as to ssh: letters, digits, dots, hyphens, underscores, colons".to_owned()),
        }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the user.
    pub fn host(&self) -> &str {
        self.0.rsplit_once('@').map_or(&self.0, |(_, host)| host)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn targets_are_what_ssh_takes_and_nothing_that_a_shell_would_understand() {
        for good in [
            "h1",
            "deploy@1.2.3.4",
            "root@shop-1.example.com",
            "a.b@fe80::1",
            "web_1",
        ] {
            assert_eq!(
                Target::parse(good).map(|t| t.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "@",
            "a@",
            "@h",
            "-oProxyCommand=touch x",
            "a@-oProxyCommand=x",
            "-l@h",
            "h;touch x",
            "h$(x)",
            "h`x`",
            "h|x",
            "h&x",
            "h x",
            "h\nx",
            "h'x",
            "h\"x",
            "h/x",
            "h%x",
            "é",
            "a b@h",
            "a@b@h",
            "ssh://h",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Target::parse(&"a".repeat(400)).is_err());
        assert_eq!(Target::parse("deploy@h1").unwrap().host(), "h1");
    }
}
