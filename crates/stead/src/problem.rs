//! What went wrong, in the parts that a person is told: the act, its causes, what visitors get
//! now, and what to do next. Made everywhere, printed only by [`crate::render`].

use stead_model::{ConfigError, ConfigErrors};

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The act, its object in backticks, lower case, no full stop.
    pub(crate) act: String,
    /// `stead.toml:14`, for a configuration that is wrong.
    pub(crate) place: Option<String>,
    /// Why, outermost first.
    pub(crate) causes: Vec<String>,
    /// What visitors get now.
    pub(crate) state: Option<String>,
    /// At most one; runnable as it stands, or the line to add.
    pub(crate) hint: Option<String>,
    /// The last lines of what the failing program printed.
    pub(crate) output: Vec<String>,
    /// Who has to act; gives the exit code.
    pub(crate) fault: Fault,
    /// Further problems of the same configuration file.
    pub(crate) others: Vec<Problem>,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The command line or the configuration is wrong: exit code 2.
    Invocation,
    /// It failed or was refused: exit code 1.
    Failure,
}

impl Problem {
    /// Something failed.
    pub(crate) fn new(act: impl Into<String>) -> Self {
        Self {
            act: act.into(),
            place: None,
            causes: Vec::new(),
            state: None,
            hint: None,
            output: Vec::new(),
            fault: Fault::Failure,
            others: Vec::new(),
        }
    }

    /// The command line or the configuration is wrong.
    pub(crate) fn invocation(act: impl Into<String>) -> Self {
        Self {
            fault: Fault::Invocation,
            ..Self::new(act)
        }
    }

    /// Add why.
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Add what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Add what visitors get now.
    pub(crate) fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// 1 or 2.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.fault {
            Fault::Invocation => 2,
            Fault::Failure => 1,
        }
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Self {
            place: Some(format!("{}:{}", error.file, error.line)),
            hint: error.hint,
            ..Self::invocation(error.message)
        }
    }
}

impl From<ConfigErrors> for Problem {
    fn from(errors: ConfigErrors) -> Self {
        let omitted = errors.omitted;
        let mut problems = errors.errors.into_iter().map(Self::from);
        let mut first = problems
            .next()
            .unwrap_or_else(|| Self::invocation("the configuration is not valid"));
        first.others = problems.collect();
        if omitted > 0 {
            first
                .others
                .push(Self::invocation(format!("{omitted} more like these")));
        }
        first
    }
}

impl From<stead_build::Error> for Problem {
    fn from(error: stead_build::Error) -> Self {
        Self {
            causes: error.causes,
            hint: error.hint,
            output: error.output,
            ..Self::new(error.act)
        }
    }
}

/// An I/O error as a cause: the system's words without the error number.
pub(crate) fn because(error: &std::io::Error) -> String {
    plain(&error.to_string())
}

/// The text of an error as a cause, without the number that it ends in when it is the system's.
pub(crate) fn plain(text: &str) -> String {
    let plain = match text.rfind(" (os error ") {
        Some(at) => &text[..at],
        None => text,
    };
    let mut letters = plain.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "no reason given".to_owned(),
    }
}
