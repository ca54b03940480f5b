//! What is loaded: cities, or the user's own items.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use bytes::Bytes;

use super::error::DemoError;
use crate::ndjson;

/// 34,006 cities from GeoNames (<https://www.geonames.org/>, CC BY 4.0), see `data/README.md`.
const CITIES: &[u8] = include_bytes!("../../../../data/cities.ndjson.zst");

/// Who must be named wherever the cities are shown.
pub const ATTRIBUTION: &str = "cities: GeoNames, https://www.geonames.org/, CC BY 4.0";

/// How a file that zstd made begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Longest line, in bytes: a payload of the greatest size in base64, and its id.
const LINE_BYTES_MAX: u64 = 24 << 20;

/// Keys that begin so are the demo's own.
pub const OWN_PREFIX: &str = "demo.";

/// Items with different ids, in the order of the file.
pub type Items = Vec<(String, Bytes)>;

/// Reads the file, compressed or not; without one, the cities.
///
/// # Errors
/// A file that cannot be read, or a line that is no item.
pub fn read(file: Option<&Path>) -> Result<Items, DemoError> {
    let Some(path) = file else {
        return items(
            "the cities",
            decoded(CITIES).map_err(|source| broken(Path::new("the cities"), source))?,
        );
    };
    let opened = std::fs::File::open(path).map_err(|source| broken(path, source))?;
    let reader = decoded(opened).map_err(|source| broken(path, source))?;
    items(&path.display().to_string(), reader)
}

fn broken(path: &Path, source: std::io::Error) -> DemoError {
    DemoError::File {
        path: path.to_path_buf(),
        source,
    }
}

fn decoded<'a>(source: impl Read + 'a) -> std::io::Result<Box<dyn BufRead + 'a>> {
    let mut reader = BufReader::new(source);
    if reader.fill_buf()?.starts_with(&ZSTD_MAGIC) {
        return Ok(Box::new(BufReader::new(
            zstd::stream::read::Decoder::with_buffer(reader)?,
        )));
    }
    Ok(Box::new(reader))
}

fn items(what: &str, mut reader: impl BufRead) -> Result<Items, DemoError> {
    let mut items = Items::new();
    let mut seen = std::collections::HashSet::new();
    let mut line = Vec::new();
    for number in 1.. {
        let fault = |why: String| DemoError::Data {
            what: what.to_string(),
            line: number,
            why,
        };
        line.clear();
        let read = (&mut reader)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line);
        if read.map_err(|error| fault(error.to_string()))? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (id, content) = ndjson::read(&line).map_err(|error| fault(error.to_string()))?;
        if id.starts_with(OWN_PREFIX) {
            return Err(fault(format!(
                "ids that begin with `{OWN_PREFIX}` are the demo's own"
            )));
        }
        if !seen.insert(id.clone()) {
            return Err(fault(format!("the id {id} stands there twice")));
        }
        items.push((id, content));
    }
    match items.len() < ITEMS_MIN {
        true => Err(DemoError::Data {
            what: what.to_string(),
            line: items.len(),
            why: format!("{} items: expected at least {ITEMS_MIN}", items.len()),
        }),
        false => Ok(items),
    }
}

/// So many items are rewritten and deleted in the course of the demo.
pub const ITEMS_MIN: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cities_are_there() {
        let cities = read(None).unwrap();
        assert_eq!(cities.len(), 34_006);
        assert_eq!(cities[0].0, "geo.ad.07.3041563");
        assert!(cities[0].1.starts_with(br#"{"name": "Andorra la Vella""#));
    }

    #[test]
    fn bad_data_says_where() {
        let message = |text: &str| items("x", text.as_bytes()).unwrap_err().to_string();
        assert!(message("{\"id\":\"a\",\"content\":1}\n\nnonsense\n").starts_with("x, line 3: "));
        assert!(
            message("{\"id\":\"a\",\"content\":1}\n{\"id\":\"a\",\"content\":2}").contains("twice")
        );
        assert!(message("{\"id\":\"demo.a\",\"content\":1}").contains("demo's own"));
        assert!(message("").contains("at least"));
    }
}
