//! What publishers are called: a name that the list of peers gives, or the beginning of a node id.
//!
//! Each word is the name of one publisher at a time, and is safe as the name of a folder.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gossip_engine::NodeId;

/// The longest name of a peer, in bytes.
pub const MAX_NAME_BYTES: usize = 32;
/// A publisher without a name is called by so many digits of its id: too many for two ids to share by chance.
const SHORT_DIGITS: usize = 16;
/// The least digits of an id that can stand for it.
pub const MIN_DIGITS: usize = 4;
/// How many ids an error lists that begin in the same way.
const SHOWN_IDS: usize = 4;

/// The name of a peer: 1 to 32 of `a-z`, `0-9` and `-`, which does not come first.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerName(Box<str>);

/// A text is no [`PeerName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a name has 1 to {MAX_NAME_BYTES} of a-z, 0-9 and -, and does not begin with -")]
pub struct NameError;

impl PeerName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let fits = (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_good);
        // On a command line that would be an option.
        if fits && !text.starts_with('-') { Ok(Self(text.into())) } else { Err(NameError) }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A word that does not name one publisher.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// It is neither a name nor the beginning of an id.
    #[error("{0:?} is neither the name of a peer nor {MIN_DIGITS} to 64 digits of a node id")]
    NoWord(String),
    /// No publisher has it.
    #[error("no peer and no publisher is called {0:?}, or has an id that begins so")]
    Unknown(String),
    /// Several ids begin with it.
    #[error("{word:?} is the beginning of several ids: {}", ids.join(", "))]
    Ambiguous {
        /// The word.
        word: String,
        /// Some of the ids, in full.
        ids: Vec<String>,
    },
}

/// The names of the list of peers. Clones share them.
///
/// At most as many as there are peers on a list.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    listed: BTreeSet<NodeId>,
    given: HashMap<NodeId, PeerName>,
    /// The peer that a word stands for: names, and for those without a name the beginnings of their ids.
    taken: HashMap<String, NodeId>,
}

impl Names {
    /// These are on the list, each name once.
    pub fn set(&self, list: impl IntoIterator<Item = (NodeId, Option<PeerName>)>) {
        let mut table = Table::default();
        for (id, name) in list {
            table.listed.insert(id);
            if let Some(name) = name {
                table.taken.insert(name.to_string(), id);
                table.given.insert(id, name);
            }
        }
        for id in &table.listed {
            if !table.given.contains_key(id) {
                table.taken.entry(short(*id)).or_insert(*id);
            }
        }
        *self.table() = table;
    }

    /// The name that the list gives, if it does.
    #[must_use]
    pub fn given_name(&self, id: NodeId) -> Option<String> {
        self.table().given.get(&id).map(PeerName::to_string)
    }

    /// What this publisher is called: the name that the list gives, or else the first 16 hexadecimal digits of the id,
    /// or all 64 if the 16 are what another one is called. At most 64 of `a-z`, `0-9` and `-`.
    #[must_use]
    pub fn publisher_name(&self, id: NodeId) -> String {
        let table = self.table();
        if let Some(name) = table.given.get(&id) {
            return name.to_string();
        }
        let short = short(id);
        match table.taken.get(&short) {
            Some(other) if *other != id => format!("{id:x}"),
            _ => short,
        }
    }

    /// The publisher that a word names: what a peer on the list is called or, if none is called so, the beginning of
    /// the id of a peer on the list or of one of `others`.
    ///
    /// # Errors
    ///
    /// [`FindError`], if it names nobody, or several.
    pub fn find(
        &self,
        word: &str,
        others: impl IntoIterator<Item = NodeId>,
    ) -> Result<NodeId, FindError> {
        let table = self.table();
        if let Some(id) = table.taken.get(word) {
            return Ok(*id);
        }
        let is_id = (MIN_DIGITS..=64).contains(&word.len())
            && word.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_id {
            return Err(match word.parse::<PeerName>() {
                Ok(_) => FindError::Unknown(word.to_owned()),
                Err(_) => FindError::NoWord(word.to_owned()),
            });
        }
        let digits = word.to_ascii_lowercase();
        let known: BTreeSet<NodeId> = table.listed.iter().copied().chain(others).collect();
        let found: Vec<NodeId> =
            known.into_iter().filter(|id| format!("{id:x}").starts_with(&digits)).collect();
        match found[..] {
            [] => Err(FindError::Unknown(word.to_owned())),
            [id] => Ok(id),
            _ => {
                let shown = found.iter().take(SHOWN_IDS).map(|id| format!("{id:x}"));
                Err(FindError::Ambiguous { word: word.to_owned(), ids: shown.collect() })
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // It is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn short(id: NodeId) -> String {
    let mut digits = format!("{id:x}");
    digits.truncate(SHORT_DIGITS);
    digits
}

#[cfg(test)]
mod tests;
