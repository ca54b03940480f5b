//! What is wrong with the settings, and where.

use std::fmt;
use std::path::PathBuf;

/// Settings that cannot be used. Says where, what was found and what was expected; never a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key or a value in a file, or in a variable of the environment.
    #[error("{place}: {what}")]
    Wrong {
        /// Where it stands.
        place: Place,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// A value that cannot work.
    #[error("{}`{name}` is {found}: expected {expected}", At(place.as_ref()))]
    Setting {
        /// Where it stands, if it was written somewhere.
        place: Option<Place>,
        /// The setting, sections before it and dots between.
        name: String,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The file that a secret is to be read from.
    #[error("`{name}`: cannot read {}: {source}", path.display())]
    SecretFile {
        /// The setting.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ConfigFault {
    pub(super) fn setting(name: String, found: String, expected: String) -> Self {
        Self::Setting {
            place: None,
            name,
            found,
            expected,
        }
    }
}

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file; line and column begin at 1, 0: unknown.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The column.
        column: u64,
    },
    /// In a variable of the environment.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column } => {
                write!(f, "{}, line {line}, column {column}", path.display())
            }
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

struct At<'a>(Option<&'a Place>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |place| write!(f, "{place}: "))
    }
}

/// The known name that looks most like `found`, if one does.
pub(super) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let far = found.len().max(4) / 2;
    let scored = known.iter().map(|name| (distance(found, name), *name));
    scored
        .filter(|(distance, _)| *distance <= far.min(4))
        .min()
        .map(|(_, name)| name)
}

/// Edits that make `b` out of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(nearest("lissten", &["listen", "max_body"]), Some("listen"));
        assert_eq!(nearest("zzz", &["listen", "max_body"]), None);
    }
}
