//! URLs of backends, which may hold a password.

use std::fmt;

use serde::Deserialize;

/// The URL of a backend. Shown without its password, in `Display` and `Debug` alike.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct BackendUrl(String);

impl BackendUrl {
    /// What is expected instead of a `rediss://` URL.
    pub const WITHOUT_TLS: &str =
        "a URL that begins with redis:// (this build has no TLS: use a tunnel for rediss://)";

    /// Whether it asks for TLS to a Redis.
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("rediss://")
    }

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
        let without_query =
            |url: &'_ str| url.split(['?', '#']).next().unwrap_or_default().to_string();
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str(&without_query(&self.0));
        };
        // The last `@` ends the user information, whatever a password contains: even `?` or `#`.
        match rest.rsplit_once('@') {
            None => write!(f, "{scheme}://{}", without_query(rest)),
            Some((user, host)) => {
                let name = user.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{name}:***@{}", without_query(host))
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
            ("mysql://u:pa?ss@h/db", "mysql://u:***@h/db"),
            ("mysql://u:pa#ss@h/db?x=y", "mysql://u:***@h/db"),
            ("sqlite:/a/b.db", "sqlite:/a/b.db"),
        ] {
            assert_eq!(BackendUrl::from(url).to_string(), shown);
        }
    }
}
