//! What happens in a run: drawn from the seed, before it begins.

use std::fmt;
use std::time::Duration;

use crate::sql::Place;

/// How the nodes know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Each knows each.
    Mesh,
    /// All know the first one, which relays.
    Hub,
    /// Each knows its neighbours, and relays.
    Chain,
}

/// One machine.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Where its rows are; `None`: it has no SQL, and so no part in the mesh.
    pub place: Option<Place>,
    /// Whether it has a write-ahead log.
    pub has_wal: bool,
    /// Whether it has a Redis.
    pub has_cache: bool,
    /// Whether its stream and its mailbox are on that; else they are in memory.
    pub posts_on_redis: bool,
}

impl Kind {
    fn replicating(rng: &mut fastrand::Rng) -> Self {
        Self {
            place: Some(match rng.u8(..3) {
                0 => Place::Server,
                _ => Place::File,
            }),
            has_wal: rng.u8(..4) != 0,
            has_cache: rng.bool(),
            posts_on_redis: rng.u8(..4) != 0,
        }
    }

    fn alone(rng: &mut fastrand::Rng) -> Self {
        Self {
            place: None,
            has_wal: rng.u8(..8) != 0,
            has_cache: true,
            posts_on_redis: rng.bool(),
        }
    }
}

/// Something that happens to one or two nodes.
#[derive(Clone, Debug)]
pub enum Event {
    /// The process is killed; with the machine's power, or without.
    Crash(usize, bool),
    /// The process is stopped in good order.
    Stop(usize),
    /// The process is started.
    Start(usize),
    /// The process is killed, and everything on its disks is gone.
    Wipe(usize),
    /// The disks are copied.
    Backup(usize),
    /// The process is killed, and the last backup of the second is put on the disks of the first.
    Restore(usize, usize),
    /// The line is cut, in this direction.
    Cut(usize, usize),
    /// The line takes up to so many milliseconds, and loses and repeats one message in so many.
    Noise(usize, usize, u64, u64),
    /// All lines are whole again.
    Mend,
    /// SQL answers nothing (true), or again.
    SqlDown(usize, bool),
    /// One call to SQL in so many fails, before or after it is done; 0: none.
    SqlFlaky(usize, u64),
    /// SQL takes up to so many milliseconds.
    SqlSlow(usize, u64),
    /// One sync of the log in so many fails; 0: none.
    SyncFails(usize, u64),
    /// Something happens to the Redis.
    Cache(usize, CacheEvent),
    /// All machines stand still for so long, and their clocks go on.
    Suspend(Duration),
    /// The wall clock is set to be off by so many milliseconds.
    Clock(usize, i64),
    /// Nobody writes any more: what is wrong now is not covered by newer writes.
    Quiet,
}

/// What may happen to a Redis.
#[derive(Clone, Copy, Debug)]
pub enum CacheEvent {
    /// It answers nothing (true), or again.
    Down(bool),
    /// It takes no writes (true), or again.
    Full(bool),
    /// One call in so many fails, with some or all of it done; 0: none.
    Flaky(u64),
    /// It takes up to so many milliseconds.
    Slow(u64),
    /// Another one takes over that missed what was written so lately.
    FailOver(Duration),
    /// It starts again, empty.
    Wipe,
    /// It throws out some of what it holds.
    Evict,
}

impl CacheEvent {
    /// Whether it may lose what nobody else has.
    pub fn loses(&self) -> bool {
        matches!(self, Self::FailOver(_) | Self::Wipe | Self::Evict)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The whole of it.
#[derive(Clone, Debug)]
pub struct Script {
    /// The machines.
    pub kinds: Vec<Kind>,
    /// How they know each other.
    pub topology: Topology,
    /// Keys that are written.
    pub keys: usize,
    /// Bytes of a content, about, at the most.
    pub content_max: usize,
    /// Entries that each stream keeps.
    pub stream_max: usize,
    /// Milliseconds until a batch is flushed.
    pub flush_ms: u64,
    /// Bytes of each L1: the smallest one holds a part of the keys only, and few of them where contents are large.
    pub l1_bytes: usize,
    /// Writers of each node.
    pub writers: usize,
    /// Milliseconds between two writes of one writer, at the most.
    pub pause_ms: u64,
    /// What happens, and when.
    pub events: Vec<(Duration, Event)>,
    /// When everything is mended.
    pub end: Duration,
}

impl Script {
    /// The script of this seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x005c_91b7);
        let nodes = rng.usize(2..=5);
        let mut kinds: Vec<Kind> = (0..nodes).map(|_| Kind::replicating(&mut rng)).collect();
        if rng.u8(..3) == 0 {
            kinds.push(Kind::alone(&mut rng));
        }
        let machines = kinds.len();
        let topology = match rng.u8(..4) {
            0 => Topology::Hub,
            1 => Topology::Chain,
            _ => Topology::Mesh,
        };
        let end = Duration::from_secs(rng.u64(5..40));
        let end_ms = end.as_millis() as u64;
        let mut events: Vec<(Duration, Event)> = Vec::new();
        for _ in 0..rng.usize(1..25) {
            let at = Duration::from_millis(rng.u64(..end_ms));
            push_event(&mut rng, machines, at, &mut events);
        }
        if rng.bool() {
            let at = Duration::from_millis(rng.u64(end_ms / 3..end_ms));
            events.push((at, Event::Quiet));
        }
        events.sort_by_key(|(at, _)| *at);
        let suspended = put_off(&mut events);
        Self {
            kinds,
            topology,
            keys: *[3, 20, 200].get(rng.usize(..3)).unwrap_or(&20),
            content_max: *[64, 64, 2_000].get(rng.usize(..3)).unwrap_or(&64),
            stream_max: *[10, 100, 10_000].get(rng.usize(..3)).unwrap_or(&100),
            flush_ms: *[5, 50, 200].get(rng.usize(..3)).unwrap_or(&50),
            l1_bytes: *[64 << 10, 1 << 20]
                .get(rng.usize(..2))
                .unwrap_or(&(1 << 20)),
            writers: rng.usize(1..=3),
            pause_ms: *[10, 100, 1000].get(rng.usize(..3)).unwrap_or(&100),
            events,
            end: end + suspended,
        }
    }
}

/// What comes after the machines stood still comes that much later. Gives how long they do in all.
fn put_off(events: &mut [(Duration, Event)]) -> Duration {
    let mut suspended = Duration::ZERO;
    for (at, event) in events {
        *at += suspended;
        if let Event::Suspend(duration) = event {
            suspended += *duration;
        }
    }
    suspended
}

/// Draws a fault, and mostly also its end.
fn push_event(
    rng: &mut fastrand::Rng,
    nodes: usize,
    at: Duration,
    events: &mut Vec<(Duration, Event)>,
) {
    let node = rng.usize(..nodes);
    let other = rng.usize(..nodes);
    let later = at + Duration::from_millis(rng.u64(1..8_000));
    let mut both = |begin, end| {
        events.push((at, begin));
        events.push((later, end));
    };
    match rng.u8(..23) {
        0 | 1 => both(Event::Crash(node, rng.bool()), Event::Start(node)),
        2 => both(Event::Stop(node), Event::Start(node)),
        3 => both(Event::Wipe(node), Event::Start(node)),
        4 => events.push((at, Event::Backup(node))),
        5 => both(Event::Restore(node, other), Event::Start(node)),
        6 => both(Event::Cut(node, other), Event::Mend),
        7 => {
            both(Event::Cut(node, other), Event::Mend);
            events.push((at, Event::Cut(other, node)));
        }
        8 => {
            let takes_ms = *[50, 2_000, 20_000].get(rng.usize(..3)).unwrap_or(&50);
            let noise = Event::Noise(node, other, takes_ms, rng.u64(2..10));
            both(noise, Event::Mend);
        }
        9 => both(Event::SqlDown(node, true), Event::SqlDown(node, false)),
        10 => both(
            Event::SqlFlaky(node, rng.u64(2..20)),
            Event::SqlFlaky(node, 0),
        ),
        11 => both(
            Event::SqlSlow(node, rng.u64(10..3_000)),
            Event::SqlSlow(node, 1),
        ),
        12 => {
            both(
                Event::SyncFails(node, rng.u64(2..50)),
                Event::SyncFails(node, 0),
            );
            events.push((later, Event::Crash(node, rng.bool())));
            events.push((later, Event::Start(node)));
        }
        13..=16 => push_cache_event(rng, node, (at, later), events),
        17..=20 => push_restart(rng, node, (at, later), events),
        21 => {
            // Whoever is off meanwhile was away for that long.
            let hours = rng.u64(1..24 * 21);
            both(Event::Crash(node, rng.bool()), Event::Start(node));
            let between = at + (later - at) / 2;
            events.push((between, Event::Suspend(Duration::from_secs(hours * 3_600))));
        }
        _ => events.push((at, Event::Clock(node, rng.i64(-60_000..60_000)))),
    }
}

/// Draws a restart with which something else comes.
fn push_restart(
    rng: &mut fastrand::Rng,
    node: usize,
    (at, later): (Duration, Duration),
    events: &mut Vec<(Duration, Event)>,
) {
    let between = at + (later - at) / 2;
    let (crash, start) = (Event::Crash(node, rng.bool()), Event::Start(node));
    let down = |is_down| Event::Cache(node, CacheEvent::Down(is_down));
    match rng.u8(..4) {
        // The clock is set back meanwhile.
        0 => {
            let clock = Event::Clock(node, rng.i64(-60_000..0));
            let end = if rng.bool() { crash } else { Event::Stop(node) };
            events.extend([(at, end), (between, clock), (later, start)]);
        }
        // Its SQL is away when it starts.
        1 => {
            let again = later + Duration::from_millis(rng.u64(1..5_000));
            events.extend([(at, crash), (at, Event::SqlDown(node, true))]);
            events.extend([(later, start), (again, Event::SqlDown(node, false))]);
        }
        // Its Redis has missed the last writes.
        2 => {
            events.extend([(at, down(true)), (between, crash)]);
            events.extend([(later, down(false)), (later, start)]);
        }
        // Its disks are replaced; its Redis is not.
        _ => {
            let clock = Event::Clock(node, rng.i64(-60_000..0));
            events.extend([(at, Event::Wipe(node)), (between, clock), (later, start)]);
        }
    }
}

/// Draws a fault of a node's Redis, and mostly also its end.
fn push_cache_event(
    rng: &mut fastrand::Rng,
    node: usize,
    (at, later): (Duration, Duration),
    events: &mut Vec<(Duration, Event)>,
) {
    let (begin, end) = match rng.u8(..7) {
        0 => (CacheEvent::Down(true), Some(CacheEvent::Down(false))),
        1 => (CacheEvent::Full(true), Some(CacheEvent::Full(false))),
        2 => {
            let once_in = rng.u64(2..20);
            (CacheEvent::Flaky(once_in), Some(CacheEvent::Flaky(0)))
        }
        3 => {
            let ms = rng.u64(10..3_000);
            (CacheEvent::Slow(ms), Some(CacheEvent::Slow(1)))
        }
        4 => {
            let lost = Duration::from_millis(rng.u64(..2_000));
            (CacheEvent::FailOver(lost), None)
        }
        5 => (CacheEvent::Wipe, None),
        _ => (CacheEvent::Evict, None),
    };
    events.push((at, Event::Cache(node, begin)));
    events.extend(end.map(|end| (later, Event::Cache(node, end))));
}
