//! The folder again, on each replica: what the catalogs name is exported.
//!
//! Replica n writes into `export-n`, where each publisher has a folder. One thread for each replica.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gossip_replica::{
    catalog::Catalog,
    export::{Export, begin},
    gossip::ReplicaGossip,
    words::counted,
};
use tokio::task::JoinSet;

use super::{cluster::Cluster, watch::Watch};
use crate::failure::Failure;

/// Waits until all replicas know so many catalogs, and exports. Returns for each replica the folders of the publishers,
/// in the order of these.
pub(super) async fn export(
    cluster: &Cluster,
    catalogs: usize,
    scratch: &Path,
    watch: &Watch<'_>,
    cancel: &Arc<AtomicBool>,
) -> Result<Vec<Vec<PathBuf>>, Failure> {
    watch.until_named(catalogs).await?;
    let names: Vec<String> =
        (1..=cluster.replicas.len()).map(|number| format!("from-{number}")).collect();
    let mut threads = JoinSet::new();
    let mut folders = Vec::new();
    for (index, replica) in cluster.replicas.iter().enumerate() {
        let folder = scratch.join(format!("export-{}", index + 1));
        fs::create_dir(&folder).map_err(Failure::runtime)?;
        begin(&folder, &scratch.join(format!("exported-{}", index + 1)))
            .map_err(Failure::runtime)?;
        folders.push(names.iter().map(|name| folder.join(name)).collect());
        let of_publishers =
            cluster.replicas.iter().map(|replica| replica.node_id()).zip(names.clone());
        let (of_publishers, gossip, cancel) =
            (of_publishers.collect::<Vec<_>>(), replica.gossip().clone(), cancel.clone());
        threads.spawn_blocking(move || {
            for (publisher, name) in of_publishers {
                if let Some(current) = gossip.catalogs().current(publisher) {
                    export_one(&gossip, &current.catalog, &folder, &name, &cancel)
                        .map_err(|error| format!("replica {}: {error}", index + 1))?;
                }
            }
            Ok::<_, String>(())
        });
    }
    while let Some(ended) = threads.join_next().await {
        let exported =
            ended.map_err(|error| Failure::runtime(format_args!("exporting failed: {error}")))?;
        exported.map_err(Failure::runtime)?;
    }
    Ok(folders)
}

fn export_one(
    gossip: &ReplicaGossip,
    catalog: &Catalog,
    folder: &Path,
    name: &str,
    cancel: &AtomicBool,
) -> Result<(), String> {
    // Relaxed: a wish that carries nothing.
    let is_stopped = || cancel.load(Ordering::Relaxed);
    let mut export = Export::open(folder, name).map_err(|error| error.to_string())?;
    let progress = loop {
        let progress = export
            .apply(catalog, gossip.store(), &is_stopped)
            .map_err(|error| error.to_string())?;
        if let Some((path, reason)) = progress.refused.first() {
            return Err(format!("{path} is not exported: {reason}"));
        }
        if !progress.more {
            break progress;
        }
    };
    match catalog.len() - progress.present {
        0 => Ok(()),
        missing => Err(format!("{} of {name} cannot be exported", counted(missing as u64, "file"))),
    }
}
