//! Flows whose threads have cores of their own. A binary of its own, so that this feature costs no build of all tests.
#![cfg(not(any(loom, shuttle)))]

#[cfg(target_os = "linux")]
#[test]
fn pinned_threads_run_on_their_cores_only() {
    use std::{sync::mpsc::channel, time::Duration};

    use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
    use rustix::thread::{CpuSet, sched_getaffinity};

    // Only those cores are shown that the thread may use.
    let allowed = || {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect::<Vec<_>>()
    };
    let (sender, receiver) = channel();
    let config = FlowConfig::new(10).with_threads(1).with_core_affinity(1);
    let handler = move |_: &NodeId, (): ()| {
        sender.send(allowed()).unwrap();
    };
    let flow =
        FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler).unwrap();
    futures_executor::block_on(flow.execute(NodeId::new([1; 32]), ())).unwrap();
    let all = allowed();
    let cores = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(cores, [all[1 % all.len()]]);
}

#[cfg(feature = "serde")]
#[test]
fn a_core_is_written_and_read_with_the_configuration() {
    use gossip_engine::{ChannelConfig, FlowConfig, FlowType};

    let chunk = FlowConfig::new(100).with_core_affinity(3);
    let config = ChannelConfig::default().with_flow(FlowType::Chunk, chunk);
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!(written["flows"]["chunk"]["core_affinity"], 3);
    assert_eq!(serde_json::from_value::<ChannelConfig>(written).unwrap(), config);
}
