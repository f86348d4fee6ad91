//! `/metrics`: what the other parts of the replica count, `gossip_replica_…`, and what its engine counts.
//!
//! The number of series is fixed by the program: labels are flows, states, outcomes and the kinds of
//! refusals. No peer, artifact or address makes one. The engine's part is of the moment of the scrape, the
//! rest at most a second old.

use std::{
    fmt::{Error, Write as _},
    sync::Arc,
    time::Instant,
};

use gossip_engine::FlowType;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{
    board::{Board, Sample},
    process::Process,
    reading::Reading,
    refusals::REFUSALS,
    status::ReplicaView,
    track,
};
use crate::transport::{FlowCounters, PeerState};

pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text of one replica, in OpenMetrics.
pub(super) fn render(
    board: &Board,
    sample: Arc<Sample>,
    place: usize,
    now: Instant,
) -> Result<String, Error> {
    let engine = sample.replicas[place].reading.registry.clone();
    let mut registry = Registry::default();
    let healthy = board.faults_with(Some(&sample), now).is_empty();
    registry.register_collector(Box::new(Page {
        sample,
        place,
        healthy,
        listeners: board.listeners() as u64,
        refused: board.refused(),
        process: Process::read(),
    }));
    registry.register_collector(Box::new(engine));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Page {
    sample: Arc<Sample>,
    place: usize,
    healthy: bool,
    listeners: u64,
    refused: u64,
    process: Process,
}

type Family<T> = (&'static str, &'static str, fn(&Reading) -> T);

const COUNTERS: [Family<u64>; 15] = [
    ("gossip_replica_connections_made", "Connections with peers that were made", |of| {
        of.transport.connections
    }),
    ("gossip_replica_connections_ended", "Connections with peers that have ended", |of| {
        of.transport.disconnections
    }),
    (
        "gossip_replica_handshakes_given_up",
        "Handshakes that the dialler gave up, as one of two whose dials cross does",
        |of| of.transport.abandoned_handshakes,
    ),
    ("gossip_replica_artifacts_fetched", "Artifacts fetched and verified", |of| {
        of.gossip.fetched.artifacts
    }),
    ("gossip_replica_chunks_requested", "Chunks asked for, once for each time", |of| {
        of.gossip.fetched.chunks_requested
    }),
    ("gossip_replica_chunks_received", "Chunks that came and were missing", |of| {
        of.gossip.fetched.chunks_received
    }),
    ("gossip_replica_chunks_duplicate", "Chunks that came and were there already", |of| {
        of.gossip.fetched.chunks_duplicate
    }),
    ("gossip_replica_chunks_served", "Chunks handed to the transport", |of| {
        of.gossip.served.chunks
    }),
    ("gossip_replica_adverts_sent", "Adverts handed to the transport", |of| {
        of.gossip.served.adverts
    }),
    ("gossip_replica_retransmissions_asked", "Retransmission requests sent", |of| {
        of.gossip.fetched.retransmissions_asked
    }),
    (
        "gossip_replica_retransmissions_answered",
        "Retransmission requests that began to be answered",
        |of| of.gossip.served.retransmissions_answered,
    ),
    ("gossip_replica_store_artifacts_damaged", "Artifacts found damaged on disk", |of| {
        of.store.damaged
    }),
    ("gossip_replica_store_artifacts_repaired", "Damaged artifacts that are whole again", |of| {
        of.store.repaired
    }),
    (
        "gossip_replica_tasks_failed",
        "Tasks of the transport and the verifier that panicked",
        |of| of.failed_tasks,
    ),
    (
        "gossip_replica_retransmissions_deferred",
        "Retransmission requests that were put off",
        |of| of.gossip.served.retransmissions_deferred,
    ),
];

const BYTE_COUNTERS: [Family<u64>; 4] = [
    ("gossip_replica_udp_received", "UDP payload that came from peers", |of| {
        of.peers.iter().map(|peer| peer.bytes_in).sum()
    }),
    ("gossip_replica_udp_sent", "UDP payload that went to peers", |of| {
        of.peers.iter().map(|peer| peer.bytes_out).sum()
    }),
    ("gossip_replica_store_verified", "Content that was read again and found whole", |of| {
        of.store.verified_bytes
    }),
    ("gossip_replica_resumed", "Content that earlier attempts to fetch it had left", |of| {
        of.gossip.fetched.bytes_resumed
    }),
];

const GAUGES: [Family<u64>; 4] = [
    ("gossip_replica_artifacts_held", "Artifacts held", |of| of.store.artifacts),
    ("gossip_replica_artifacts_missing", "Artifacts known and not held", |of| of.gossip.wanted),
    (
        "gossip_replica_artifacts_waiting_for_space",
        "Artifacts that wait for space on the disk",
        |of| of.gossip.waiting_for_space,
    ),
    ("gossip_replica_downloads", "Artifacts being fetched", |of| of.gossip.active),
];

/// Left out while they are not known.
const BYTE_GAUGES: [Family<Option<u64>>; 6] = [
    ("gossip_replica_store_held", "Content held", |of| Some(of.store.bytes)),
    ("gossip_replica_store_kept", "Content of attempts that ended, for later ones", |of| {
        Some(of.store.kept_bytes)
    }),
    ("gossip_replica_missing", "Content known and not held", |of| Some(of.gossip.missing_bytes)),
    ("gossip_replica_store_free", "What the store's disk has left", |of| of.store.free_bytes),
    ("gossip_replica_store_free_min", "What is to be left of the store's disk", |of| {
        Some(of.store.min_free_bytes)
    }),
    ("gossip_replica_store_held_max", "The most content that may be held", |of| {
        of.store.max_store_bytes
    }),
];

type FlowFamily = (&'static str, &'static str, Option<Unit>, fn(FlowCounters) -> u64);

const FLOWS: [FlowFamily; 4] = [
    ("gossip_replica_frames_received", "Frames that the engine took", None, |flow| flow.frames_in),
    ("gossip_replica_frames_sent", "Frames that were handed to QUIC", None, |flow| flow.frames_out),
    (
        "gossip_replica_frames_received",
        "Payloads of frames that the engine took",
        Some(Unit::Bytes),
        |of| of.bytes_in,
    ),
    (
        "gossip_replica_frames_sent",
        "Payloads of frames that were handed to QUIC",
        Some(Unit::Bytes),
        |of| of.bytes_out,
    ),
];

fn counter(
    to: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    unit: Option<&Unit>,
    count: u64,
) -> Result<(), Error> {
    let mut metric = to.encode_descriptor(name, help, unit, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn gauge(
    to: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    unit: Option<&Unit>,
    value: f64,
) -> Result<(), Error> {
    to.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
}

impl Collector for Page {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), Error> {
        let seen = &self.sample.replicas[self.place];
        let (of, to) = (&seen.reading, &mut to);
        for (name, help, count) in COUNTERS {
            counter(to, (name, help), None, count(of))?;
        }
        for (name, help, count) in BYTE_COUNTERS {
            counter(to, (name, help), Some(&Unit::Bytes), count(of))?;
        }
        for (name, help, value) in GAUGES {
            gauge(to, (name, help), None, value(of) as f64)?;
        }
        for (name, help, value) in BYTE_GAUGES {
            if let Some(value) = value(of) {
                gauge(to, (name, help), Some(&Unit::Bytes), value as f64)?;
            }
        }
        self.families(to, of)?;
        self.verdicts(to, &seen.view)?;
        self.process(to)
    }
}

impl Page {
    fn families(&self, to: &mut DescriptorEncoder<'_>, of: &Reading) -> Result<(), Error> {
        for (name, help, unit, count) in FLOWS {
            let mut family =
                to.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            let flows =
                [FlowType::Advert, FlowType::Request, FlowType::Chunk, FlowType::Retransmission];
            for flow in flows {
                let labels = [("flow", flow.name())];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(
                    &count(of.transport.flow(flow)),
                    None,
                )?;
            }
        }
        let help = "What was refused, dropped or failed, by what it was";
        let mut family =
            to.encode_descriptor("gossip_replica_refusals", help, None, MetricType::Counter)?;
        for (kind, _, count) in REFUSALS {
            let labels = [("kind", kind)];
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, u64, u64>(&count(of), None)?;
        }
        let help = "Peers on the list, by where they stand";
        let mut family =
            to.encode_descriptor("gossip_replica_peers", help, None, MetricType::Gauge)?;
        let states =
            [PeerState::Connected, PeerState::Connecting, PeerState::Away, PeerState::ShutOut];
        for state in states {
            let count = of.peers.iter().filter(|peer| peer.state == state).count();
            let name = track::state(state).replace(' ', "_");
            family.encode_family(&[("state", name)])?.encode_gauge(&(count as u64))?;
        }
        Ok(())
    }

    fn verdicts(&self, to: &mut DescriptorEncoder<'_>, view: &ReplicaView) -> Result<(), Error> {
        let ready = f64::from(u8::from(view.readiness.ready));
        let healthy = f64::from(u8::from(self.healthy));
        gauge(to, ("gossip_replica_ready", "Whether /ready answers 200"), None, ready)?;
        gauge(to, ("gossip_replica_healthy", "Whether /health answers 200"), None, healthy)?;
        let (name, help) = ("gossip_replica_http_listeners", "Connections that listen to /events");
        gauge(to, (name, help), None, self.listeners as f64)?;
        let (name, help) = (
            "gossip_replica_http_connections_refused",
            "Connections to this port beyond its limit",
        );
        counter(to, (name, help), None, self.refused)?;
        let noted = &self.sample.noted;
        let help = "Configurations that were at fault when they were read anew";
        counter(to, ("gossip_replica_reloads_rejected", help), None, noted.rejected_reloads)?;
        let help = "Lines of the log that could not be written";
        counter(to, ("gossip_replica_log_lines_lost", help), None, noted.lost_log_lines)?;
        let help = "Private keys among the files to publish, which are not published";
        gauge(to, ("gossip_replica_private_keys_refused", help), None, noted.private_keys as f64)?;
        let help = "Files to publish that are not published, private keys aside";
        gauge(to, ("gossip_replica_files_unpublished", help), None, noted.unpublished as f64)?;
        let help = "Files of peers that are here and not exported";
        gauge(to, ("gossip_replica_files_unexported", help), None, noted.unexported as f64)?;
        let help = "The program";
        let mut metric =
            to.encode_descriptor("gossip_replica_build", help, None, MetricType::Info)?;
        metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }

    /// By the names that exporters of all languages use.
    fn process(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Process { cpu_seconds, resident_bytes, open_files, threads } = self.process;
        if let Some(seconds) = cpu_seconds {
            let help = "Processor time of the process, user and system";
            let unit = Some(&Unit::Seconds);
            let mut metric =
                to.encode_descriptor("process_cpu", help, unit, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, f64, f64>(&seconds, None)?;
        }
        if let Some(bytes) = resident_bytes {
            let (name, help) =
                ("process_resident_memory", "Memory of the process that is resident");
            gauge(to, (name, help), Some(&Unit::Bytes), bytes as f64)?;
        }
        if let Some(files) = open_files {
            gauge(to, ("process_open_fds", "Open file descriptors"), None, files as f64)?;
        }
        if let Some(threads) = threads {
            gauge(to, ("process_threads", "Threads"), None, threads as f64)?;
        }
        let (name, help) = ("process_start_time", "When the process began to watch, since 1970");
        gauge(to, (name, help), Some(&Unit::Seconds), self.sample.started)
    }
}

/// The same in Prometheus' older text format, for programs that read no OpenMetrics: there, a counter's own
/// name ends in `_total`, an info is a gauge, and units are part of the names only.
pub(super) fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    // In OpenMetrics the type of a family follows its HELP; what its samples are called hangs on it.
    let mut help = None;
    for line in open.lines() {
        let meta = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        match meta.map(|(word, rest)| (word, rest.split_once(' ').unwrap_or((rest, "")))) {
            Some(("HELP", named)) => help = Some(named),
            Some(("TYPE", (name, kind))) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    kind => ("", kind),
                };
                if let Some((name, words)) = help.take() {
                    let _ = writeln!(text, "# HELP {name}{suffix} {words}");
                }
                let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
            }
            Some(("UNIT", _)) => {}
            _ if line == "# EOF" => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
