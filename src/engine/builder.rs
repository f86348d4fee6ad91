//! How an engine is made.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    Departures, Engine, Flows, Inner, LeftBell, OnPeerChange, Owner, PeerHandler, WatchConfig,
    any_flow::AnyFlow,
};
use crate::{
    BuildError, ConfigError, FlowConfig, FlowName, FlowWorker, MessageHandler, MetricsRegistry,
    NodeId, PeerKey,
    config::{DEFAULT_DROP_NOTICE_INTERVAL, DEFAULT_STUCK_HANDLER_TIMEOUT},
    flow_worker::{FlowSpec, LaneLeft},
    watch::Watch,
};

/// How many flows an engine can have, that of the peers included.
pub const MAX_FLOWS: usize = 64;

/// The flow of the peers, unless it is configured otherwise: how many events are in flight, and of one peer. A peer
/// comes and goes; more than a few of its events only queue for nothing.
const PEERS: FlowConfig = FlowConfig::new(1_000).with_peer_quota(8);

/// Makes an [`Engine`]: first its flows, then what is common to them, then [`build`](Self::build).
///
/// The threads of a flow start with it, so a flow runs messages before the engine is built. When a builder is dropped
/// that has built no engine, its flows close.
#[must_use]
pub struct EngineBuilder<K: PeerKey = NodeId> {
    registry: MetricsRegistry,
    flows: Flows<K>,
    peers: (FlowName, FlowConfig),
    left: Arc<LeftBell<K>>,
    watch: WatchConfig,
}

impl<K: PeerKey> EngineBuilder<K> {
    pub(super) fn new(registry: &MetricsRegistry) -> Self {
        Self {
            registry: registry.clone(),
            flows: Flows(Vec::new()),
            peers: (FlowName::from("peers"), PEERS),
            left: Arc::new(LeftBell(OnceLock::new())),
            watch: WatchConfig {
                drop_notice_interval: DEFAULT_DROP_NOTICE_INTERVAL,
                stuck_handler_timeout: DEFAULT_STUCK_HANDLER_TIMEOUT,
            },
        }
    }

    /// Adds a flow and starts its threads. `handler` runs its messages.
    ///
    /// Later flows can be used by the handlers of earlier ones only through something that is filled in afterwards; so
    /// add those first that others submit to.
    ///
    /// # Errors
    ///
    /// [`BuildError::Config`] if a figure is out of range, if there are [`MAX_FLOWS`] already, if another flow has the
    /// name, that of the peers included, or if [no flow](FlowName) can have it; [`BuildError::Threads`] if the system
    /// gives no threads.
    pub fn flow<M: Send + 'static>(
        &mut self,
        name: impl Into<FlowName>,
        config: FlowConfig,
        handler: impl MessageHandler<M, K>,
    ) -> Result<Arc<FlowWorker<M, K>>, BuildError> {
        let events = Some(self.registry.clone());
        self.add_flow(name.into(), &config, handler, events)
    }

    /// Does what [`flow`](Self::flow) does; `events` is where what its users submit is counted as an event.
    pub(crate) fn add_flow<M: Send + 'static>(
        &mut self,
        name: FlowName,
        config: &FlowConfig,
        handler: impl MessageHandler<M, K>,
        events: Option<MetricsRegistry>,
    ) -> Result<Arc<FlowWorker<M, K>>, BuildError> {
        name.validate()?;
        self.validate_name(name.as_str())?;
        let registry = &self.registry;
        let left: Arc<dyn LaneLeft> = Arc::<LeftBell<K>>::clone(&self.left);
        let spec = FlowSpec::new(name, config, registry);
        let spec = FlowSpec { notifies: true, left: Some(left), ..spec };
        let flow = Arc::new(FlowWorker::of_engine(spec, handler, events)?);
        self.flows.0.push(Box::new(Arc::clone(&flow)) as Box<dyn AnyFlow<K>>);
        Ok(flow)
    }

    fn validate_name(&self, name: &'static str) -> Result<(), ConfigError> {
        let fault = if name == self.peers.0.as_str()
            || self.flows.0.iter().any(|flow| flow.name() == name)
        {
            "another flow has the name"
        } else if self.flows.0.len() + 1 >= MAX_FLOWS {
            "there are as many flows as an engine can have"
        } else {
            return Ok(());
        };
        Err(ConfigError::Name { flow: name, fault })
    }

    /// Sets the bounds, threads and policies of the flow in which the [`PeerHandler`] is called, which is named
    /// `peers`: by default 1 000 events in flight, 8 of one peer. It always runs one event of a peer at a time. It
    /// cannot drop events: no maximum age, and the policy is `Wait` or `Refuse`. Set it where many peers come and go at
    /// once, or the callbacks block.
    pub fn with_peers_flow(mut self, config: FlowConfig) -> Self {
        self.peers.1 = config;
        self
    }

    /// The same, by another name.
    pub(crate) fn with_named_peers_flow(mut self, name: FlowName, config: FlowConfig) -> Self {
        self.peers = (name, config);
        self
    }

    /// Sets the shortest time between two calls of [`on_messages_dropped`](PeerHandler::on_messages_dropped) for one
    /// peer and flow: any duration; 100 ms by default. Raise it to handle more drops in one call, lower it to ask
    /// sooner again.
    ///
    /// The engine looks for drops every [`WATCH_PERIOD`](crate::WATCH_PERIOD), so a shorter interval changes nothing
    /// more. With a very long one the program is notified once.
    pub fn with_drop_notice_interval(mut self, interval: Duration) -> Self {
        self.watch.drop_notice_interval = interval;
        self
    }

    /// Sets how long a handler may run before it is reported as stuck: any duration; 10 s by default. Raise it where
    /// handlers are meant to run for longer.
    ///
    /// The log names such a handler once, with the last eight turns that its thread ran before, and
    /// [`stuck`](crate::FlowSnapshot::stuck) counts it once. The engine looks for it every
    /// [`WATCH_PERIOD`](crate::WATCH_PERIOD).
    pub fn with_stuck_handler_timeout(mut self, timeout: Duration) -> Self {
        self.watch.stuck_handler_timeout = timeout;
        self
    }

    /// Builds the engine, for a program that need not hear of its peers.
    ///
    /// # Errors
    ///
    /// As for [`build_with`](Self::build_with).
    pub fn build(self) -> Result<Engine<K>, BuildError> {
        self.build_with(())
    }

    /// Builds the engine, which calls `handler` about its peers.
    ///
    /// # Errors
    ///
    /// [`BuildError::Config`] if a figure of the flow of the peers is out of range, [`BuildError::Threads`] or
    /// [`BuildError::WatchThread`] if the system gives no threads.
    pub fn build_with(self, handler: impl PeerHandler<K>) -> Result<Engine<K>, BuildError> {
        let Self { registry, flows, peers: (name, config), left, watch } = self;
        config.validate_lossless(name.as_str())?;
        let config = config.with_peer_threads(1);
        // It drops nothing, so nobody need be notified.
        let spec = FlowSpec::new(name, &config, &registry);
        let peers = FlowWorker::of_engine(spec, OnPeerChange(handler), None)?;
        let departures = Departures::default();
        let watch = ArcSwap::from_pointee(watch);
        let inner = Arc::new(Inner { flows, peers, departures, watch, registry });
        // A builder builds once.
        let _ = left.0.set(Arc::downgrade(&inner));
        let watch = Watch::start(Arc::downgrade(&inner))?;
        Ok(Engine { owner: Arc::new(Owner { inner, _watch: watch }) })
    }
}

impl<K: PeerKey> fmt::Debug for EngineBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flows = self.flows.0.iter().map(|flow| flow.name());
        f.debug_struct("EngineBuilder").field("flows", &flows.collect::<Vec<_>>()).finish()
    }
}
