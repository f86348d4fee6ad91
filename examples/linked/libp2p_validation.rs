//! rust-libp2p: gossip that is validated, and requests that are answered, behind fair queues.
//!
//! A swarm is one task for all peers, which must not wait for one of them. So it submits by `try_execute`: a vote that
//! finds no capacity is ignored, and a request is refused, since its reply channel is dropped. Handlers send the swarm
//! what to do. Here a peer publishes votes, every other of them wrong, and asks what the validator has found.
//!
//! `cargo run --manifest-path examples/linked/Cargo.toml --features libp2p --bin libp2p_validation`

use std::sync::atomic::{AtomicU64 as Count, Ordering::Relaxed};

use futures_util::StreamExt as _;
use gossip_engine::{FlowConfig, FlowWorker, MetricsRegistry};
use libp2p::gossipsub::MessageAcceptance::{self, Accept, Ignore, Reject};
use libp2p::gossipsub::{self, Event as Gossip, IdentTopic, MessageId};
use libp2p::request_response::{Event as Request, Message, ProtocolSupport, ResponseChannel, json};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::mpsc;

use self::BehaviourEvent::{Counts, Votes};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Action = Box<dyn FnOnce(&mut Behaviour) + Send>;
const VOTES: u64 = 20; // Right ones, and as many wrong ones.
static RIGHT: Count = Count::new(0);
static WRONG: Count = Count::new(0);
static BUSY: Count = Count::new(0);

#[derive(NetworkBehaviour)]
struct Behaviour {
    votes: gossipsub::Behaviour,
    counts: json::Behaviour<(), (u64, u64)>,
}

fn swarm() -> Result<Swarm<Behaviour>, Failure> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| {
            let config = gossipsub::ConfigBuilder::default().validate_messages().build()?;
            let signed = gossipsub::MessageAuthenticity::Signed(key.clone());
            let votes = gossipsub::Behaviour::new(signed, config)?;
            let protocol = (StreamProtocol::new("/counts/1"), ProtocolSupport::Full);
            Ok(Behaviour { votes, counts: json::Behaviour::new([protocol], Default::default()) })
        })?
        .build();
    swarm.behaviour_mut().votes.subscribe(&IdentTopic::new("votes"))?;
    Ok(swarm)
}

/// Has gossipsub pass a vote on or not, and counts it. It may have been forgotten meanwhile.
fn report(id: MessageId, from: PeerId, verdict: MessageAcceptance, of: &'static Count) -> Action {
    Box::new(move |all| {
        let is_known = all.votes.report_message_validation_result(&id, &from, verdict);
        of.fetch_add(is_known.into(), Relaxed);
    })
}

/// Validates votes and answers requests, for ever.
async fn validate(mut swarm: Swarm<Behaviour>) -> Result<(), Failure> {
    let (sender, mut actions) = mpsc::unbounded_channel::<Action>();
    let (config, registry) = (FlowConfig::new(100), MetricsRegistry::new());
    let to_swarm = sender.clone();
    let judge = move |from: &PeerId, (id, vote): (MessageId, Vec<u8>)| {
        let is_right = vote.ends_with(b"right");
        let (verdict, of) = if is_right { (Accept, &RIGHT) } else { (Reject, &WRONG) };
        let _ = sender.send(report(id, *from, verdict, of));
    };
    let votes = FlowWorker::new("votes", &config, &registry, judge)?;
    let answer = move |_: &PeerId, reply: ResponseChannel<(u64, u64)>| {
        let counts = (RIGHT.load(Relaxed), WRONG.load(Relaxed));
        let _ = to_swarm.send(Box::new(move |all| _ = all.counts.send_response(reply, counts)));
    };
    let counts = FlowWorker::new("counts", &config, &registry, answer)?;
    loop {
        tokio::select! {
            Some(act) = actions.recv() => act(swarm.behaviour_mut()),
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(Votes(Gossip::Message { propagation_source: from, message_id: id, message })) => {
                    let is_refused = votes.try_execute(from, (id.clone(), message.data)).is_err();
                    if is_refused { report(id, from, Ignore, &BUSY)(swarm.behaviour_mut()) }
                }
                SwarmEvent::Behaviour(Counts(Request::Message { peer, message: Message::Request { channel, .. }, .. }))
                    => drop(counts.try_execute(peer, channel)),
                SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } =>
                    { votes.cancel_peer(peer_id); counts.cancel_peer(peer_id) }
                _ => {}
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (mut validator, mut swarm, mut number) = (swarm()?, swarm()?, 0);
    let asked = *validator.local_peer_id();
    validator.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    if let SwarmEvent::NewListenAddr { address, .. } = validator.select_next_some().await {
        swarm.dial(address)?;
    }
    tokio::spawn(validate(validator));
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(Counts(Request::Message { message, .. })) => {
                let Message::Response { response: (right, wrong), .. } = message else { continue };
                if right.min(wrong) >= VOTES {
                    println!("{right} votes are passed on, {wrong} are rejected");
                    break Ok(());
                }
            }
            SwarmEvent::Behaviour(Counts(Request::OutboundFailure { error, .. })) => Err(error)?,
            SwarmEvent::Behaviour(Votes(Gossip::Subscribed { .. })) => {}
            _ => continue,
        }
        number += 1;
        let vote = format!("{number} is {}", if number % 2 == 0 { "wrong" } else { "right" });
        swarm.behaviour_mut().votes.publish(IdentTopic::new("votes"), vote)?;
        swarm.behaviour_mut().counts.send_request(&asked, ());
    }
}
