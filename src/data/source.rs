//! Where prompts come from, as a user names it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Prompts of the pocket world where no number is given.
const POCKET_PROMPTS: usize = 60_000;

/// A SOURCE of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// So many prompts of the pocket world: `pocket` or `pocket:N`.
    Pocket {
        /// How many.
        prompts: usize,
    },
    /// A file or folder.
    Path(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "pocket" {
            let prompts = POCKET_PROMPTS;
            return Ok(Self::Pocket { prompts });
        }
        let Some(number) = text.strip_prefix("pocket:") else {
            return Ok(Self::Path(text.into()));
        };
        match number.parse() {
            Ok(prompts) => Ok(Self::Pocket { prompts }),
            Err(_) => Err(format!(
                "pocket:N takes a number of prompts, not `{number}`; ./{text} is a file of that name"
            )),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pocket { prompts } => write!(f, "pocket:{prompts}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pocket_has_a_number_and_everything_else_is_a_path() {
        let parse = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(
            parse("pocket"),
            Source::Pocket {
                prompts: POCKET_PROMPTS
            }
        );
        assert_eq!(parse("pocket:12"), Source::Pocket { prompts: 12 });
        for path in ["./pocket:x", "pockets", "prompts.txt", "./pocket"] {
            assert_eq!(parse(path), Source::Path(path.into()));
        }
        for wrong in ["pocket:x", "pocket:", "pocket:-1"] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
    }
}
