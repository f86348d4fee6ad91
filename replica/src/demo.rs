//! `gossip-replica demo`: some replicas in one process publish a folder, fetch all of it from each other, and write it
//! out again; then every file is compared with every copy.
//!
//! ```text
//! list the files -> start the replicas -> publish file i on replica i mod N, and the names
//!                -> all hold everything -> export it on each -> compare byte by byte -> report
//! ```
//!
//! The stores and what is exported are folders in a temporary folder that is removed at the end, however that comes.

mod browser;
mod cluster;
mod folders;
mod report;
mod source;
mod verify;
mod watch;

use std::{
    io::{IsTerminal as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_replica::{
    gossip::{GossipOptions, MAX_CHUNKS, MIN_CHUNK_BYTES},
    http::{HttpServer, Notices},
    names::Names,
    replica::{ReplicaOptions, keep_reporting_lacks},
    store::{Durability, StoreOptions},
};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget};
use tempfile::TempDir;
use tokio::time::sleep;

use self::{
    cluster::Cluster,
    report::Report,
    source::{Folder, Skipped},
};
use crate::{
    cli::DemoArgs,
    failure::{Failure, say, say_json},
    logging,
    signals::EndRequest,
    supervise::{Failures, keep_polling},
};

/// How many adverts of its own a replica of the demo may have to send. The default is made for replicas
/// that have a process to themselves.
const ADVERT_BUFFER: usize = 16_384;
/// What a folder and the file system's own records take beside the content, in bytes for each file.
const OVERHEAD_PER_FILE: u64 = 4096;
/// How long a spread takes that is watched: long enough for a person to find a file on the page and to follow it.
const WATCHED: Duration = Duration::from_secs(60);
/// What a replica that is watched serves in a second at least, in bytes, however little there is to spread.
const WATCHED_RATE: NonZeroU64 = NonZeroU64::new(16 << 10).unwrap();
/// Into how many chunks that is cut, so that files are seen to grow.
const WATCHED_CHUNKS: u64 = 8;
/// How many chunks may be asked of one peer, and how many artifacts fetched on its turn, so that the names come early.
const WATCHED_REQUESTS: usize = 4;
/// How long a peer may take for a chunk that slows down on purpose: none is to be asked of another for that.
const WATCHED_CHUNK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to try to remove the stores while threads still end that write there.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);

/// Runs the demo and prints what it has shown.
pub(crate) async fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let bar = ProgressBar::hidden();
    logging::start(args.log.as_deref(), "warn", args.log_format, &bar)?;
    let end = EndRequest::with_hangup()?;
    let scratch = Scratch::new()?;
    let report = show(args, scratch.path(), &bar, end).await;
    bar.finish_and_clear();
    let removed = scratch.remove().await;
    let report = report?;
    removed?;
    if stays(args) { Ok(()) } else { tell(args, &report) }
}

/// Whether the demo goes on when all is verified.
fn stays(args: &DemoArgs) -> bool {
    args.keep || args.watch
}

/// Has the replicas serve so slowly that the folder takes [`WATCHED`].
fn slow_down(gossip: &mut GossipOptions, folder: &Folder, replicas: usize) {
    let replicas = replicas as u64;
    let served_by_each = folder.total_bytes().saturating_mul(replicas - 1) / replicas;
    let rate = NonZeroU64::new(served_by_each / WATCHED.as_secs());
    let rate = rate.unwrap_or(WATCHED_RATE).max(WATCHED_RATE);
    // Not more than an artifact may have.
    let least = folder.largest_bytes().div_ceil(MAX_CHUNKS).max(MIN_CHUNK_BYTES.into());
    let chunk_bytes = (rate.get() / WATCHED_CHUNKS).max(least);
    gossip.chunk_bytes = u32::try_from(chunk_bytes).unwrap_or(u32::MAX).min(gossip.chunk_bytes);
    gossip.requests_per_peer = WATCHED_REQUESTS;
    gossip.downloads_per_peer = WATCHED_REQUESTS;
    gossip.chunk_timeout = WATCHED_CHUNK_TIMEOUT;
    gossip.serve_bytes_per_second = Some(rate);
}

async fn show(
    args: &DemoArgs,
    scratch: &Path,
    bar: &ProgressBar,
    end: EndRequest,
) -> Result<Report, Failure> {
    let replicas = usize::from(args.replicas);
    let folder = Folder::list(&args.dir, scratch)?;
    let mut gossip = GossipOptions { chunk_bytes: args.chunk_size, ..GossipOptions::default() };
    // Nobody in a demo makes up artifacts that fill the disk.
    gossip.max_artifact_bytes = gossip.max_artifact_bytes.max(folder.largest_bytes());
    if args.watch {
        slow_down(&mut gossip, &folder, replicas);
    }
    folder.check_sizes(gossip.max_published_bytes())?;
    check_space(scratch, &folder, replicas)?;

    let names = Names::default();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let page = match args.http.or(args.watch.then(|| any_port.into())) {
        Some(address) => {
            let page = HttpServer::bind(address).await.map_err(Failure::runtime)?;
            let notices = Notices::new(logging::lost_lines);
            Some(page.with_notices(notices).with_names(names.clone()))
        }
        None => None,
    };
    if let Some(page) = &page {
        // Not a result: standard output is for those.
        let _ = writeln!(std::io::stderr(), "page: http://{}/", page.local_addr());
    }
    let options = ReplicaOptions {
        gossip,
        advert_buffer: ADVERT_BUFFER,
        // The demo has asked for the space of all, and compares every byte itself.
        store: StoreOptions {
            durability: Durability::Crash,
            min_free_bytes: 0,
            verify_bytes_per_second: 0,
            ..StoreOptions::default()
        },
        ..ReplicaOptions::default()
    };
    // Not to be interrupted half-way: it is short, and what has been started is ended in order, so
    // that nobody makes a file in a folder that is being removed.
    let cluster = Cluster::start(replicas, scratch, &options).await?;
    names.set(cluster.names());
    if args.watch
        && let Some(page) = &page
    {
        browser::open(&format!("http://{}/", page.local_addr()));
    }
    let report = {
        let serving = serve_page(page.as_ref(), &cluster);
        let end = end.wait();
        tokio::pin!(serving, end);
        let mut report = tokio::select! {
            report = spread(args, &folder, &cluster, scratch, bar) => report,
            () = &mut serving => Err(Failure::interrupted()),
            () = &mut end => Err(Failure::interrupted()),
        };
        if stays(args) {
            report = report.and_then(|report| tell(args, &report).map(|()| report));
            if report.is_ok() {
                tokio::select! {
                    () = serving => {}
                    () = end => {}
                }
            }
        }
        report
    };
    cluster.shut_down().await;
    report
}

fn tell(args: &DemoArgs, report: &Report) -> Result<(), Failure> {
    if args.json { say_json(report) } else { say(report) }
}

/// Serves the page of all replicas, if there is to be one. Does not end.
async fn serve_page(page: Option<&HttpServer>, cluster: &Cluster) {
    let Some(page) = page else { return std::future::pending().await };
    // What fails is said in the log; the result of the demo does not depend on it.
    let failures = Failures::default();
    tokio::join!(
        keep_polling("page", &failures, || page.run(&cluster.replicas)),
        keep_polling("lacks", &failures, || keep_reporting_lacks(&cluster.replicas)),
    );
}

/// Publishes the folder, waits until it is everywhere, and compares.
async fn spread(
    args: &DemoArgs,
    folder: &Folder,
    cluster: &Cluster,
    scratch: &Path,
    bar: &ProgressBar,
) -> Result<Report, Failure> {
    if !args.json && std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    }
    let cancel = CancelOnDrop::new();
    let watch = watch::Watch::new(cluster, bar, Duration::from_secs(args.patience));
    watch.until_connected().await?;
    let began = Instant::now();
    let published = watch.until_everywhere(folder, &cancel.flag()).await?;
    let elapsed = began.elapsed();
    let metrics = cluster.metrics();
    let exports =
        folders::export(cluster, published.catalogs, scratch, &watch, &cancel.flag()).await?;
    verify::verify(exports, published.files.clone(), bar, &cancel.flag()).await?;
    let report = Report::new(cluster.replicas.len(), &published, elapsed, &metrics);
    bar.finish_and_clear();
    for Skipped { path, reason } in &published.skipped {
        tracing::warn!("skipped {}: {reason}", path.display());
    }
    Ok(report)
}

/// Better said before than found out half-way.
fn check_space(scratch: &Path, folder: &Folder, replicas: usize) -> Result<(), Failure> {
    let each = folder.files.len() as u64 * OVERHEAD_PER_FILE + folder.total_bytes();
    // In the store, and in the folder that is exported.
    let needed = each.saturating_mul(2 * replicas as u64);
    // A file system that cannot say is tried.
    let free = fs4::available_space(scratch).unwrap_or(u64::MAX);
    if needed > free {
        return Err(Failure::runtime(format_args!(
            "{replicas} copies of {} take {} in {}, which has {} left; set TMPDIR to another folder",
            folder.path.display(),
            HumanBytes(needed),
            scratch.parent().unwrap_or(scratch).display(),
            HumanBytes(free),
        )));
    }
    Ok(())
}

/// The folder of the stores.
#[derive(Debug)]
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let failed = |error| {
            let folder = std::env::temp_dir();
            Failure::runtime(format_args!("cannot make a folder in {}: {error}", folder.display()))
        };
        tempfile::Builder::new().prefix("gossip-replica-").tempdir().map(Self).map_err(failed)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes it. A thread that publishes may still end what it was at.
    async fn remove(self) -> Result<(), Failure> {
        let began = Instant::now();
        let path = self.0.keep();
        loop {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) if began.elapsed() > REMOVAL_PATIENCE => {
                    let path = path.display();
                    return Err(Failure::runtime(format_args!("cannot remove {path}: {error}")));
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// Tells threads that work for the demo that nobody waits for them any more.
#[derive(Debug)]
struct CancelOnDrop(Arc<AtomicBool>);

impl CancelOnDrop {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // Relaxed: a wish that carries nothing.
        self.0.store(true, Ordering::Relaxed);
    }
}
