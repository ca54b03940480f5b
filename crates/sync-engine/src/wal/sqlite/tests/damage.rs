//! Damaged files: kept aside, repaired as far as can be, and told.

use super::*;

/// A closed log of 400 records in 40 rows.
async fn closed_log() -> Place {
    let place = Place::new();
    let wal = place.open();
    for n in 0..40 {
        wal.append(Box::new(records(n * 10..n * 10 + 10, 500)))
            .await
            .unwrap();
    }
    wal.close().await.unwrap();
    place
}

/// The same, but as a crash leaves it: every record in the `-wal` file, none in the database.
async fn crashed_log() -> Place {
    let place = Place::new();
    let wal = place.open();
    for n in 0..40 {
        wal.append(Box::new(records(n * 10..n * 10 + 10, 500)))
            .await
            .unwrap();
    }
    let copy = Place::new();
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&place.path, suffix), beside(&copy.path, suffix)).unwrap();
    }
    copy
}

fn patch(path: &std::path::Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Every record found is one that was written; gives how many there are.
async fn intact(wal: &SqliteWal) -> usize {
    let found = all(wal).await;
    for (_, record) in &found {
        let Stored::Live(item) = record else {
            panic!("{record:?}")
        };
        assert_eq!(*record, super::record(item.version, 500));
    }
    found.len()
}

/// After damage new positions are above all old ones, and the next opening finds nothing wrong.
async fn goes_on(place: &Place, wal: SqliteWal) {
    let before = intact(&wal).await;
    let pos = wal.append(Box::new(vec![record(7, 500)])).await.unwrap();
    assert!(pos >= 400, "{pos} was used before");
    wal.close().await.unwrap();
    let wal = place.open();
    assert_eq!(wal.damage(), None);
    assert_eq!(intact(&wal).await, before + 1);
    assert_eq!(wal.bounds().1, pos + 1);
}

#[tokio::test]
async fn a_crashed_log_is_whole() {
    let place = crashed_log().await;
    let wal = place.open();
    assert_eq!(wal.damage(), None);
    assert_eq!(intact(&wal).await, 400);
    goes_on(&place, wal).await;
}

#[tokio::test]
async fn a_torn_tail_costs_only_the_torn_write() {
    for cut in [1, 100, 4119, 5000] {
        let place = crashed_log().await;
        patch(&beside(&place.path, "-wal"), |bytes| {
            bytes.truncate(bytes.len() - cut)
        });
        let wal = place.open();
        let damage = wal.damage().expect("it is told");
        assert!(
            damage.contains("incomplete") && damage.contains(".damaged-1-tail"),
            "{damage}"
        );
        assert!(place.size(".damaged-1-tail") > 0);
        assert_eq!(intact(&wal).await, 390, "cut {cut}");
        goes_on(&place, wal).await;
    }
}

#[tokio::test]
async fn bytes_overwritten_at_the_end_cost_only_the_last_write() {
    let place = crashed_log().await;
    patch(&beside(&place.path, "-wal"), |bytes| {
        let end = bytes.len();
        bytes[end - 50..].fill(0xaa);
    });
    let wal = place.open();
    assert!(wal.damage().is_some());
    assert_eq!(intact(&wal).await, 390);
    goes_on(&place, wal).await;
}

#[tokio::test]
async fn damage_in_the_middle_of_the_wal_file_is_told_and_all_of_it_kept_aside() {
    let place = crashed_log().await;
    let before = std::fs::read(beside(&place.path, "-wal")).unwrap();
    let mut damaged = before.clone();
    damaged[before.len() / 2] ^= 1;
    std::fs::write(beside(&place.path, "-wal"), &damaged).unwrap();
    let wal = place.open();
    let damage = wal.damage().expect("it is told");
    assert!(
        damage.contains("damaged at byte") && damage.contains(".damaged-1"),
        "{damage}"
    );
    assert_eq!(
        std::fs::read(beside(&place.path, ".damaged-1-wal")).unwrap(),
        damaged
    );
    assert!(place.size(".damaged-1") > 0);
    let kept = intact(&wal).await;
    assert!((100..400).contains(&kept), "{kept}");
    goes_on(&place, wal).await;
}

#[tokio::test]
async fn a_wal_file_with_a_damaged_head_is_told() {
    let place = crashed_log().await;
    patch(&beside(&place.path, "-wal"), |bytes| bytes[5] ^= 1);
    let wal = place.open();
    assert!(wal.damage().unwrap().contains("damaged at byte 0"));
    goes_on(&place, wal).await;
}

#[tokio::test]
async fn a_byte_flipped_anywhere_is_found_and_costs_little() {
    let clean = closed_log().await;
    let size = clean.size("") as usize;
    let (mut repaired, mut refused) = (0, 0);
    for at in (100..size).step_by(size / 60) {
        let place = Place::new();
        std::fs::copy(&clean.path, &place.path).unwrap();
        patch(&place.path, |bytes| bytes[at] ^= 0x20);
        let damaged = std::fs::read(&place.path).unwrap();
        match place.try_open() {
            Ok(wal) => {
                let kept = intact(&wal).await;
                // Unused bytes of a page may change unnoticed, and do no harm.
                if wal.damage().is_some() {
                    repaired += 1;
                    assert_eq!(
                        std::fs::read(beside(&place.path, ".damaged-1")).unwrap(),
                        damaged
                    );
                    assert!(kept >= 300, "byte {at}: {kept} kept; {:?}", wal.damage());
                } else {
                    assert_eq!(kept, 400, "byte {at}");
                }
                goes_on(&place, wal).await;
            }
            // The page that describes the table.
            Err(WalError::Damaged { .. }) => {
                refused += 1;
                assert!(at < PAGE_BYTES);
                assert_eq!(
                    std::fs::read(&place.path).unwrap(),
                    damaged,
                    "left as it was"
                );
            }
            Err(other) => panic!("byte {at}: {other:?}"),
        }
    }
    assert!(
        repaired > 30 && refused < 5,
        "{repaired} repaired, {refused} refused"
    );
}

#[tokio::test]
async fn a_page_of_zeros_is_found_and_costs_little() {
    let clean = closed_log().await;
    for page in 1..clean.size("") as usize / PAGE_BYTES {
        let place = Place::new();
        std::fs::copy(&clean.path, &place.path).unwrap();
        patch(&place.path, |bytes| {
            bytes[page * PAGE_BYTES..][..PAGE_BYTES].fill(0)
        });
        match place.try_open() {
            Ok(wal) => {
                assert!(wal.damage().is_some(), "page {page}");
                goes_on(&place, wal).await;
            }
            Err(other) => panic!("page {page}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let sqlite = |sql: &str| {
        let path = place.path.with_extension("other");
        std::fs::remove_file(&path).ok();
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        std::fs::read(&path).unwrap()
    };
    let later = format!(
        "PRAGMA application_id={}; PRAGMA user_version=9; CREATE TABLE log (x)",
        layout::APPLICATION_ID
    );
    let cases = [
        (
            b"hello, this is a shopping list\n".repeat(50),
            "not a SQLite file",
        ),
        (vec![0; 10], "not a SQLite file"),
        (sqlite("CREATE TABLE log (x)"), "something else"),
        (sqlite(&later), "layout 9"),
    ];
    for (bytes, reason) in cases {
        std::fs::write(&place.path, &bytes).unwrap();
        let refused = place.try_open();
        let Err(error @ WalError::Damaged { .. }) = refused else {
            panic!("{refused:?}")
        };
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(std::fs::read(&place.path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_log_and_a_lost_database_is_told() {
    let place = Place::new();
    std::fs::write(&place.path, b"").unwrap();
    let wal = place.open();
    assert_eq!((wal.damage(), wal.bounds()), (None, (0, 0)));
    wal.close().await.unwrap();

    let place = crashed_log().await;
    std::fs::remove_file(&place.path).unwrap();
    let wal = place.open();
    assert!(wal.damage().unwrap().contains("is gone"));
    assert!(place.size(".damaged-1-wal") > 0);
    goes_on(&place, wal).await;
}

#[tokio::test]
async fn a_repair_cut_short_is_finished() {
    let place = closed_log().await;
    // A complete rebuilt file that was not yet put in place, beside a damaged one with its -wal.
    std::fs::rename(&place.path, beside(&place.path, ".rebuilt")).unwrap();
    std::fs::write(&place.path, b"damaged").unwrap();
    std::fs::write(beside(&place.path, "-wal"), b"damaged").unwrap();
    std::fs::write(beside(&place.path, ".rebuilding"), b"half").unwrap();
    let wal = place.open();
    assert_eq!((wal.damage(), intact(&wal).await), (None, 400));
    goes_on(&place, wal).await;
}
