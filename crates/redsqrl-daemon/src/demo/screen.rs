//! What people see: on standard error, so that standard output is for the result alone.
//!
//! On a terminal bars move and words have colours (unless `NO_COLOR` is set); elsewhere everything is plain lines.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

const GREEN: &str = "32";
const RED: &str = "31";
const BOLD: &str = "1";
const DIM: &str = "2";

/// The screen, shared by all parts of the demo.
#[derive(Clone, Debug)]
pub struct Screen {
    bars: MultiProgress,
    terminal: bool,
    colours: bool,
}

impl Default for Screen {
    fn default() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            bars: MultiProgress::new(),
            terminal,
            colours: terminal && !refused,
        }
    }
}

impl Screen {
    /// One line.
    pub fn line(&self, text: &str) {
        // The bars step aside, on a terminal; elsewhere there are none.
        let shown = self.bars.suspend(|| writeln!(std::io::stderr(), "{text}"));
        // A terminal that is gone is no reason to stop.
        shown.ok();
    }

    /// The title of what comes next.
    pub fn chapter(&self, text: &str) {
        self.line("");
        self.line(&self.painted(BOLD, text));
    }

    /// A remark.
    pub fn remark(&self, text: &str) {
        self.line(&format!("  {}", self.painted(DIM, text)));
    }

    /// The outcome of a check.
    pub fn check(&self, ok: bool, what: &str, detail: &str) {
        let mark = match ok {
            true => self.painted(GREEN, "✓"),
            false => self.painted(RED, "✗"),
        };
        let detail = match detail.is_empty() {
            true => String::new(),
            false => self.painted(DIM, &format!("  {detail}")),
        };
        self.line(&format!("  {mark} {what}{detail}"));
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        match self.colours {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }

    /// A bar from 0 to `length`.
    #[must_use]
    pub fn bar(&self, name: &str, length: usize) -> Bar {
        let template = match self.colours {
            true => "  {prefix} {bar:40.green/8} {human_pos:>7}/{human_len}  {rate}",
            false => "  {prefix} {bar:40} {human_pos:>7}/{human_len}  {rate}",
        };
        let bar = ProgressBar::new(length as u64).with_prefix(name.to_string());
        if let Ok(style) = ProgressStyle::with_template(template) {
            let style = style.with_key("rate", rate).progress_chars("━╸─");
            bar.set_style(style);
        }
        Bar {
            inner: self.shown(bar),
        }
    }

    /// Something turning, while nothing can be counted.
    #[must_use]
    pub fn wait(&self, what: &str) -> Bar {
        if !self.terminal {
            self.remark(&format!("{what} …"));
        }
        let bar = self.shown(ProgressBar::new_spinner().with_message(what.to_string()));
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Bar { inner: bar }
    }

    fn shown(&self, bar: ProgressBar) -> ProgressBar {
        match self.terminal {
            true => self.bars.add(bar),
            false => {
                bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
                bar
            }
        }
    }

    /// Lines under a head, each column as wide as its widest word.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        let widths: Vec<usize> = head
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let cells = rows.iter().filter_map(|row| row.get(at));
                cells
                    .map(|cell| cell.chars().count())
                    .chain([name.chars().count()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |cells: Vec<&str>| -> String {
            let padded = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            padded
                .collect::<Vec<_>>()
                .join("   ")
                .trim_end()
                .to_string()
        };
        self.line(&format!("  {}", self.painted(DIM, &line(head.to_vec()))));
        for row in rows {
            self.line(&format!(
                "  {}",
                line(row.iter().map(String::as_str).collect())
            ));
        }
    }
}

fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // A column that cannot be written is left out.
    write!(out, "{}/s", grouped(state.per_sec() as u64)).ok();
}

/// Something under way; gone from the screen when dropped.
#[derive(Debug)]
pub struct Bar {
    inner: ProgressBar,
}

impl Bar {
    /// So much more is done.
    pub fn advance(&self, by: usize) {
        self.inner.inc(by as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.inner.finish_and_clear();
    }
}

/// 34006 as `34,006`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown: Vec<String> = [0, 999, 1000, 34_006, 1_234_567]
            .into_iter()
            .map(grouped)
            .collect();
        assert_eq!(shown, ["0", "999", "1,000", "34,006", "1,234,567"]);
    }
}
