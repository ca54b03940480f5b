//! The log under `kill -9`: a child process appends and says what was acknowledged; it is killed at a random moment.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const PATH: &str = "SYNC_ENGINE_TEST_WAL_CHILD";
const ROUNDS: u64 = 20;

/// What the child runs. On its own it has nothing to do.
#[test]
fn child() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let wal = Arc::new(SqliteWal::open(path, Arc::new(RealEnv::default())).unwrap());
        let tasks: Vec<_> = (0..8)
            .map(|_| tokio::spawn(write_forever(wal.clone())))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Appends, frees at times, and prints `<position> <number>` for each acknowledged record.
async fn write_forever(wal: Arc<SqliteWal>) {
    loop {
        let number = u64::from(fastrand::u32(..));
        let size = fastrand::usize(1..3000);
        let first = wal
            .append(Box::new(vec![record(number, size), record(number + 1, 30)]))
            .await
            .unwrap();
        println!("ack {first} {number}");
        if first % 64 == 0 {
            // Names the floor before it takes effect.
            let floor = first.saturating_sub(500);
            println!("free {floor} 0");
            wal.free_below(floor);
        }
    }
}

/// What the child said, up to its last whole line.
#[derive(Default)]
struct Said {
    acknowledged: Vec<(WalPos, u64)>,
    floor: WalPos,
}

impl Said {
    fn line(&mut self, line: &str) {
        // The test harness prints its own lines, sometimes in front of ours.
        let Some(at) = line.find("ack ").or_else(|| line.find("free ")) else {
            return;
        };
        let words: Vec<&str> = line[at..].split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        let (Some(pos), Some(n)) = (number(1), number(2)) else {
            return;
        };
        match words[0] {
            "ack" => self.acknowledged.push((pos, n)),
            _ => self.floor = self.floor.max(pos),
        }
    }
}

fn run_and_kill(path: &std::path::Path, said: &mut Said) {
    // This very binary, also when another build has replaced the file meanwhile.
    let program = match std::path::Path::new("/proc/self/exe") {
        link if link.exists() => link.into(),
        _ => std::env::current_exe().unwrap(),
    };
    let mut child = Command::new(program)
        .args(["--exact", "wal::sqlite::tests::crash::child", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let wanted = said.acknowledged.len() + 1;
    while said.acknowledged.len() < wanted {
        line.clear();
        assert!(
            output.read_line(&mut line).unwrap() > 0,
            "the child ended by itself"
        );
        said.line(line.trim_end());
    }
    let killer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_micros(fastrand::u64(0..150_000)));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    loop {
        line.clear();
        // A line without its end was cut off by the kill: nobody was told.
        if output.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
            break;
        }
        said.line(line.trim_end());
    }
    killer.join().unwrap();
}

#[tokio::test]
async fn a_crash_at_any_instant_keeps_every_acknowledged_record() {
    let place = Place::new();
    let mut said = Said::default();
    let mut torn = 0;
    for round in 0..ROUNDS {
        run_and_kill(&place.path, &mut said);
        let wal = place.open();
        // A write cut off by the kill is told of; anything else would be damage.
        if let Some(damage) = wal.damage() {
            assert!(damage.contains("is incomplete"), "round {round}: {damage}");
            torn += 1;
        }
        let found: std::collections::HashMap<_, _> = all(&wal).await.into_iter().collect();
        let (_, next) = wal.bounds();
        for &(pos, number) in &said.acknowledged {
            assert!(pos + 1 < next, "round {round}: {pos} would be used again");
            if pos >= said.floor {
                let kept = found
                    .get(&pos)
                    .unwrap_or_else(|| panic!("round {round}: {pos} is lost"));
                assert_eq!(*kept.key(), *format!("key.{number}"), "round {round}");
                assert_eq!(found[&(pos + 1)], record(number + 1, 30), "round {round}");
            }
        }
        wal.close().await.unwrap();
    }
    println!(
        "{} acknowledged, {torn} of {ROUNDS} kills left a torn write",
        said.acknowledged.len()
    );
}
