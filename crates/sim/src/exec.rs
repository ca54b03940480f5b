//! One thread, virtual time, and tasks that run in an order that only the seed decides.
//!
//! Among the tasks that are ready the next one is drawn at random, so that each seed is another interleaving. Time stands
//! still while any task is ready; then it leaps to the next timer. Tasks belong to groups, and a whole group can be
//! dropped wherever its tasks happen to wait: that is a crash.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use sync_engine::env::Task;

/// Polls without any progress of time after which a run is taken to be caught in a loop.
const POLLS_PER_INSTANT: u64 = 2_000_000;

/// Tasks that are dropped together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(pub u64);

/// The group of the world itself: the script, servers, the network. It never crashes.
pub const WORLD: Group = Group(0);

/// Why a run could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// A task panicked.
    Panic {
        /// Its name.
        task: &'static str,
        /// What it said.
        message: String,
    },
    /// Nothing is ready, and no timer is left.
    Deadlock,
    /// Tasks wake each other for ever while time stands still; the name of the one polled last.
    Livelock(&'static str),
}

/// The executor, shared by all that live in it.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

struct State {
    now: Duration,
    rng: fastrand::Rng,
    tasks: BTreeMap<u64, Slot>,
    /// In ascending order: in which order they were woken is not always the seed's.
    ready: Vec<u64>,
    timers: BTreeMap<(Duration, u64), Waker>,
    last_id: u64,
    alive: std::collections::BTreeSet<Group>,
    polls: u64,
}

struct Slot {
    group: Group,
    name: &'static str,
    /// Absent while it is polled.
    task: Option<Task>,
    is_queued: bool,
}

struct Alarm {
    task: u64,
    world: Weak<Mutex<State>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(world) = self.world.upgrade() {
            world.lock().queue(self.task);
        }
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn queue(&mut self, task: u64) {
        if let Some(slot) = self.tasks.get_mut(&task)
            && !slot.is_queued
        {
            slot.is_queued = true;
            if let Err(at) = self.ready.binary_search(&task) {
                self.ready.insert(at, task);
            }
        }
    }
}

impl World {
    /// An empty world in which everything random comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            rng: fastrand::Rng::with_seed(seed),
            tasks: BTreeMap::new(),
            ready: Vec::new(),
            timers: BTreeMap::new(),
            last_id: 0,
            alive: [WORLD].into(),
            polls: 0,
        })))
    }

    /// Time since the world began.
    pub fn now(&self) -> Duration {
        self.0.lock().now
    }

    /// How often a task was polled so far.
    pub fn polls(&self) -> u64 {
        self.0.lock().polls
    }

    /// A generator of its own, drawn from the world's.
    pub fn rng(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.0.lock().rng.u64(..))
    }

    /// A new group, alive.
    pub fn group(&self) -> Group {
        let mut state = self.0.lock();
        let group = Group(state.next_id());
        state.alive.insert(group);
        group
    }

    /// Starts a task. In a group that is dead it is dropped at once.
    pub fn spawn(&self, group: Group, name: &'static str, task: Task) {
        let mut state = self.0.lock();
        if !state.alive.contains(&group) {
            drop(state);
            drop(task);
            return;
        }
        let id = state.next_id();
        let slot = Slot {
            group,
            name,
            task: Some(task),
            is_queued: false,
        };
        state.tasks.insert(id, slot);
        state.queue(id);
    }

    /// Drops every task of the group, wherever it waits. Called from a task of another group.
    pub fn kill(&self, group: Group) {
        let mut state = self.0.lock();
        state.alive.remove(&group);
        let dead: Vec<u64> = state
            .tasks
            .iter()
            .filter(|(_, slot)| slot.group == group)
            .map(|(id, _)| *id)
            .collect();
        let slots: Vec<Option<Slot>> = dead.iter().map(|id| state.tasks.remove(id)).collect();
        drop(state);
        // Outside of the lock: what is dropped may wake and spawn.
        drop(slots);
    }

    /// Drops every task there is. They hold the world as the world holds them: without this both would stay for ever.
    pub fn end(&self) {
        let mut state = self.0.lock();
        state.alive.clear();
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        // Outside of the lock: what is dropped may wake and spawn.
        drop(tasks);
    }

    /// Completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let mut state = self.0.lock();
        Sleep {
            world: self.clone(),
            key: (state.now.saturating_add(duration), state.next_id()),
        }
    }

    /// Runs everything until `main` has ended.
    ///
    /// # Errors
    /// A panic anywhere, a deadlock, a livelock.
    pub fn run<T: Send + 'static>(
        &self,
        main: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Halt> {
        let outcome = Arc::new(Mutex::new(None));
        let slot = outcome.clone();
        let main = async move {
            let done = main.await;
            *slot.lock() = Some(done);
        };
        self.spawn(WORLD, "main", Box::pin(main));
        let mut polls_now = 0;
        loop {
            if let Some(done) = outcome.lock().take() {
                return Ok(done);
            }
            match self.poll_one()? {
                Some(name) => {
                    polls_now += 1;
                    if polls_now > POLLS_PER_INSTANT {
                        return Err(Halt::Livelock(name));
                    }
                }
                None => {
                    polls_now = 0;
                    if !self.leap() {
                        return Err(Halt::Deadlock);
                    }
                }
            }
        }
    }

    /// Polls a task that is ready; gives its name.
    fn poll_one(&self) -> Result<Option<&'static str>, Halt> {
        let mut state = self.0.lock();
        if state.ready.is_empty() {
            return Ok(None);
        }
        let count = state.ready.len();
        let drawn = state.rng.usize(..count);
        let id = state.ready.remove(drawn);
        let Some(slot) = state.tasks.get_mut(&id) else {
            return Ok(Some("a dead task"));
        };
        slot.is_queued = false;
        let (name, Some(mut task)) = (slot.name, slot.task.take()) else {
            return Ok(Some(slot.name));
        };
        state.polls += 1;
        drop(state);
        let waker = Waker::from(Arc::new(Alarm {
            task: id,
            world: Arc::downgrade(&self.0),
        }));
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            task.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        match polled {
            Ok(Poll::Ready(())) => {
                let slot = self.0.lock().tasks.remove(&id);
                drop((slot, task));
            }
            Ok(Poll::Pending) => {
                let mut state = self.0.lock();
                if let Some(slot) = state.tasks.get_mut(&id) {
                    slot.task = Some(task);
                    return Ok(Some(name));
                }
                drop(state);
                // Killed by what it woke.
                drop(task);
            }
            Err(payload) => {
                let message = payload
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| {
                        payload
                            .downcast_ref::<&str>()
                            .map(|text| (*text).to_owned())
                    })
                    .unwrap_or_default();
                return Err(Halt::Panic {
                    task: name,
                    message,
                });
            }
        }
        Ok(Some(name))
    }

    /// To the next timer; false when there is none.
    fn leap(&self) -> bool {
        let mut state = self.0.lock();
        let Some((&(at, _), _)) = state.timers.first_key_value() else {
            return false;
        };
        state.now = state.now.max(at);
        let now = state.now;
        let mut due = Vec::new();
        while let Some(entry) = state.timers.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
        true
    }
}

/// See [`World::sleep`].
pub struct Sleep {
    world: World,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.0.lock();
        if self.key.0 <= state.now {
            state.timers.remove(&self.key);
            return Poll::Ready(());
        }
        state.timers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.world.0.lock().timers.remove(&self.key);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn time_leaps_to_the_next_timer_and_no_further() {
        let world = World::new(1);
        let inner = world.clone();
        let done = world.run(async move {
            inner.sleep(Duration::from_secs(3600)).await;
            inner.now()
        });
        assert_eq!(done, Ok(Duration::from_secs(3600)));
    }

    #[test]
    fn a_killed_group_never_runs_again() {
        let world = World::new(2);
        let (inner, count) = (world.clone(), Arc::new(AtomicU32::new(0)));
        let group = world.group();
        let ticks = {
            let (world, count) = (world.clone(), count.clone());
            async move {
                loop {
                    world.sleep(Duration::from_millis(10)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        };
        world.spawn(group, "ticks", Box::pin(ticks));
        let seen = count.clone();
        let done = world.run(async move {
            inner.sleep(Duration::from_millis(55)).await;
            inner.kill(group);
            inner.spawn(
                group,
                "late",
                Box::pin(async { panic!("spawned by the dead") }),
            );
            inner.sleep(Duration::from_secs(1)).await;
            seen.load(Ordering::SeqCst)
        });
        assert_eq!(done, Ok(5));
    }

    #[test]
    fn a_panic_a_deadlock_and_a_livelock_are_told() {
        let world = World::new(3);
        world.spawn(WORLD, "bad", Box::pin(async { panic!("so it is") }));
        let ended = world.run(std::future::pending::<()>());
        let message = "so it is".to_owned();
        assert_eq!(
            ended,
            Err(Halt::Panic {
                task: "bad",
                message
            })
        );
        let ended = World::new(4).run(std::future::pending::<()>());
        assert_eq!(ended, Err(Halt::Deadlock));
        let spin = std::future::poll_fn(|context: &mut Context<'_>| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(World::new(5).run(spin), Err(Halt::Livelock("main")));
    }

    #[test]
    fn the_order_is_the_seeds() {
        let order = |seed| {
            let world = World::new(seed);
            let order = Arc::new(Mutex::new(Vec::new()));
            for task in 0..20 {
                let order = order.clone();
                world.spawn(
                    WORLD,
                    "one",
                    Box::pin(async move { order.lock().push(task) }),
                );
            }
            let inner = world.clone();
            world
                .run(async move { inner.sleep(Duration::from_millis(1)).await })
                .expect("it ends");
            Arc::try_unwrap(order)
                .map(Mutex::into_inner)
                .unwrap_or_default()
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }
}
