//! Configurations for serde: how they are written, and how they are read.
//!
//! What is read is valid, or the error says what is not. What is not said has its default; a word that is not known is
//! an error. Nothing is read that [`FlowConfig::validate`] or [`ChannelConfig::validate`] refuses.
//!
//! Each form takes its configuration apart field by field, so that a new field cannot be forgotten here.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};
use strum::{EnumCount, IntoEnumIterator};

use super::{ChannelConfig, ConfigError, FlowConfig, Quarantine};
use crate::{FlowType, human::Time};

mod flow;

pub(super) use flow::{FlowForm, WaitForm};

/// A [`Quarantine`]. Without a term it has that of [`Quarantine::after`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a quarantine", rename = "Quarantine")]
pub(super) struct QuarantineForm {
    panics: u32,
    window: Time,
    term: Option<Time>,
}

impl From<Quarantine> for QuarantineForm {
    fn from(quarantine: Quarantine) -> Self {
        let Quarantine { panics, window, term } = quarantine;
        Self { panics, window: Time(window), term: Some(Time(term)) }
    }
}

impl TryFrom<QuarantineForm> for Quarantine {
    type Error = ConfigError;

    fn try_from(form: QuarantineForm) -> Result<Self, ConfigError> {
        let default = Self::after(form.panics, form.window.0);
        let quarantine = form.term.map_or(default, |term| default.with_term(term.0));
        ChannelConfig::default().with_quarantine(Some(quarantine)).validate()?;
        Ok(quarantine)
    }
}

/// A [`ChannelConfig`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "limits and policies of the flows",
    rename = "ChannelConfig"
)]
pub(super) struct ChannelForm {
    drop_notice_interval: Time,
    stuck_handler_timeout: Time,
    quarantine: Option<Quarantine>,
    flows: FlowsForm,
}

impl Default for ChannelForm {
    fn default() -> Self {
        ChannelConfig::default().into()
    }
}

impl From<ChannelConfig> for ChannelForm {
    fn from(config: ChannelConfig) -> Self {
        let ChannelConfig { flows, drop_notice_interval, stuck_handler_timeout, quarantine } =
            config;
        Self {
            drop_notice_interval: Time(drop_notice_interval),
            stuck_handler_timeout: Time(stuck_handler_timeout),
            quarantine,
            flows: FlowsForm(flows),
        }
    }
}

impl TryFrom<ChannelForm> for ChannelConfig {
    type Error = ConfigError;

    fn try_from(form: ChannelForm) -> Result<Self, ConfigError> {
        let config = Self {
            flows: form.flows.0,
            drop_notice_interval: form.drop_notice_interval.0,
            stuck_handler_timeout: form.stuck_handler_timeout.0,
            quarantine: form.quarantine,
        };
        config.validate()?;
        Ok(config)
    }
}

/// The five flows by name, each with defaults of its own.
#[derive(Clone, Debug)]
struct FlowsForm([FlowConfig; FlowType::COUNT]);

impl Serialize for FlowsForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(FlowType::iter().zip(&self.0))
    }
}

impl<'de> Deserialize<'de> for FlowsForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FlowsVisitor)
    }
}

struct FlowsVisitor;

impl<'de> Visitor<'de> for FlowsVisitor {
    type Value = FlowsForm;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flows by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FlowsForm, A::Error> {
        let mut config = ChannelConfig::default();
        let mut said = [false; FlowType::COUNT];
        // Ends after the five flows at the latest: the sixth is one of them again, or none.
        while let Some(flow) = map.next_key::<FlowType>()? {
            if std::mem::replace(&mut said[flow as usize], true) {
                return Err(A::Error::custom(format_args!("{flow} flow: it is there twice")));
            }
            let default = config.flow(flow);
            config = config.with_flow(flow, map.next_value_seed(FlowSeed { flow, default })?);
        }
        Ok(FlowsForm(config.flows))
    }
}

/// Reads one of the five flows and checks it, so that a format that says where an error is says the flow's place.
struct FlowSeed {
    flow: FlowType,
    default: FlowConfig,
}

impl<'de> DeserializeSeed<'de> for FlowSeed {
    type Value = FlowConfig;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FlowConfig, D::Error> {
        let config = FlowForm::deserialize(deserializer)?.apply(self.default);
        config.validate(self.flow).map_err(D::Error::custom)?;
        Ok(config)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
