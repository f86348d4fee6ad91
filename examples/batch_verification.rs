//! Votes signed with Ed25519, verified in batches behind a fair queue.
//!
//! Signatures that are verified together take less time each, but a batch says only that one of them is wrong. So a
//! batch that fails is verified one by one, which blames the liar alone. Its votes stay out of later batches. Here one
//! peer floods with wrong signatures. It has one turn like everybody else, so the others' votes are verified meanwhile.
//!
//! ```text
//! cargo run --release --example batch_verification
//! cargo add ed25519-dalek --features batch    # in a crate of your own
//! ```

#![expect(clippy::disallowed_types, reason = "a program of its own takes the standard library's")]

use std::{
    io::{Write as _, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey, verify_batch};
use gossip_engine::{FlowConfig, FlowWorker, MessageHandler, MetricsRegistry, Received};

const HONEST: usize = 8;
/// The peer behind the honest ones.
const LIAR: usize = HONEST;
/// Of each honest peer.
const VOTES: usize = 300;

#[derive(Clone)]
struct Vote {
    text: [u8; 32],
    signature: Signature,
}

/// Verifies votes, and says whose they were and whether they are right.
struct Verify {
    keys: Vec<VerifyingKey>,
    /// By peer: one of its votes was wrong.
    lied: Vec<AtomicBool>,
    batch: usize,
    verdicts: mpsc::Sender<(usize, bool)>,
}

impl MessageHandler<Vote, usize> for Verify {
    fn handle(&self, &peer: &usize, vote: Vote) {
        let is_right = self.keys[peer].verify_strict(&vote.text, &vote.signature).is_ok();
        // Relaxed: a batch that does not know of it yet fails, and is verified one by one.
        self.lied[peer].fetch_or(!is_right, Ordering::Relaxed);
        let _ = self.verdicts.send((peer, is_right)); // Nobody listens at the end.
    }

    fn handle_many(&self, votes: Vec<Received<Vote, usize>>) {
        let has_lied = |peer: &usize| self.lied[*peer].load(Ordering::Relaxed);
        let (alone, together): (Vec<_>, Vec<_>) =
            votes.into_iter().partition(|vote| has_lied(vote.peer()));
        let texts: Vec<&[u8]> = together.iter().map(|vote| &vote.message.text[..]).collect();
        let signatures: Vec<_> = together.iter().map(|vote| vote.message.signature).collect();
        let keys: Vec<_> = together.iter().map(|vote| self.keys[*vote.peer()]).collect();
        // The two ways may disagree on a key that was made for it. Where all must agree, such keys are kept out.
        let are_right = verify_batch(&texts, &signatures, &keys).is_ok();
        for vote in together.into_iter().chain(alone) {
            let peer = *vote.peer();
            match are_right && !has_lied(&peer) {
                true => drop(self.verdicts.send((peer, true))),
                false => self.handle(&peer, vote.message),
            }
        }
    }

    fn max_batch(&self) -> usize {
        self.batch
    }
}

/// Submits the votes of all peers; how many honest ones are verified in a second, how many lies were refused, and how
/// many of the last hundred votes that were verified were the liar's.
fn run(keys: &[SigningKey], batch: usize) -> (f64, usize, usize) {
    let (verdicts, hears) = mpsc::channel();
    let lied = keys.iter().map(|_| AtomicBool::new(false)).collect();
    let of_peers = keys.iter().map(SigningKey::verifying_key).collect();
    let handler = Verify { keys: of_peers, lied, batch, verdicts };
    // A turn is long enough for some votes of each peer to come together.
    let config = FlowConfig::new(1_000).with_threads(1).with_quantum(Duration::from_millis(1));
    let flow = FlowWorker::new("votes", &config, &MetricsRegistry::new(), handler);
    let flow = Arc::new(flow.expect("the system gives a thread"));
    let started = Instant::now();
    thread::scope(|threads| {
        for (peer, key) in keys.iter().enumerate() {
            let text = [peer as u8; 32];
            // The liar goes on until the flow is closed.
            let (signed, times) = if peer == LIAR { ([0; 32], usize::MAX) } else { (text, VOTES) };
            let vote = Vote { text, signature: key.sign(&signed) };
            let mut votes = std::iter::repeat_n(vote, times);
            let mut submitter = Arc::clone(&flow).submitter_owned(peer);
            threads.spawn(move || votes.all(|vote| submitter.execute(vote).wait().is_ok()));
        }
        let (mut honest, mut refused, mut misjudged) = (0, 0, 0);
        while honest < HONEST * VOTES {
            let (peer, is_right) = hears.recv().expect("the flow is open");
            honest += usize::from(peer != LIAR);
            refused += usize::from(!is_right);
            misjudged += usize::from(is_right == (peer == LIAR));
        }
        let recent = flow.recent();
        let last = recent.iter().rev().take(100);
        let of_liar = last.filter(|vote| vote.peer == Some(LIAR)).count();
        flow.close();
        assert_eq!(misjudged, 0, "votes refused that are right, or accepted that are wrong");
        ((HONEST * VOTES) as f64 / started.elapsed().as_secs_f64(), refused, of_liar)
    })
}

fn main() -> std::io::Result<()> {
    let keys: Vec<_> = (0..=LIAR).map(|peer| SigningKey::from_bytes(&[peer as u8; 32])).collect();
    for (way, batch) in [("one by one", 1), ("in batches", 64)] {
        let (rate, refused, of_liar) = run(&keys, batch);
        writeln!(
            stdout(),
            "{way}: {rate:.0} honest votes a second, {refused} lies refused, {of_liar} of the last 100 votes the liar's"
        )?;
    }
    Ok(())
}
