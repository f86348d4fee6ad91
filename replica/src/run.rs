//! `gossip-replica run`: one replica of a cluster, until a signal ends it.
//!
//! On standard output it prints two lines and nothing else, for people and for programs:
//!
//! ```text
//! ready: id=<64 hexadecimal digits> listen=<address>:<port>[ http=<address>:<port>]
//! stopped: artifacts=<held> bytes=<held> published=<by this run> fetched=<by this run> clean=<true or false>
//! ```
//!
//! `clean` is false if something was left undone at the end, or a task of the replica has panicked since the start. A
//! line that cannot be printed is said in the log, and the replica goes on. If the system refuses to receive, which
//! cannot be mended from within, the replica ends in order and the status is 1.
//!
//! A service manager that asks for it hears when the replica is ready, alive, reading anew and ending.
//!
//! With `--check` nothing is started: the configuration, the key and the folders are looked at, and one line is
//! printed: `ok: id=<64 hexadecimal digits> peers=<count>`. With `--json` it is an object, with the folders as well.

mod export;
mod folders;
mod patience;
mod progress;
mod reload;
mod scan;
mod service;

use std::{net::SocketAddr, time::Duration};

use gossip_replica::{
    blocking::blocking,
    gossip::{GossipOptions, GossipSnapshot},
    http::{HttpServer, Notices},
    identity::Identity,
    replica::{BoundReplica, Replica, ReplicaError, ReplicaOptions, keep_reporting_lacks},
    transport::StartError,
};
use indicatif::ProgressBar;
use serde_json::json;
use tokio::{net::lookup_host, sync::Mutex};

pub(crate) use self::folders::real_path;

use self::{
    export::Exporting,
    progress::log_progress,
    reload::Reload,
    scan::{Publishing, Scanning},
    service::Service,
};
use crate::{
    cli::RunArgs,
    failure::{Failure, say, say_json, shown},
    logging,
    settings::Settings,
    signals::{EndRequest, ReloadRequest},
    supervise::{Failures, keep_polling},
};

/// How long what was admitted may run on after the end was asked for.
const FAREWELL: Duration = Duration::from_secs(10);

/// Runs a replica, or looks whether one could be run.
pub(crate) async fn run(args: &RunArgs) -> Result<(), Failure> {
    // First, so that no signal ends what has been begun.
    let (end, reload) = (EndRequest::new()?, ReloadRequest::new()?);
    logging::start(args.log.as_deref(), "info", args.log_format, &ProgressBar::hidden())?;
    let (notices, service) = (Notices::new(logging::lost_lines), Service::default());
    let end = end.wait();
    tokio::pin!(end);
    // A disk may not answer, and the end must not wait for that.
    let checked = async {
        let reload = Reload::new(&args.config, reload, notices.clone(), service.clone()).await?;
        let settings = reload.started().clone();
        let identity = blocking(move || check(&settings)).await?;
        Ok::<_, Failure>((reload, identity))
    };
    let (reload, identity) = tokio::select! {
        checked = checked => checked?,
        () = &mut end => return Ok(()),
    };
    let settings = reload.started().clone();
    if args.check {
        let peers = settings.peers.iter().filter(|peer| peer.key != identity.node_id()).count();
        return tell(args, &identity, peers, &settings);
    }
    let names = reload.names().clone();
    let reload = Mutex::new(reload);
    let replica = tokio::select! {
        replica = start(&identity, &settings) => replica?,
        () = &mut end => return Ok(()),
    };
    let failures = Failures::default();
    let publishing = settings.publish.clone().map(|folder| Publishing {
        folder,
        rescan: settings.rescan,
        settle: settings.settle,
        own: folders::own(&args.config, &settings),
        notices: notices.clone(),
    });
    let page = match settings.http {
        Some(address) => {
            let page = HttpServer::bind(address).await.map_err(Failure::runtime)?;
            Some(page.with_notices(notices.clone()).with_names(names.clone()))
        }
        None => None,
    };
    let http = page.as_ref().map(|page| format!(" http={}", page.local_addr())).unwrap_or_default();
    let scanning = Scanning::start(&replica, &identity, publishing, &failures)?;
    let min_free_bytes = settings.store_options().min_free_bytes;
    let exporting = Exporting::start(
        &replica,
        settings.export.clone(),
        names,
        min_free_bytes,
        notices,
        &failures,
    )?;
    logging::announce(format_args!(
        "ready: id={:x} listen={}{http}",
        replica.node_id(),
        replica.local_addr(),
    ));

    service.ready().await;

    let mut network_lost = false;
    tokio::select! {
        () = &mut end => {}
        () = replica.network_lost() => network_lost = true,
        () = keep_polling("progress", &failures, || log_progress(replica.gossip())) => {}
        () = keep_polling("lacks", &failures, || keep_reporting_lacks([&replica])) => {}
        () = keep_polling("reload", &failures, || async {
            reload.lock().await.keep_up(&replica).await;
        }) => {}
        () = keep_polling("watchdog", &failures, || service.keep_alive(&replica)) => {}
        () = keep_polling("page", &failures, || serve_page(page.as_ref(), &replica)) => {}
    }
    service.stopping().await;
    let ((published, scanned), exported) =
        tokio::join!(scanning.stop(FAREWELL), exporting.stop(FAREWELL));
    let GossipSnapshot { artifacts, bytes, fetched, .. } = replica.gossip().snapshot();
    let fetched = fetched.artifacts;
    let of_page = page.as_ref().map_or(0, HttpServer::failed_tasks);
    let failed = replica.failed_tasks() + failures.count() + of_page;
    let clean = replica.shutdown(FAREWELL).await.is_clean() && scanned && exported && failed == 0;
    if failed > 0 {
        tracing::warn!(failed, "panics of tasks since the start");
    }
    logging::announce(format_args!(
        "stopped: artifacts={artifacts} bytes={bytes} published={published} fetched={fetched} clean={clean}"
    ));
    if network_lost { Err(Failure::runtime("the network is gone; start again")) } else { Ok(()) }
}

/// Finds what is at fault before anything is made or started.
fn check(settings: &Settings) -> Result<Identity, Failure> {
    let places = &settings.places;
    let identity =
        Identity::load(&settings.key_file).map_err(|error| places.fault("key_file", error))?;
    if Identity::is_exposed(&settings.key_file) {
        let key_file = settings.key_file.display();
        tracing::warn!(%key_file, "others than its owner may use the key file; chmod it to 600");
    }
    folders::check_apart(settings)?;
    if let Some(publish) = &settings.publish {
        folders::check_folder("publish", publish)
            .map_err(|error| places.fault("publish", error))?;
    }
    if let Some(export) = &settings.export {
        folders::check_folder("export", export).map_err(|error| places.fault("export", error))?;
    }
    folders::check_store(&settings.store).map_err(|error| places.fault("store", error))?;
    Ok(identity)
}

/// Says what a check has found.
fn tell(
    args: &RunArgs,
    identity: &Identity,
    peers: usize,
    settings: &Settings,
) -> Result<(), Failure> {
    let id = format!("{:x}", identity.node_id());
    if !args.json {
        return say(format_args!("ok: id={id} peers={peers}"));
    }
    say_json(&json!({
        "id": id,
        "peers": peers,
        "listen": settings.listen,
        "http": settings.http.map(|http| http.to_string()),
        "store": shown(&settings.store),
        "publish": settings.publish.as_deref().map(shown),
        "export": settings.export.as_deref().map(shown),
    }))
}

async fn start(identity: &Identity, settings: &Settings) -> Result<Replica, Failure> {
    let listen = resolve(&settings.listen).await;
    let listen = listen.map_err(|fault| settings.places.fault("listen", fault))?;
    let options = ReplicaOptions {
        gossip: GossipOptions {
            chunk_bytes: settings.chunk_size,
            removed_retention: settings.keep_removed,
            max_publisher_bytes: settings.max_publisher_bytes,
            ..GossipOptions::default()
        },
        channels: settings.channels.clone(),
        store: settings.store_options(),
        ..ReplicaOptions::default()
    };
    let bound = BoundReplica::bind(identity, listen, &settings.store, options);
    let started = bound.await.and_then(|bound| bound.start(settings.peers()));
    started.map_err(|error| match error {
        // What the configuration says cannot be.
        ReplicaError::Start(StartError::Duplicate(_) | StartError::TooMany(_)) => {
            Failure::usage(error)
        }
        error => Failure::runtime(error),
    })
}

/// The first address of a name.
async fn resolve(name: &str) -> Result<SocketAddr, String> {
    let addresses = lookup_host(name).await;
    let mut addresses =
        addresses.map_err(|error| format!("listen, {name:?}, does not resolve: {error}"))?;
    addresses.next().ok_or_else(|| format!("listen, {name:?}, does not resolve"))
}

/// Serves the page, if there is to be one. Does not end.
async fn serve_page(page: Option<&HttpServer>, replica: &Replica) {
    match page {
        Some(page) => page.run([replica]).await,
        None => std::future::pending().await,
    }
}
