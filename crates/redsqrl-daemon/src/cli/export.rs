//! `redsqrl export`: write the items of a running node into a file.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;

use super::Failure;
use super::files::{Output, counting_bar};
use super::remote::{Remote, URL_DEFAULT};
use crate::ndjson;

/// Bytes of items asked for at once; a single larger item comes alone.
const PORTION_BYTES: usize = 16 << 20;

/// Write the items of a running node into a file.
#[derive(Debug, Args)]
pub struct Export {
    /// One item a line. `.zst`: compressed; `-`: standard output.
    pub file: PathBuf,
    /// The node.
    #[arg(long, value_name = "URL", default_value = URL_DEFAULT)]
    pub from: String,
    /// Only the items whose ids begin with this.
    #[arg(long, default_value = "")]
    pub prefix: String,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut remote = Remote::connect(&self.from)?;
        let mut out = Output::create(&self.file)?;
        let length = if self.prefix.is_empty() {
            Some(remote.len()?)
        } else {
            None
        };
        let bar = counting_bar(length);
        let pattern = format!("{}*", literal(&self.prefix));
        let mut cursor = "0".to_string();
        let mut written = 0;
        loop {
            let (next, ids) = remote.scan(&cursor, &pattern)?;
            let lengths = remote.lengths(&ids)?;
            for portion in portions(&ids, &lengths) {
                for (id, content) in portion.iter().zip(remote.get_all(portion)?) {
                    // Deleted since it was listed.
                    let Some(content) = content else { continue };
                    ndjson::write(id, &content, &mut out)?;
                    written += 1;
                    bar.inc(1);
                }
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        out.finish(&self.file)?;
        bar.finish_and_clear();
        eprintln!("{} items exported", HumanCount(written));
        Ok(())
    }
}

/// A pattern that matches this text alone.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Runs of ids whose items together are not too long.
fn portions<'a>(ids: &'a [String], lengths: &[usize]) -> Vec<&'a [String]> {
    let (mut portions, mut rest, mut bytes, mut count) = (Vec::new(), ids, 0usize, 0usize);
    for length in lengths {
        if count > 0 && bytes.saturating_add(*length) > PORTION_BYTES {
            let (portion, behind) = rest.split_at(count.min(rest.len()));
            portions.push(portion);
            (rest, bytes, count) = (behind, 0, 0);
        }
        bytes = bytes.saturating_add(*length);
        count += 1;
    }
    if !rest.is_empty() {
        portions.push(rest);
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_itself_alone() {
        for prefix in ["a.b", "100%*", "[x]?", "back\\slash"] {
            let pattern = format!("{}*", literal(prefix));
            let glob = crate::resp::glob::Glob::new(pattern.clone().into());
            let matches = |text: &str| glob.matches(text.as_bytes());
            assert!(matches(&format!("{prefix}tail")), "{pattern}");
            assert!(!matches("other"), "{pattern}");
        }
    }

    #[test]
    fn portions_are_whole_and_bounded() {
        let ids: Vec<String> = (0..5).map(|n| n.to_string()).collect();
        let lengths = [PORTION_BYTES, 1, PORTION_BYTES - 1, 1, 1];
        let cut: Vec<usize> = portions(&ids, &lengths)
            .iter()
            .map(|portion| portion.len())
            .collect();
        assert_eq!(cut, [1, 2, 2]);
        assert!(portions(&[], &[]).is_empty());
    }
}
