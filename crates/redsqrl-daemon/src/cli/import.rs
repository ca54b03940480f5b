//! `redsqrl import`: put the items of a file into a running node.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use clap::Args;
use indicatif::{HumanCount, ProgressBar};

use super::files::Lines;
use super::remote::{Item, Remote, URL_DEFAULT};
use super::{Failure, say};
use crate::ndjson;

/// A batch is sent when it has this many items …
const BATCH_ITEMS: usize = 2000;

/// … or this many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// Bad lines that are told one by one; the others are only counted.
const BAD_LINES_SHOWN: u64 = 10;

/// Put the items of a file into a running node.
#[derive(Debug, Args)]
pub struct Import {
    /// One item a line: {"id": "…", "content": …} or {"id": "…", "content_base64": "…"}. `.zst`: compressed; `-`: standard input.
    pub file: PathBuf,
    /// The node.
    #[arg(long, value_name = "URL", default_value = URL_DEFAULT)]
    pub to: String,
    /// Leave out lines that are no items, and count them, instead of stopping at the first.
    #[arg(long)]
    pub skip_bad: bool,
}

type Batch = Vec<Item>;

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut remote = Remote::connect(&self.to)?;
        let (lines, bar) = Lines::open(&self.file)?;
        // Lines are read while the node stores the ones before.
        let (sender, batches) = sync_channel(2);
        let (sent, read) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| self.read(lines, sender));
            let sent = send(&mut remote, batches, &bar);
            (sent, reader.join())
        });
        bar.finish_and_clear();
        let sent = sent?;
        let bad = read.map_err(|_| "reading the file failed")??;
        say(&format!("{} items imported", HumanCount(sent)));
        if bad > 0 {
            say(&format!("{} bad lines left out", HumanCount(bad)));
        }
        Ok(())
    }

    /// Sends what the lines hold in batches; counts the bad ones.
    fn read(&self, mut lines: Lines, batches: SyncSender<Batch>) -> Result<u64, Failure> {
        let (mut line, mut batch, mut bytes, mut bad) = (Vec::new(), Batch::new(), 0, 0);
        while lines
            .next(&mut line)
            .map_err(|error| wrong(&self.file, lines.number, error))?
        {
            match ndjson::read(&line) {
                Ok((id, content)) => {
                    bytes += id.len() + content.len();
                    batch.push((id, content));
                }
                Err(error) if self.skip_bad => {
                    bad += 1;
                    if bad <= BAD_LINES_SHOWN {
                        eprintln!("left out: {}", wrong(&self.file, lines.number, error));
                    }
                }
                Err(error) => {
                    // What came before the bad line is sent: the message then tells where to go on.
                    batches.send(batch).ok();
                    return Err(wrong(&self.file, lines.number, error));
                }
            }
            if batch.len() >= BATCH_ITEMS || bytes >= BATCH_BYTES {
                bytes = 0;
                if batches.send(std::mem::take(&mut batch)).is_err() {
                    // The other side failed, and says why.
                    return Ok(bad);
                }
            }
        }
        batches.send(batch).ok();
        Ok(bad)
    }
}

fn wrong(file: &Path, line: u64, error: impl std::fmt::Display) -> Failure {
    format!("{}, line {line}: {error}", file.display()).into()
}

fn send(remote: &mut Remote, batches: Receiver<Batch>, bar: &ProgressBar) -> Result<u64, Failure> {
    let mut sent = 0;
    for batch in batches {
        remote.set_all(&batch)?;
        sent += batch.len() as u64;
        bar.set_message(format!("{} items", HumanCount(sent)));
    }
    Ok(sent)
}
