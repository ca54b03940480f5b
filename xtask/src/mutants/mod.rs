//! Deliberate bugs: a copy of the workspace has all of them, and each is switched on by itself to see whether the simulator finds it.

/// The bugs.
mod list;

/// The copy that has them.
mod copy;

/// Runs until one is found.
mod search;

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use list::{MUTANTS, Mutant};
use search::{Searched, Simulator};

use crate::run::{Failure, Outcome};

/// Bugs looked for at once, at the most.
const AT_ONCE_MAX: usize = 2;

/// Looks for every bug whose description has the given words in it (without any: all), and prints a table.
pub(crate) fn mutants(args: &[String]) -> Outcome {
    let words = args.join(" ");
    let asked: Vec<&Mutant> = MUTANTS.iter().filter(|m| m.what.contains(&words)).collect();
    if asked.is_empty() {
        return Err(Failure::new(format!("no bug has `{words}` in its name")));
    }
    let simulator = Simulator::build(&copy::make()?)?;
    let found = search_all(&simulator, &asked)?;
    println!("| taken out | found after so many runs |\n|---|---|");
    for (mutant, searched) in asked.iter().zip(&found) {
        println!("| {} | {searched} |", mutant.what);
    }
    let is_missed = |searched: &&Searched| matches!(searched, Searched::Missed { .. });
    match found.iter().filter(is_missed).count() {
        0 => Ok(()),
        missed => Err(Failure::new(format!("{missed} bugs were not found"))),
    }
}

/// What came of each, in their order.
fn search_all(simulator: &Simulator, mutants: &[&Mutant]) -> Result<Vec<Searched>, Failure> {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let parts: Vec<Result<Vec<_>, Failure>> = thread::scope(|scope| {
        let search = || search_in_turn(simulator, mutants, &next);
        let at_once = 0..cores.min(AT_ONCE_MAX);
        let searches: Vec<_> = at_once.map(|_| scope.spawn(search)).collect();
        let died = |_| Err(Failure::new("a search died"));
        let ended = searches.into_iter().map(|search| search.join());
        ended.map(|part| part.unwrap_or_else(died)).collect()
    });
    let parts: Result<Vec<_>, Failure> = parts.into_iter().collect();
    let mut all: Vec<(usize, Searched)> = parts?.into_iter().flatten().collect();
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, searched)| searched).collect())
}

/// Takes the next one until none is left, and tells what came of it.
fn search_in_turn(
    simulator: &Simulator,
    mutants: &[&Mutant],
    next: &AtomicUsize,
) -> Result<Vec<(usize, Searched)>, Failure> {
    let mut done = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(mutant) = mutants.get(at) else {
            return Ok(done);
        };
        let searched = simulator.search(mutant.what, search::RUNS)?;
        let violation = match &searched {
            Searched::Found { violation, .. } => violation,
            Searched::Missed { .. } => "",
        };
        eprintln!("{}: {searched}; {violation}", mutant.what);
        done.push((at, searched));
    }
}
