#![expect(clippy::print_stdout, reason = "a failure names its seed")]

use super::*;

mod idle;
mod overload;

/// The seeds that are tried: a thousand, or as many as the one variable asks for, or the one that the other
/// names.
fn seeds() -> std::ops::Range<u64> {
    let asked = |variable| {
        let value = std::env::var(variable).ok()?;
        Some(value.parse::<u64>().expect("a number"))
    };
    match asked("GOSSIP_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("GOSSIP_SIMULATION_SEEDS").unwrap_or(1_000),
    }
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

#[test]
fn the_seeds_of_the_fuzz_targets_come_to_rest() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let targets = [
        ("engine_flow", Scope::Flow),
        ("engine_lifecycle", Scope::Lifecycle),
        ("engine_broadcaster", Scope::Broadcaster),
    ];
    for (target, scope) in targets {
        let seeds = std::fs::read_dir(corpus.join(target)).unwrap();
        let bytes: Vec<_> =
            seeds.map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect();
        assert!(bytes.len() >= 5, "{target}");
        for bytes in bytes {
            let _ = run(&bytes, scope);
        }
    }
}
