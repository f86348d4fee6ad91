//! The texts of a configuration, each with an example of what it may say.

use std::path::PathBuf;

use gossip_engine::OverloadPolicy;
use gossip_replica::http::HttpAddress;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IntoDeserializer as _},
};
use toml::Value;

/// How much of a text is quoted, in characters.
const QUOTED: usize = 40;

/// A text that a configuration may say.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) name: &'static str,
    pub(super) example: &'static str,
}

pub(super) const LISTEN: Text = Text { name: "listen", example: "0.0.0.0:4100" };
pub(super) const KEY_FILE: Text = Text { name: "key_file", example: "replica.key" };
pub(super) const STORE: Text = Text { name: "store", example: "store" };
pub(super) const PUBLISH: Text = Text { name: "publish", example: "outbox" };
pub(super) const EXPORT: Text = Text { name: "export", example: "inbox" };
pub(super) const HTTP: Text = Text { name: "http", example: "127.0.0.1:4180" };
pub(super) const PEERS_FILE: Text = Text { name: "peers_file", example: "peers.toml" };
pub(super) const KEY: Text = Text {
    name: "key",
    example: "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
};
pub(super) const ADDRESS: Text = Text { name: "address", example: "replica-2.example:4100" };
pub(super) const NAME: Text = Text { name: "name", example: "replica-2" };
pub(super) const POLICY: Text = Text { name: "policy", example: "wait" };

impl Text {
    pub(super) fn read<'de, D: Deserializer<'de>>(
        &self,
        deserializer: D,
    ) -> Result<String, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(text),
            other => Err(D::Error::custom(format_args!(
                "{} is {}, not a text; write {} = \"{}\"",
                self.name,
                shown(&other),
                self.name,
                self.example,
            ))),
        }
    }
}

/// A value in a few words.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => match text.char_indices().nth(QUOTED) {
            Some((end, _)) => format!("{:?}…", &text[..end]),
            None => format!("{text:?}"),
        },
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(_) => "a date or a time".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// A function that reads a path, for serde.
macro_rules! path {
    ($name:ident, $text:ident, $type:ty, $from:expr) => {
        pub(super) fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
            $text.read(deserializer).map(PathBuf::from).map($from)
        }
    };
}

path!(key_file, KEY_FILE, PathBuf, |path| path);
path!(store, STORE, PathBuf, |path| path);
path!(publish, PUBLISH, Option<PathBuf>, Some);
path!(export, EXPORT, Option<PathBuf>, Some);
path!(peers_file, PEERS_FILE, Option<PathBuf>, Some);

pub(super) fn http<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<HttpAddress>, D::Error> {
    HTTP.read(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

pub(super) fn policy<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OverloadPolicy>, D::Error> {
    let name = POLICY.read(deserializer)?;
    OverloadPolicy::deserialize(name.as_str().into_deserializer()).map(Some)
}
