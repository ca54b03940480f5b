//! Cutting a batch into statements. Few different sizes, so that each statement is prepared once and used again.

use std::ops::Range;

/// Cuts rows of these sizes into runs of 1, 2, 4, … `rows_max` rows, each of at most `bytes_max` in sum; a larger row goes alone.
pub(super) fn runs(sizes: &[usize], rows_max: usize, bytes_max: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < sizes.len() {
        let mut bytes = 0usize;
        let fitting = sizes.iter().skip(start).take(rows_max).take_while(|size| {
            bytes = bytes.saturating_add(**size);
            bytes <= bytes_max
        });
        let fitting = fitting.count().max(1);
        let rows = 1 << fitting.ilog2();
        runs.push(start..start + rows);
        start += rows;
    }
    runs
}

/// `count` times `one`, with commas between.
pub(super) fn list(one: &str, count: usize) -> String {
    let mut text = String::with_capacity(count * (one.len() + 1));
    for n in 0..count {
        if n > 0 {
            text.push(',');
        }
        text.push_str(one);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_in_one_run_within_the_bounds(
            sizes in prop::collection::vec(0..50usize, 0..100), rows_exp in 0..6u32, bytes_max in 1..200usize,
        ) {
            let rows_max = 1 << rows_exp;
            let mut next = 0;
            for run in runs(&sizes, rows_max, bytes_max) {
                prop_assert_eq!(run.start, next);
                prop_assert!(run.len().is_power_of_two() && run.len() <= rows_max);
                prop_assert!(run.len() == 1 || sizes[run.clone()].iter().sum::<usize>() <= bytes_max);
                next = run.end;
            }
            prop_assert_eq!(next, sizes.len());
        }
    }

    #[test]
    fn lists_have_commas_between() {
        assert_eq!(list("?", 3), "?,?,?");
        assert_eq!(list("(?,?)", 1), "(?,?)");
        assert_eq!(list("?", 0), "");
    }
}
