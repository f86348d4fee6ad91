//! The folder that a demo publishes: its files, and what becomes of them.
//!
//! A file that is gone or changing when its turn comes is skipped and named; one that cannot be read ends
//! the demo.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use gossip_replica::{
    catalog::{Catalog, FileEntry, FilePath},
    gossip::{PublishError, ReplicaGossip},
    identity::Identity,
    publish::{SkipReason, list_files},
    store::{Artifact, Imported, StoreError},
};
use tokio::task::JoinSet;

use super::cluster::Cluster;
use crate::failure::Failure;

/// The files of a folder, before they are published.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) files: Vec<Listed>,
}

#[derive(Clone, Debug)]
pub(super) struct Listed {
    path: PathBuf,
    name: FilePath,
    bytes: u64,
}

/// A file that is published, as it was when that was done.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// Its path within the folder.
    pub(super) name: FilePath,
    /// What the catalog of its publisher says of it.
    pub(super) entry: FileEntry,
    pub(super) artifact: Artifact,
    /// The number of the replica that published it, from 0.
    pub(super) publisher: usize,
    pub(super) modified: Option<SystemTime>,
}

/// A file that is not published, because it was not there any more or did not hold still.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) path: PathBuf,
    pub(super) reason: &'static str,
}

/// What has become of a folder's files.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) files: Arc<Vec<File>>,
    /// How many replicas have published files, and so a catalog.
    pub(super) catalogs: usize,
    pub(super) skipped: Vec<Skipped>,
}

impl Folder {
    /// Lists the files below `path`, but not those in `excluded`.
    pub(super) fn list(path: &Path, excluded: &Path) -> Result<Self, Failure> {
        let unreadable = |path: &Path, error: &io::Error| {
            Failure::runtime(format_args!("cannot read {}: {error}", path.display()))
        };
        let listing = list_files(path, &[excluded]).map_err(|error| unreadable(path, &error))?;
        for skipped in &listing.skipped {
            match &skipped.reason {
                SkipReason::Unreadable(error) => return Err(unreadable(&skipped.path, error)),
                reason @ SkipReason::Rules(_) => {
                    let path = skipped.path.display();
                    return Err(Failure::runtime(format_args!("cannot publish {path}: {reason}")));
                }
                reason => tracing::info!("not published: {}: {reason}", skipped.path.display()),
            }
        }
        // One that is gone meanwhile is reported when its turn comes.
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut files = Vec::with_capacity(listing.files.len());
        for file in listing.files {
            match FilePath::of(file.strip_prefix(path).unwrap_or(&file)) {
                Ok(name) => files.push(Listed { bytes: bytes(&file), path: file, name }),
                Err(error) => tracing::info!("not published: {file:?}: {error}"),
            }
        }
        if files.is_empty() {
            let path = path.display();
            return Err(Failure::runtime(format_args!("nothing to publish: {path} has no files")));
        }
        Ok(Self { path: path.into(), files })
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    pub(super) fn largest_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).max().unwrap_or(0)
    }

    /// Finds a file that replicas would not fetch before any of them is published.
    pub(super) fn check_sizes(&self, limit: u64) -> Result<(), Failure> {
        match self.files.iter().find(|file| file.bytes > limit) {
            None => Ok(()),
            Some(Listed { path, bytes, .. }) => Err(Failure::runtime(format_args!(
                "{} has {bytes} bytes, over the limit of {limit} at this --chunk-size",
                path.display(),
            ))),
        }
    }

    /// Publishes file i on replica i mod N, each replica's on a thread of its own, and then the names of each replica's
    /// files. `done` counts files.
    pub(super) async fn publish(
        &self,
        cluster: &Cluster,
        done: &Arc<AtomicUsize>,
        cancel: &Arc<AtomicBool>,
    ) -> Result<Published, Failure> {
        let count = cluster.replicas.len();
        let mut threads = JoinSet::new();
        for (first, (replica, identity)) in
            cluster.replicas.iter().zip(&cluster.identities).enumerate()
        {
            let share: Vec<Listed> =
                self.files.iter().skip(first).step_by(count).cloned().collect();
            let (gossip, identity) = (replica.gossip().clone(), identity.clone());
            let (done, cancel) = (done.clone(), cancel.clone());
            threads.spawn_blocking(move || {
                let outcomes = publish_share(&gossip, first, share, &done, &cancel)?;
                let is_named = publish_names(&gossip, &identity, outcomes.iter().flatten())?;
                Ok::<_, Failure>((outcomes, is_named))
            });
        }
        let mut files = Vec::with_capacity(self.files.len());
        let (mut catalogs, mut skipped) = (0, Vec::new());
        while let Some(ended) = threads.join_next().await {
            let share = ended
                .map_err(|error| Failure::runtime(format_args!("publishing failed: {error}")))?;
            let (outcomes, is_named) = share?;
            catalogs += usize::from(is_named);
            for outcome in outcomes {
                match outcome {
                    Ok(file) => files.push(file),
                    Err(file) => skipped.push(file),
                }
            }
        }
        files.sort_unstable_by(|one: &File, two| one.path.cmp(&two.path));
        Ok(Published { files: Arc::new(files), catalogs, skipped })
    }
}

fn publish_share(
    gossip: &ReplicaGossip,
    publisher: usize,
    files: Vec<Listed>,
    done: &AtomicUsize,
    cancel: &AtomicBool,
) -> Result<Vec<Result<File, Skipped>>, Failure> {
    let mut outcomes = Vec::with_capacity(files.len());
    // Relaxed, for both: a wish and a figure, which order nothing.
    for Listed { path, name, .. } in files {
        if cancel.load(Ordering::Relaxed) {
            return Err(Failure::interrupted());
        }
        outcomes.push(publish(gossip, publisher, path, name)?);
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(outcomes)
}

/// Publishes the catalog of these files, unless there are none. Returns whether there is one.
fn publish_names<'a>(
    gossip: &ReplicaGossip,
    identity: &Identity,
    files: impl Iterator<Item = &'a File>,
) -> Result<bool, Failure> {
    let catalog = Catalog::new(files.map(|file| (file.name.clone(), file.entry)));
    let catalog = catalog.map_err(Failure::runtime)?;
    if catalog.is_empty() {
        return Ok(false);
    }
    gossip.publish_catalog(identity, catalog).map_err(Failure::runtime)?;
    Ok(true)
}

fn publish(
    gossip: &ReplicaGossip,
    publisher: usize,
    path: PathBuf,
    name: FilePath,
) -> Result<Result<File, Skipped>, Failure> {
    // Before the content is read, so that what changes after this is seen to have changed.
    let before = fs::metadata(&path);
    let reason = match gossip.publish(&path) {
        Ok(Imported { artifact, .. }) => {
            let Ok(metadata) = before else {
                return Ok(Err(Skipped { path, reason: "it has just come" }));
            };
            let entry = FileEntry { size: artifact.size, ..FileEntry::of(artifact.id, &metadata) };
            let modified = metadata.modified().ok();
            return Ok(Ok(File { path, name, entry, artifact, publisher, modified }));
        }
        Err(PublishError::Store(StoreError::Changed { .. })) => "it changed while it was read",
        Err(PublishError::Store(StoreError::NotAFile { .. })) => "it is no regular file any more",
        Err(PublishError::Store(StoreError::PrivateKey { .. })) => "it is a private key",
        Err(PublishError::Store(StoreError::Io { path: at, source, .. }))
            if at == path && source.kind() == io::ErrorKind::NotFound =>
        {
            "it is gone"
        }
        Err(error) => return Err(Failure::runtime(error)),
    };
    Ok(Err(Skipped { path, reason }))
}

impl File {
    /// Whether the file is still the one that was published, as far as the system can tell.
    pub(super) fn is_unchanged(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| {
            metadata.len() == self.artifact.size && metadata.modified().ok() == self.modified
        })
    }
}
