//! The same seed gives the same log, to the last poll.

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..6 {
        let (first, second) = (sim::run::run(seed), sim::run::run(seed));
        let differ = first
            .log
            .lines()
            .zip(second.log.lines())
            .find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.log, second.log, "seed {seed}");
    }
}
