//! Reading the settings.

use std::path::Path;

use serde::Deserialize;
use serde_saphyr::{DuplicateKeyPolicy, Options};

use super::error::{Place, nearest};
use super::overlay::{Overlay, Trace};
use super::{ConfigFault, NodeConfig, Variables};

/// Longest file, in bytes: far more than any real one.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The settings of the file (`None`: of an empty one), changed by the variables, checked.
///
/// # Errors
/// What is wrong, and where.
pub fn load(path: Option<&Path>, variables: &Variables) -> Result<NodeConfig, ConfigFault> {
    let text = match path {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let path = path.unwrap_or(Path::new("(no file)"));
    let mut config = parse(&text, path, variables)?;
    config.read_secrets(path.parent().unwrap_or(Path::new("")))?;
    config
        .validate()
        .map_err(|fault| placed(fault, &text, path, variables))?;
    Ok(config)
}

fn read(path: &Path) -> Result<String, ConfigFault> {
    let unreadable = |source| ConfigFault::Unreadable {
        path: path.into(),
        source,
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!(
            "it is longer than {FILE_BYTES_MAX} bytes"
        ))));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// The settings in `text`, changed by the variables, not checked. The path is for messages alone.
///
/// # Errors
/// What cannot be read, and where.
pub fn parse(text: &str, path: &Path, variables: &Variables) -> Result<NodeConfig, ConfigFault> {
    // A file of comments alone is an empty mapping, not an error.
    let blank = |line: &str| {
        line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---"
    };
    let text = if text.lines().all(blank) { "{}" } else { text };
    let trace = Trace::default();
    // Snippets would print lines of the file, and so maybe secrets.
    let mut options = Options::default();
    options.with_snippet = false;
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |inner| {
        NodeConfig::deserialize(Overlay::new(inner, &variables.0, &trace))
    });
    parsed.map_err(|error| fault(&error, path, &trace))
}

/// Says what the parser found in the words of a settings file.
fn fault(error: &serde_saphyr::Error, path: &Path, trace: &Trace) -> ConfigFault {
    let error = error.without_snippet();
    let location = error.location();
    let place = trace.variable().map_or_else(
        || Place::File {
            path: path.into(),
            line: location.map_or(0, |l| l.line()),
            column: location.map_or(0, |l| l.column()),
        },
        Place::Variable,
    );
    ConfigFault::Wrong {
        place,
        what: what(error, trace),
    }
}

fn what(error: &serde_saphyr::Error, trace: &Trace) -> String {
    use serde_saphyr::Error;
    let at = trace.path();
    let of = |key: &str| {
        if at.is_empty() {
            key.to_string()
        } else {
            format!("{at}.{key}")
        }
    };
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => unknown("key", &of(field), field, expected),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            format!("`{at}`: {}", unknown("value", variant, variant, expected))
        }
        Error::SerdeMissingField { field, .. } => format!("`{}` is missing", of(field)),
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        }
        | Error::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => {
            format!("`{at}` is {unexpected}: expected {expected}")
        }
        Error::InvalidScalar { ty, .. } => format!("`{at}`: expected {ty}"),
        Error::Unexpected { expected, .. } => format!("`{at}`: expected {expected}"),
        Error::Message { msg, .. } if !at.is_empty() => format!("`{at}`: {msg}"),
        Error::DuplicateMappingKey { key, .. } => format!(
            "`{}` stands there twice",
            of(key.as_deref().unwrap_or("a key"))
        ),
        other => with_key(&at, other.render_with_formatter(&Bare)),
    }
}

fn with_key(at: &str, message: String) -> String {
    if at.is_empty() {
        message
    } else {
        format!("`{at}`: {message}")
    }
}

/// Messages without the position, which stands before them already.
struct Bare;

impl serde_saphyr::MessageFormatter for Bare {
    fn format_message<'a>(&self, error: &'a serde_saphyr::Error) -> std::borrow::Cow<'a, str> {
        serde_saphyr::UserMessageFormatter.format_message(error)
    }
}

fn unknown(kind: &str, shown: &str, found: &str, known: &[&str]) -> String {
    let hint =
        nearest(found, known).map_or(String::new(), |name| format!(" Did you mean `{name}`?"));
    format!(
        "unknown {kind} `{shown}`.{hint} Expected one of: {}",
        known.join(", ")
    )
}

/// Finds where a setting that cannot work was written.
fn placed(fault: ConfigFault, text: &str, path: &Path, variables: &Variables) -> ConfigFault {
    let ConfigFault::Setting {
        name,
        found,
        expected,
        ..
    } = fault
    else {
        return fault;
    };
    let place = variable_of(&name, variables).or_else(|| line_of(&name, text, path));
    ConfigFault::Setting {
        place,
        name,
        found,
        expected,
    }
}

fn variable_of(name: &str, variables: &Variables) -> Option<Place> {
    use super::variables::Node;
    let mut nodes = &variables.0;
    for part in name.split('.') {
        match nodes.get(part)? {
            Node::Leaf { name, .. } => return Some(Place::Variable(name.clone())),
            Node::Section(inner) => nodes = inner,
        }
    }
    None
}

/// The line that begins with the key, below the line of its section; in `{…}` on one line, the section's.
fn line_of(name: &str, text: &str, path: &Path) -> Option<Place> {
    let mut lines = text.lines().zip(1u64..);
    let mut found = None;
    for key in name.split('.') {
        // `peers[1]`: the list's line is close enough.
        let key = key.split('[').next().unwrap_or(key);
        let line = lines.find(|(line, _)| {
            let rest = line.trim_start_matches([' ', '-']).strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        });
        let Some(line) = line else { break };
        found = Some(line);
    }
    let (line, number) = found?;
    Some(Place::File {
        path: path.into(),
        line: number,
        column: (line.len() - line.trim_start().len()) as u64 + 1,
    })
}

#[cfg(test)]
pub(super) fn parse_for_tests(text: &str) -> Result<NodeConfig, ConfigFault> {
    parse(text, Path::new("test.yaml"), &Variables::default())
}
