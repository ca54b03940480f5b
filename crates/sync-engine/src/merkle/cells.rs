//! The bytes of a sketch's cells.
//!
//! ```text
//! cells = n  length  n × count[1]  n × check[4]  n × tag[4]  8 × (n × time byte)  length × (n × key byte)
//! ```
//! Numbers are varints. Times and keys go by columns, and so that columns compress, all cells of an odd count but the first of
//! them are told by what they XOR that one's are: what all keys have in common is zero then everywhere. `length`: of the longest
//! key, all others being filled up with zeros.

use super::mark::{MARK_KEY_BYTES, Mark};
use super::sketch::{Cell, SKETCH_CELLS};
use super::wire::{Input, WireError, put_varint};

/// Appends these cells.
pub fn put_cells(out: &mut Vec<u8>, cells: &[Cell]) {
    let mut cells = cells.to_vec();
    toggle_odd(&mut cells);
    let length = cells.iter().map(|cell| cell.mark.key_len()).max();
    let length = length.unwrap_or(0);
    put_varint(out, cells.len() as u64);
    put_varint(out, length as u64);
    out.reserve(cells.len() * (17 + length));
    out.extend(cells.iter().map(|cell| cell.count));
    out.extend(cells.iter().flat_map(|cell| cell.check.to_be_bytes()));
    out.extend(cells.iter().flat_map(|cell| cell.mark.tag.to_be_bytes()));
    for at in 0..8 {
        out.extend(cells.iter().map(|cell| cell.mark.time.to_be_bytes()[at]));
    }
    for at in 0..length {
        out.extend(cells.iter().map(|cell| cell.mark.key_byte(at)));
    }
}

/// The cells that come next: at most all of a sketch.
///
/// # Errors
/// The bytes end early, or there are more cells or longer keys than a sketch has.
pub fn take_cells(input: &mut Input<'_>) -> Result<Vec<Cell>, WireError> {
    let count = input.count("cells", SKETCH_CELLS)?;
    let length = input.count("bytes of a key", MARK_KEY_BYTES)?;
    let counts = input.take(count)?;
    let checks = input.take(4 * count)?.as_chunks().0;
    let tags = input.take(4 * count)?.as_chunks().0;
    let cells = counts.iter().zip(checks).zip(tags);
    let cell = |((count, check), tag): ((&u8, &[u8; 4]), &[u8; 4])| Cell {
        count: *count,
        check: u32::from_be_bytes(*check),
        mark: Mark {
            tag: u32::from_be_bytes(*tag),
            ..Mark::default()
        },
    };
    let mut cells: Vec<Cell> = cells.map(cell).collect();
    for _ in 0..8 {
        for (cell, byte) in cells.iter_mut().zip(input.take(count)?) {
            cell.mark.time = cell.mark.time << 8 | u64::from(*byte);
        }
    }
    for at in 0..length {
        for (cell, byte) in cells.iter_mut().zip(input.take(count)?) {
            cell.mark.put_key_byte(at, *byte);
        }
    }
    toggle_odd(&mut cells);
    Ok(cells)
}

/// XORs times and keys of all cells of an odd count but the first with that one's. The same again undoes it.
fn toggle_odd(cells: &mut [Cell]) {
    let mut odd = cells.iter_mut().filter(|cell| cell.count % 2 == 1);
    let Some(first) = odd.next() else { return };
    let first = Mark {
        tag: 0,
        ..first.mark
    };
    odd.for_each(|cell| cell.mark.toggle(&first));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell() -> impl Strategy<Value = Cell> {
        let key = prop::collection::vec(any::<u8>(), 0..MARK_KEY_BYTES);
        (any::<u8>(), any::<u32>(), any::<u32>(), any::<u64>(), key).prop_map(
            |(count, check, tag, time, key)| {
                let mut mark = Mark {
                    tag,
                    time,
                    ..Mark::default()
                };
                for (at, byte) in key.into_iter().enumerate() {
                    mark.put_key_byte(at, byte);
                }
                Cell { count, check, mark }
            },
        )
    }

    proptest! {
        #[test]
        fn cells_come_back_and_a_cut_message_does_not(cells in prop::collection::vec(cell(), 0..20), at: prop::sample::Index) {
            let mut bytes = Vec::new();
            put_cells(&mut bytes, &cells);
            let mut input = Input::new(&bytes);
            let read = take_cells(&mut input);
            prop_assert_eq!((read, input.close()), (Ok(cells), Ok(())));
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert_eq!(take_cells(&mut Input::new(cut)), Err(WireError::Truncated));
        }
    }

    #[test]
    fn i12_no_more_cells_are_read_than_a_sketch_has() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, SKETCH_CELLS as u64 + 1);
        bytes.push(0);
        bytes.resize(2 << 20, 0);
        let read = take_cells(&mut Input::new(&bytes));
        assert!(matches!(read, Err(WireError::TooMany { .. })));
    }
}
