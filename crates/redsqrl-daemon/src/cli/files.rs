//! Files of items: plain or zstd (`.zst`), with a bar that shows how far we are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;

/// Longest line, in bytes: the largest payload there may be, in base64, and its id.
const LINE_BYTES_MAX: u64 = 3 << 29;

const BUFFER_BYTES: usize = 1 << 20;

fn is_zstd(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn at(path: &Path, error: impl std::fmt::Display) -> Failure {
    format!("{}: {error}", path.display()).into()
}

/// A bar on a terminal, nothing elsewhere. `length`: unknown if `None`.
fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Reads lines.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    /// The line read last; the first is 1.
    pub(super) number: u64,
}

impl Lines {
    /// The lines of this file, `-` for standard input, and a bar that follows its bytes.
    pub(super) fn open(path: &Path) -> Result<(Self, ProgressBar), Failure> {
        let template = "{bar:30} {bytes}/{total_bytes} {msg} {eta}";
        let (raw, bar): (Box<dyn Read + Send>, _) = if is_standard(path) {
            (Box::new(io::stdin()), bar(None, "{spinner} {bytes} {msg}"))
        } else {
            let file = File::open(path).map_err(|error| at(path, error))?;
            let length = file.metadata().map_err(|error| at(path, error))?.len();
            (Box::new(file), bar(Some(length), template))
        };
        let counted = bar.wrap_read(raw);
        let input: Box<dyn BufRead + Send> = match is_zstd(path) {
            true => Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                zstd::Decoder::new(counted)?,
            )),
            false => Box::new(BufReader::with_capacity(BUFFER_BYTES, counted)),
        };
        Ok((Self { input, number: 0 }, bar))
    }

    /// The next line that is not blank, without its end; `None` at the end of the file.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            line.clear();
            self.number += 1;
            let read = (&mut self.input)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', line)?;
            if read == 0 {
                return Ok(false);
            }
            if read as u64 == LINE_BYTES_MAX {
                return Err(io::Error::other("the line is too long"));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }
}

/// A file being written. It has its name only once it is whole.
pub(super) enum Output {
    Standard(BufWriter<io::Stdout>),
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            return Ok(Self::Standard(BufWriter::with_capacity(
                BUFFER_BYTES,
                io::stdout(),
            )));
        }
        let file = File::create(draft(path)).map_err(|error| at(path, error))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(match is_zstd(path) {
            true => Self::Zstd(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            false => Self::Plain(file),
        })
    }

    /// Everything is there: on disk, under its name.
    pub(super) fn finish(self, path: &Path) -> Result<(), Failure> {
        let file = match self {
            Self::Standard(mut out) => return Ok(out.flush()?),
            Self::Plain(file) => file,
            Self::Zstd(encoder) => encoder.finish().map_err(|error| at(path, error))?,
        };
        let file = file
            .into_inner()
            .map_err(|error| at(path, error.into_error()))?;
        file.sync_all().map_err(|error| at(path, error))?;
        std::fs::rename(draft(path), path).map_err(|error| at(path, error))
    }
}

fn draft(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".part");
    name.into()
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::Plain(out) => out.write(bytes),
            Self::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::Plain(out) => out.flush(),
            Self::Zstd(out) => out.flush(),
        }
    }
}

/// A bar that counts items.
pub(super) fn counting_bar(length: Option<u64>) -> ProgressBar {
    bar(length, "{bar:30} {human_pos}/{human_len} items {eta}")
}
