//! URLs of backends, which may hold a password.

use std::fmt;

use serde::Deserialize;

/// The URL of a backend. Shown without its password, in `Display` and `Debug` alike.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct BackendUrl(String);

impl BackendUrl {
    /// The whole URL, secrets included: for connecting only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for BackendUrl {
    fn from(url: &str) -> Self {
        Self(url.into())
    }
}

impl From<String> for BackendUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Query parameters can hold secrets too: they are left out.
        let url = self.0.split(['?', '#']).next().unwrap_or_default();
        let Some((scheme, rest)) = url.split_once("://") else {
            return f.write_str(url);
        };
        // The last `@` ends the user information, whatever a password contains.
        match rest.rsplit_once('@') {
            None => write!(f, "{scheme}://{rest}"),
            Some((user, host)) => {
                let name = user.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{name}:***@{host}")
            }
        }
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://:pa@ss@h:6379", "redis://:***@h:6379"),
            ("mysql://me:p:w@h/db?password=x", "mysql://me:***@h/db"),
            ("redis://token@h", "redis://token:***@h"),
            ("sqlite:/a/b.db", "sqlite:/a/b.db"),
        ] {
            assert_eq!(BackendUrl::from(url).to_string(), shown);
        }
    }
}
