//! Text that is never shown.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::ConfigFault;

/// A password. Shown as `***`, in `Display` and `Debug` alike.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself: for comparing and connecting only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Longest file that may hold a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// `text` with each `${file:PATH}` replaced by that file's content, without the line end at its end. Relative paths
/// begin at `base`. `name` is the setting, for errors.
pub(super) fn expand(text: &str, name: &str, base: &Path) -> Result<String, ConfigFault> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${file:") {
        let Some((path, after)) = behind.split_once('}') else {
            let expected = "a `}` behind `${file:`";
            return Err(ConfigFault::setting(
                name.into(),
                "a reference to a file without an end".into(),
                expected.into(),
            ));
        };
        expanded.push_str(before);
        expanded.push_str(&read(&base.join(path), name)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn read(path: &Path, name: &str) -> Result<String, ConfigFault> {
    let unreadable = |source| ConfigFault::SecretFile {
        name: name.into(),
        path: path.into(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > SECRET_BYTES_MAX {
        let found = format!("{} ({bytes} bytes)", path.display());
        return Err(ConfigFault::setting(
            name.into(),
            found,
            format!("a file of at most {SECRET_BYTES_MAX} bytes"),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.trim_end_matches(['\n', '\r']).into())
}
