//! Where a configuration says what turns out to be at fault only when it is used: a file that is not there, a name that
//! does not resolve.

use std::{fmt, ops::Range, path::PathBuf};

use serde::{Deserialize, de::IgnoredAny};
use toml::Spanned;

use super::lines;
use crate::failure::Failure;

/// A configuration, and the lines of some of its settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Places {
    pub(super) file: PathBuf,
    /// The names of settings, and the lines that they are in.
    lines: Vec<(&'static str, String)>,
}

#[derive(Deserialize)]
struct Said {
    listen: Option<Spanned<IgnoredAny>>,
    key_file: Option<Spanned<IgnoredAny>>,
    store: Option<Spanned<IgnoredAny>>,
    publish: Option<Spanned<IgnoredAny>>,
    http: Option<Spanned<IgnoredAny>>,
    peers_file: Option<Spanned<IgnoredAny>>,
}

impl Places {
    /// Of a text that is a configuration.
    pub(super) fn of(text: &str) -> Self {
        let Ok(said) = toml::from_str::<Said>(text) else { return Self::default() };
        let span = |said: Option<Spanned<IgnoredAny>>| said.map(|said| said.span());
        let spans: [(&str, Option<Range<usize>>); 6] = [
            ("listen", span(said.listen)),
            ("key_file", span(said.key_file)),
            ("store", span(said.store)),
            ("publish", span(said.publish)),
            ("http", span(said.http)),
            ("peers_file", span(said.peers_file)),
        ];
        let lines =
            spans.into_iter().filter_map(|(name, span)| Some((name, lines(text, span?)))).collect();
        Self { file: PathBuf::new(), lines }
    }

    /// A fault of what the configuration says of this setting.
    pub(crate) fn fault(&self, setting: &str, fault: impl fmt::Display) -> Failure {
        let file = self.file.display();
        match self.lines.iter().find(|(name, _)| *name == setting) {
            Some((_, lines)) => Failure::usage(format_args!("{file}, {lines}: {fault}")),
            None => Failure::usage(format_args!("{file}: {fault}")),
        }
    }
}
