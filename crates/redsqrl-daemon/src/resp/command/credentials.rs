//! Who a client says it is.

use std::fmt;

use bytes::Bytes;

/// A name and a password as a client sent them. The password can be compared, not read, and is
/// in no Debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Option<Bytes>,
    password: Bytes,
}

impl Credentials {
    /// `user`: `None` is the default user (AUTH with a password alone).
    #[must_use]
    pub fn new(user: Option<Bytes>, password: Bytes) -> Self {
        Credentials { user, password }
    }

    /// The user's name, `default` if none was given.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        self.user.as_deref().unwrap_or(b"default")
    }

    /// Whether a user was named (AUTH with two arguments).
    #[must_use]
    pub fn names_user(&self) -> bool {
        self.user.is_some()
    }

    /// Whether the password is `expected`. How long it takes tells the length of what the client
    /// sent and nothing about `expected`.
    #[must_use]
    pub fn password_is(&self, expected: &[u8]) -> bool {
        let mut difference = u8::from(self.password.len() != expected.len());
        let mut expected = expected.iter();
        for sent in &self.password {
            difference |= sent ^ expected.next().unwrap_or(&0);
        }
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("password", &"***")
            .finish()
    }
}
