//! What a configuration says of the engine's flows: those figures that can change while messages flow.

use std::time::Duration;

use gossip_engine::{ChannelConfig, ConfigError, FlowConfig, FlowType, OverloadPolicy};
use serde::Deserialize;
use toml::Spanned;

use super::{numbers, texts};

/// The tables `[flows.advert]` and so on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, expecting = "tables, as [flows.chunk]")]
pub(super) struct FlowsSettings {
    advert: Option<Spanned<FlowSettings>>,
    request: Option<Spanned<FlowSettings>>,
    chunk: Option<Spanned<FlowSettings>>,
    retransmission: Option<Spanned<FlowSettings>>,
    transport: Option<Spanned<FlowSettings>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, expecting = "a table, as [flows.chunk]")]
struct FlowSettings {
    #[serde(deserialize_with = "numbers::max_inflight")]
    max_inflight: Option<usize>,
    #[serde(deserialize_with = "numbers::peer_quota")]
    peer_quota: Option<usize>,
    #[serde(deserialize_with = "numbers::flow_bytes")]
    max_bytes: Option<u64>,
    #[serde(deserialize_with = "numbers::peer_bytes")]
    peer_max_bytes: Option<u64>,
    #[serde(deserialize_with = "texts::policy")]
    policy: Option<OverloadPolicy>,
    #[serde(deserialize_with = "numbers::max_age", rename = "max_age_ms")]
    max_age: Option<Duration>,
}

/// A flow that cannot be as it is said to be.
#[derive(Debug)]
pub(super) struct FlowFault {
    /// Where in the text, in bytes from its begin.
    pub(super) at: usize,
    pub(super) error: ConfigError,
}

impl FlowsSettings {
    /// `channels`, but for what is said of them here.
    pub(super) fn apply(&self, channels: ChannelConfig) -> Result<ChannelConfig, FlowFault> {
        let said = [
            (FlowType::Advert, &self.advert),
            (FlowType::Request, &self.request),
            (FlowType::Chunk, &self.chunk),
            (FlowType::Retransmission, &self.retransmission),
            (FlowType::Transport, &self.transport),
        ];
        said.into_iter().try_fold(channels, |channels, (flow, settings)| {
            let Some(settings) = settings else { return Ok(channels) };
            let config = settings.get_ref().apply(channels.flow(flow));
            let fault = |error| FlowFault { at: settings.span().start, error };
            config.validate(flow).map_err(fault)?;
            Ok(channels.with_flow(flow, config))
        })
    }
}

impl FlowSettings {
    fn apply(&self, mut flow: FlowConfig) -> FlowConfig {
        if let Some(limit) = self.max_inflight {
            flow = flow.with_max_inflight_requests(limit);
        }
        if let Some(quota) = self.peer_quota {
            flow = flow.with_peer_quota(quota);
        }
        if let Some(policy) = self.policy {
            flow = flow.with_overload_policy(policy);
        }
        // Their default is no bound.
        flow.with_max_bytes(self.max_bytes)
            .with_peer_max_bytes(self.peer_max_bytes)
            .with_max_age(self.max_age)
    }
}
