#![expect(clippy::print_stdout, reason = "a failure names its seed, and what is skipped is said")]

use super::{random::Random, *};

mod advice;
mod brief;
mod idle;
mod latest;
mod overload;

/// As many bytes as one run of a seed uses up.
const BYTES_OF_A_SEED: usize = 2_000;

fn bytes_of(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..BYTES_OF_A_SEED / 8).flat_map(|_| random.number().to_le_bytes()).collect()
}

fn seeds() -> std::ops::Range<u64> {
    random::seeds(0..1_000)
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
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        println!("skipped: the crate as it is published has no fuzz targets");
        return;
    }
    let targets = [
        ("engine_flow", Scope::Flow),
        ("engine_lifecycle", Scope::Lifecycle),
        ("engine_broadcaster", Scope::Broadcaster),
    ];
    for (target, scope) in targets {
        let seeds = std::fs::read_dir(fuzz.join("corpus").join(target)).unwrap();
        let bytes: Vec<_> =
            seeds.map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect();
        assert!(bytes.len() >= 5, "{target}");
        for bytes in bytes {
            let _ = run(&bytes, scope);
        }
    }
}
