//! `gossip-replica run`: one replica of a cluster, until it is told to end.
//!
//! On standard output it prints two lines and nothing else, for people and for programs:
//!
//! ```text
//! ready: id=<64 hexadecimal digits> listen=<address>:<port>
//! stopped: artifacts=<held> bytes=<held> published=<by this run> fetched=<by this run> clean=<true or false>
//! ```
//!
//! A line that cannot be printed is said in the log, and the replica goes on.

mod scan;

use std::{net::SocketAddr, time::Duration};

use gossip_replica::{
    gossip::{GossipOptions, GossipSnapshot},
    identity::Identity,
    replica::{BoundReplica, Replica, ReplicaError, ReplicaOptions},
    transport::{Peer, PeerAddress, StartError},
};
use indicatif::ProgressBar;
use tokio::{
    net::lookup_host,
    time::{MissedTickBehavior, interval},
};

use self::scan::Scanning;
use crate::{
    cli::RunArgs,
    failure::Failure,
    logging,
    settings::Settings,
    signals::EndRequest,
};

/// How long what was admitted may run on after the end was asked for.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often the log tells how far the replica is, if that has changed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs a replica.
pub(crate) async fn run(args: &RunArgs) -> Result<(), Failure> {
    logging::start(args.log.as_deref(), "info", &ProgressBar::hidden())?;
    let settings = Settings::load(&args.config)?;
    let end = EndRequest::new()?;
    let replica = start(&settings).await?;
    let scanning = Scanning::start(&replica, settings.publish, settings.rescan)?;
    logging::announce(format_args!(
        "ready: id={:x} listen={}",
        replica.node_id(),
        replica.local_addr(),
    ));

    tokio::select! {
        () = end.wait() => {}
        () = tell_progress(&replica) => {}
    }
    let published = scanning.stop().await;
    let GossipSnapshot { artifacts, bytes, fetched, .. } = replica.gossip().snapshot();
    let fetched = fetched.artifacts;
    let clean = replica.shutdown(FAREWELL).await.is_clean();
    logging::announce(format_args!(
        "stopped: artifacts={artifacts} bytes={bytes} published={published} fetched={fetched} clean={clean}"
    ));
    Ok(())
}

async fn start(settings: &Settings) -> Result<Replica, Failure> {
    let identity = Identity::load(&settings.key_file).map_err(Failure::runtime)?;
    let listen = resolve("listen", &settings.listen).await?;
    let mut peers = Vec::with_capacity(settings.peers.len());
    for peer in &settings.peers {
        let address = peer
            .address
            .parse::<PeerAddress>()
            .map_err(|error| Failure::usage(format_args!("the address of a peer, {error}")))?;
        peers.push(Peer { node_id: peer.key, address });
    }
    let options = ReplicaOptions {
        gossip: GossipOptions { chunk_bytes: settings.chunk_size, ..GossipOptions::default() },
        ..ReplicaOptions::default()
    };
    let bound = BoundReplica::bind(&identity, listen, &settings.store, options);
    let started = bound.await.and_then(|bound| bound.start(peers));
    started.map_err(|error| match error {
        // What the configuration says cannot be.
        ReplicaError::Start(StartError::Duplicate(_) | StartError::TooMany(_)) => {
            Failure::usage(error)
        }
        error => Failure::runtime(error),
    })
}

/// The first address of a name.
async fn resolve(what: &str, name: &str) -> Result<SocketAddr, Failure> {
    let mut addresses = lookup_host(name).await.map_err(|error| {
        Failure::runtime(format_args!("{what}, {name:?}, does not resolve: {error}"))
    })?;
    addresses
        .next()
        .ok_or_else(|| Failure::runtime(format_args!("{what}, {name:?}, does not resolve")))
}

/// Says now and then in the log how far the replica is. Does not end.
async fn tell_progress(replica: &Replica) {
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        ticks.tick().await;
        let GossipSnapshot { artifacts, bytes, wanted, active, peers, .. } =
            replica.gossip().snapshot();
        let now = (artifacts, bytes, wanted, active, peers);
        if last != Some(now) {
            last = Some(now);
            tracing::info!(artifacts, bytes, wanted, active, peers, "progress");
        }
    }
}
