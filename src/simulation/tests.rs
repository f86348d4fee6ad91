#![expect(clippy::print_stdout, reason = "a failure names its seed")]

use super::*;

/// How many seeds are tried; the variable asks for more.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("GOSSIP_SIMULATION_SEEDS").ok();
    let count = asked.map_or(1_000, |count| count.parse().expect("a number of seeds"));
    0..count
}

#[test]
fn whatever_happens_to_the_engine_it_comes_to_rest_and_nothing_is_lost() {
    for seed in seeds() {
        let scope = [Scope::Lifecycle, Scope::Flow][(seed % 2) as usize];
        println!("seed {seed}, {scope:?}");
        let _ = run(&bytes_of(seed), scope);
    }
}

#[test]
fn whatever_happens_to_the_broadcaster_adverts_go_out_in_order() {
    for seed in seeds() {
        println!("seed {seed}");
        let _ = run(&bytes_of(seed)[..400], Scope::Broadcaster);
    }
}

#[test]
fn the_same_seed_makes_the_same_run_and_another_another() {
    let traces = |seed| [(); 2].map(|()| run(&bytes_of(seed), Scope::Lifecycle));
    for seed in 0..20 {
        let [first, second] = traces(seed);
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(traces(0), traces(1));
}
