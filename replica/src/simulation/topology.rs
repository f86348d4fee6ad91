//! Who is connected to whom, and who can be reached.

use std::collections::BTreeSet;

use super::{options::Topology, random::Random};

/// The connections, the smaller number first, in order.
pub(super) fn links(topology: Topology, replicas: usize, random: &mut Random) -> Vec<(u32, u32)> {
    match topology {
        Topology::Neighbours(neighbours) if neighbours + 1 < replicas => {
            rings(neighbours / 2, replicas, random)
        }
        _ => {
            let all = 0..replicas as u32;
            all.clone().flat_map(|a| (a + 1..all.end).map(move |b| (a, b))).collect()
        }
    }
}

/// How often two that lack a connection are looked for, for each that does.
const FILL_TRIES: usize = 8;

/// So many random rings through all replicas. Each one of them connects all. Where two have the same connection, those
/// that so lack one are connected with each other, as far as they are found.
fn rings(rings: usize, replicas: usize, random: &mut Random) -> Vec<(u32, u32)> {
    let mut links = BTreeSet::new();
    let mut counts = vec![0; replicas];
    let mut connect = |counts: &mut Vec<usize>, a: u32, b: u32| {
        if a != b && links.insert((a.min(b), a.max(b))) {
            counts[a as usize] += 1;
            counts[b as usize] += 1;
        }
    };
    let mut order: Vec<u32> = (0..replicas as u32).collect();
    for _ in 0..rings {
        random.shuffle(&mut order);
        let next = order.iter().cycle().skip(1);
        order.iter().zip(next).for_each(|(a, b)| connect(&mut counts, *a, *b));
    }
    order.retain(|node| counts[*node as usize] < 2 * rings);
    for _ in 0..FILL_TRIES * order.len() {
        let [a, b] = [(); 2].map(|()| order[random.below(order.len() as u64) as usize]);
        if counts[a as usize] < 2 * rings && counts[b as usize] < 2 * rings {
            connect(&mut counts, a, b);
        }
    }
    links.into_iter().collect()
}

/// Whom what is published at 0 can come to, if only these pass it on.
pub(super) fn reachable(links: &[(u32, u32)], passes_on: &[bool]) -> Vec<bool> {
    let mut neighbours = vec![Vec::new(); passes_on.len()];
    for (a, b) in links {
        neighbours[*a as usize].push(*b as usize);
        neighbours[*b as usize].push(*a as usize);
    }
    let mut reached = vec![false; passes_on.len()];
    reached[0] = true;
    let mut next = vec![0];
    while let Some(at) = next.pop() {
        for neighbour in &neighbours[at] {
            if passes_on[*neighbour] && !reached[*neighbour] {
                reached[*neighbour] = true;
                next.push(*neighbour);
            }
        }
    }
    reached
}
