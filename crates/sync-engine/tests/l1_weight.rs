//! What L1 says it uses is what the process uses, for small values and for large ones.
//!
//! Measured by the resident set, as an operator sees it.
#![cfg(target_os = "linux")]

use sync_engine::l1::{L1, L1Limits};
use sync_engine::{ContentType, Stored, SyncItem};

const BYTES: usize = 96 << 20;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.expect("a number of kB") * 1024
}

fn item(n: usize, size: usize) -> Stored {
    let key = format!("uk.nhs.patient.record.{n:010}");
    let content = vec![b'x'; size];
    Stored::Live(SyncItem::with_type(
        key.into(),
        content.into(),
        ContentType::Binary,
    ))
}

fn measure(size: usize) -> (f64, usize) {
    let limits = L1Limits {
        bytes_max: BYTES,
        warn: 0.7,
        critical: 0.9,
    };
    let before = resident_bytes();
    let l1 = L1::new(limits, 7);
    // Past the cap, so that evictions have left their traces.
    let entries = BYTES / L1::weight_of(&item(0, size));
    for n in 0..entries * 3 / 2 {
        let stored = item(n, size);
        let ticket = l1.ticket(stored.key());
        assert!(l1.fill(stored, ticket, None));
    }
    let real = resident_bytes() - before;
    let told = l1.used_bytes();
    println!("{size} B: {} entries, {told} told, {real} real", l1.len());
    (told as f64 / real as f64, l1.len())
}

/// Each size in a process of its own: memory that an earlier one has freed would be used again and not be seen.
#[test]
fn weights_agree_with_the_resident_set() {
    const ARG: &str = "L1_WEIGHT_SIZE";
    if let Ok(size) = std::env::var(ARG) {
        let (ratio, len) = measure(size.parse().expect("a size"));
        assert!(
            len > 1000 && (0.9..=1.1).contains(&ratio),
            "{size} B: {ratio}"
        );
        return;
    }
    let me = std::env::current_exe().expect("this test");
    for size in [64, 200, 1000, 4096] {
        let run = std::process::Command::new(&me)
            .args([
                "--exact",
                "weights_agree_with_the_resident_set",
                "--nocapture",
            ])
            .env(ARG, size.to_string())
            .output()
            .expect("this test runs");
        let shown = String::from_utf8_lossy(&run.stdout);
        print!("{shown}");
        let error = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{shown}{error}");
    }
}
