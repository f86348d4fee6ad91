//! The wire format: how long a message of each type takes to encode and to decode, beside prost's own
//! decoding of the same bytes, and what is allocated for it.
//!
//! The payload is shared, as it is when a transport has read it into one buffer; each decoding takes
//! a reference to it. A chunk is decoded without a copy of its content, which the counting allocator
//! shows: were it copied, the allocated bytes would be at least as many.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "wire/bare.rs"]
mod bare;
#[path = "harness/folder.rs"]
mod folder;
#[path = "harness/output.rs"]
mod output;
#[path = "harness/statistics.rs"]
mod statistics;

use std::{hint::black_box, io, time::Instant};

use allocation_counter::AllocationInfo;
use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage,
    IntegrityHash, wire,
};
use prost::Message as _;
use serde_json::{Value, json};

use self::statistics::Quartiles;

const SMALL: usize = 64;
const CHUNK: usize = 1 << 20;
/// How many bytes a sample of the clock covers at most, and how many operations.
const SAMPLE_BYTES: usize = 64 << 20;
const SAMPLE_OPERATIONS: usize = 50_000;

/// One operation on one message, to be repeated.
struct Operation<'a> {
    name: &'static str,
    run: Box<dyn Fn() + 'a>,
}

fn messages() -> [(&'static str, GossipMessage); 5] {
    let artifact_id = ArtifactId::new([1; 32]);
    let integrity_hash = IntegrityHash::new([2; 32]);
    let attributes = Bytes::from(vec![3; SMALL]);
    let chunk = |length| {
        let payload = Ok(Bytes::from(vec![4; length]));
        GossipMessage::Chunk(GossipChunk { artifact_id, integrity_hash, chunk_number: 5, payload })
    };
    let advert = GossipAdvert { artifact_id, size: CHUNK as u64, integrity_hash, attributes };
    let request = GossipChunkRequest { artifact_id, integrity_hash, chunk_number: 5 };
    [
        ("advert", GossipMessage::Advert(advert)),
        ("chunk request", GossipMessage::ChunkRequest(request)),
        ("retransmission", GossipMessage::RetransmissionRequest(ArtifactFilter { height: 6 })),
        ("chunk of 64 B", chunk(SMALL)),
        ("chunk of 1 MiB", chunk(CHUNK)),
    ]
}

/// The last is what ratios are taken to.
fn operations<'a>(message: &'a GossipMessage, payload: &'a Bytes) -> [Operation<'a>; 3] {
    let encode = move || drop(black_box(wire::encode(black_box(message))));
    let decode = move || drop(black_box(wire::decode(black_box(payload).clone())));
    let bare = move || drop(black_box(bare::GossipMessage::decode(black_box(payload).clone())));
    [
        Operation { name: "encode", run: Box::new(encode) },
        Operation { name: "decode", run: Box::new(decode) },
        Operation { name: "decode by prost", run: Box::new(bare) },
    ]
}

/// Nanoseconds for each operation.
fn sample(operation: &Operation<'_>, repeats: usize) -> f64 {
    let started = Instant::now();
    for _ in 0..repeats {
        (operation.run)();
    }
    started.elapsed().as_nanos() as f64 / repeats as f64
}

fn measure(name: &str, message: &GossipMessage, quick: bool) -> Vec<Value> {
    let payload = wire::encode(message);
    assert_eq!(wire::decode(payload.clone()).as_ref(), Ok(message), "it is read as it was written");
    assert!(bare::GossipMessage::decode(payload.clone()).is_ok(), "prost reads it as well");
    let operations = operations(message, &payload);
    let (rounds, share) = if quick { (3, 50) } else { (15, 1) };
    let repeats = (SAMPLE_BYTES / payload.len()).min(SAMPLE_OPERATIONS) / share + 1;
    let mut times = operations.each_ref().map(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (operation, times) in operations.iter().zip(&mut times) {
            times.push(sample(operation, repeats));
        }
    }
    let bare = times.last().expect("there are operations");
    let rows = operations.iter().zip(&times).map(|(operation, own)| {
        let time = Quartiles::of(own.iter().copied());
        let decodes = operation.name != "encode";
        let ratio = decodes.then(|| Quartiles::of_ratio(own, bare));
        let allocated: AllocationInfo = allocation_counter::measure(|| (operation.run)());
        println!(
            "{name:>15}, {:15} {:>8} bytes {:>9.0} ns [{:>6.0} {:>6.0}] {:>4} allocations of {} bytes",
            operation.name, payload.len(), time.median, time.lower, time.upper,
            allocated.count_total, allocated.bytes_total,
        );
        json!({
            "message": name,
            "operation": operation.name,
            "payload_bytes": payload.len(),
            "rounds": rounds,
            "repeats": repeats,
            "ns": time.json(),
            "bytes_per_second": (payload.len() as f64 / time.median * 1e9).round(),
            "ratio_to_prost": ratio.map(Quartiles::json),
            "allocations": allocated.count_total,
            "allocated_bytes": allocated.bytes_total,
        })
    });
    rows.collect()
}

fn main() -> io::Result<()> {
    let quick = output::is_quick();
    let rows =
        messages().iter().flat_map(|(name, message)| measure(name, message, quick)).collect();
    output::publish("wire", rows)
}
