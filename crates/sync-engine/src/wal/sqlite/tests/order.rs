//! One order: placed, logged, told.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Counts when it is placed, and notes its number when it is logged.
struct Numbered {
    placed: Arc<AtomicU64>,
    logged: Arc<Mutex<Vec<(WalPos, u64)>>>,
    number: u64,
    records: Vec<Stored>,
}

impl Appending for Numbered {
    fn bytes(&self) -> usize {
        100
    }
    fn placed(&mut self) {
        self.number = self.placed.fetch_add(1, Ordering::Relaxed);
        // Whoever gets in between now would get a later number and an earlier place.
        std::thread::yield_now();
    }
    fn records(&mut self) -> &[Stored] {
        self.records = vec![record(self.number, 100)];
        &self.records
    }
    fn logged(self: Box<Self>, first: WalPos) {
        self.logged.lock().push((first, self.number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_what_is_placed_first_is_logged_first_and_told_first() {
    let place = Place::new();
    let wal = Arc::new(place.open());
    let (placed, logged) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<_>>>::default());
    let one = || Numbered {
        placed: placed.clone(),
        logged: logged.clone(),
        number: 0,
        records: Vec::new(),
    };
    let writers: Vec<_> = (0..64)
        .map(|_| {
            let (wal, calls) = (wal.clone(), [(); 20].map(|()| one()));
            tokio::spawn(async move {
                for call in calls {
                    wal.append(Box::new(call)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let logged = logged.lock().clone();
    assert_eq!(logged.len(), 64 * 20);
    let in_order = logged.iter().enumerate();
    let mut told = in_order.map(|(n, told)| (n as u64, *told));
    let wrong = told.find(|(n, told)| *told != (*n, *n));
    assert_eq!(wrong, None);
    for (pos, stored) in all(&wal).await {
        assert_eq!(stored.key(), record(pos, 1).key());
    }
}

/// A caller that goes away leaves either nothing, or records of which is known that they are there.
#[tokio::test(flavor = "multi_thread")]
async fn i2_what_is_logged_is_told_also_when_the_caller_is_gone() {
    let place = Place::new();
    let wal = place.open();
    let (placed, logged) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<_>>>::default());
    for _ in 0..50 {
        let call = Numbered {
            placed: placed.clone(),
            logged: logged.clone(),
            number: 0,
            records: Vec::new(),
        };
        let append = wal.append(Box::new(call));
        // Polled once: it is on its way then.
        futures_util::future::select(append, std::future::ready(())).await;
    }
    let next = wal.append(Box::new(records(0..1, 10))).await.unwrap();
    assert_eq!(logged.lock().len() as u64, next);
    assert_eq!(placed.load(Ordering::Relaxed), next);
}
