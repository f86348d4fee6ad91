use std::{net::SocketAddr, path::PathBuf, sync::atomic::AtomicUsize, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{client::fetch, limits::MAX_LISTENERS, *};
use crate::{
    identity::Identity,
    replica::{BoundReplica, ReplicaOptions},
    store::{Durability, StoreOptions},
};

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOPBACK: &str = "127.0.0.1:0";

/// A replica without peers, and its page.
struct Site {
    replica: Replica,
    server: HttpServer,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = StoreOptions { durability: Durability::Crash, ..StoreOptions::default() };
        let options = ReplicaOptions { store, ..ReplicaOptions::default() };
        let listen = LOOPBACK.parse().unwrap();
        let store = folder.path().join("store");
        let identity = Identity::generate();
        let bound = BoundReplica::bind(&identity, listen, &store, options);
        let replica = bound.await.unwrap().start(Vec::new()).unwrap();
        let server = HttpServer::bind(LOOPBACK.parse().unwrap()).await.unwrap();
        Self { replica, server, folder }
    }

    /// Serves while the test runs.
    async fn serve<T>(&self, test: impl Future<Output = T>) -> T {
        tokio::select! {
            result = timeout(PATIENCE, test) => result.expect("the test ends in time"),
            () = self.server.run([&self.replica]) => unreachable!("it never ends"),
        }
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        path
    }

    fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }
}

/// Sends these bytes and returns all that comes back until the other end closes.
async fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough may close before it has read all.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    talk(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await
}

/// Gets it until it is as expected: what is on the board may be a second old.
async fn get_until(address: SocketAddr, path: &str, expected: impl Fn(&str) -> bool) -> String {
    loop {
        let answer = get(address, path).await;
        if expected(&answer) {
            return answer;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_the_replica_holds() {
    let site = Site::new().await;
    site.serve(async {
        let path = site.file(&[7; 5_000]);
        let imported = site.replica.publish(path).await.unwrap();
        let id = format!("{:x}", imported.artifact.id);
        let answer = get_until(site.address(), "/status.json", |answer| answer.contains(&id)).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for expected in
            ["content-type: application/json", "default-src 'none'", "nosniff", "no-store"]
        {
            assert!(head.contains(expected), "{head}");
        }
        let json: Value = serde_json::from_str(body).unwrap();
        let replica = &json["replica"];
        assert_eq!(replica["id"], format!("{:x}", site.replica.node_id()));
        assert_eq!(replica["store"]["bytes"], 5_000);
        assert_eq!(replica["recent"][0]["id"], id);
        assert_eq!(json["replicas"][0]["number"], 1);

        let (_, status) = fetch(site.address(), 1).await.unwrap();
        assert_eq!(status.replica.store.artifacts, 1);

        // It has no peers and lacks nothing.
        let ready = get(site.address(), "/ready").await;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        let health = get(site.address(), "/health").await;
        assert!(health.ends_with("{\"faults\":[],\"healthy\":true}\n"), "{health}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_each_second_and_a_listener_more_than_there_may_be_is_refused() {
    let site = Site::new().await;
    site.serve(async {
        let address = site.address();
        get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 200")).await;
        let mut listeners = Vec::new();
        // The first shows that more come; of the others it is enough that they are let in.
        for awaited in [2].into_iter().chain([1; MAX_LISTENERS - 1]) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut seen = String::new();
            while seen.matches("data: {").count() < awaited {
                let mut part = vec![0; 1 << 16];
                let count = stream.read(&mut part).await.unwrap();
                assert!(count > 0, "{seen}");
                seen.push_str(&String::from_utf8_lossy(&part[..count]));
            }
            assert!(seen.contains("content-type: text/event-stream"), "{seen}");
            listeners.push(stream);
        }
        let refused = get(address, "/events").await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        // A place is free again once its connection is gone.
        listeners.pop();
        let mut again = String::new();
        while !again.starts_with("HTTP/1.1 200") {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut part = vec![0; 12];
            stream.read_exact(&mut part).await.unwrap();
            again = String::from_utf8(part).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_clients_send_the_page_is_served() {
    let site = Site::new().await;
    site.serve(async {
        let address = site.address();
        get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 200")).await;
        let long = "x".repeat(1 << 20);
        let many = "a: b\r\n".repeat(1_000);
        for (request, status) in [
            ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404"),
            ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404"),
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
                "405",
            ),
            ("DELETE /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "405"),
            ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "403"),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80\r\n\r\n".to_owned(), "403"),
            ("GET /status.json?replica=2 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404"),
            ("GET /status.json?replica=0 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404"),
            ("GET /ready?replica=-1 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404"),
            (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431"),
            (format!("GET /{long} HTTP/1.1\r\n\r\n"), ""),
            ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".to_owned(), "200"),
            ("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "200"),
            ("\u{16}\u{3}\u{1}\u{2}".to_owned() + &"\0".repeat(100), "400"),
        ] {
            let answer = talk(address, request.as_bytes()).await;
            let begin =
                if status.is_empty() { String::new() } else { format!("HTTP/1.1 {status}") };
            assert!(answer.starts_with(&begin), "{:.80}: {answer:.300}", request);
            assert!(status == "200" || !answer.contains("replica-"), "{answer}");
        }
        let page = get(address, "/").await;
        assert!(page.contains("<title>gossip-replica</title>"), "{page}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_closed_and_counted_and_then_the_page_is_served() {
    let site = Site::new().await;
    site.serve(async {
        let address = site.address();
        get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 200")).await;
        let mut silent = Vec::new();
        for number in 0..MAX_CONNECTIONS + 20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Some begin a head and do not end it. Those that are refused may be closed already.
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /status.json HTTP/1.1\r\nHost: loc").await;
            }
            silent.push(stream);
        }
        // They are served nothing, and closed by the time-out for heads.
        for mut stream in silent {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        }
        let metrics =
            get_until(address, "/metrics", |answer| answer.starts_with("HTTP/1.1 200")).await;
        let refused = metrics
            .lines()
            .find_map(|line| line.strip_prefix("gossip_replica_http_connections_refused_total "))
            .unwrap();
        assert!(refused.parse::<u64>().unwrap() >= 20, "{refused}");
    })
    .await;
}

/// Serves what `look` sees while the test runs.
async fn serve_looks<T>(
    server: &HttpServer,
    look: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    test: impl Future<Output = T>,
) -> T {
    tokio::select! {
        result = timeout(PATIENCE, test) => result.expect("the test ends in time"),
        () = server.serve(look) => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn a_look_that_panics_is_counted_and_said_and_the_next_one_is_made() {
    let server = HttpServer::bind(LOOPBACK.parse().unwrap()).await.unwrap();
    let address = server.local_addr();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let look = move || {
        assert_ne!(counted.fetch_add(1, Relaxed), 1, "on purpose");
        vec![tests_support::reading()]
    };
    serve_looks(&server, look, async {
        get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 200")).await;
        assert_eq!(server.failed_tasks(), 0);
        let said = get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 503")).await;
        assert!(said.contains("1 task of the page panicked"), "{said}");
        // Those after it are made, and the fault stays.
        while looks.load(Relaxed) < 4 {
            sleep(Duration::from_millis(50)).await;
        }
        assert!(get(address, "/metrics").await.contains("gossip_replica_healthy 0"));
        assert!(get(address, "/ready").await.starts_with("HTTP/1.1 200"));
    })
    .await;
    assert_eq!(server.failed_tasks(), 1);
}

/// On one thread, which a look that hangs must not hold.
#[tokio::test]
async fn a_look_that_does_not_come_back_is_said_and_holds_up_nothing() {
    let server = HttpServer::bind(LOOPBACK.parse().unwrap()).await.unwrap();
    let address = server.local_addr();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (looks, released) = (AtomicUsize::new(0), std::sync::Mutex::new(released));
    let look = move || {
        if looks.fetch_add(1, Relaxed) == 1 {
            // Until it is dropped.
            let _ = released.lock().unwrap().recv();
        }
        vec![tests_support::reading()]
    };
    serve_looks(&server, look, async {
        get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 200")).await;
        let said = get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 503")).await;
        assert!(said.contains("nobody has looked at the replica for"), "{said}");
        drop(release);
        get_until(address, "/health", |answer| answer.starts_with("HTTP/1.1 200")).await;
    })
    .await;
    assert_eq!(server.failed_tasks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_stops_reading_is_cut_off() {
    // A pipe of a few bytes stands for a connection whose other end does not read.
    let (ours, theirs) = tokio::io::duplex(64);
    let mut guarded = StallGuard::new(ours, Duration::from_millis(50));
    let written = timeout(PATIENCE, guarded.write_all(&[0; 1_000])).await.unwrap();
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(theirs);

    // One that reads slowly is not: each part that is taken gives it the time anew.
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut guarded = StallGuard::new(ours, PATIENCE);
    let reads = async {
        let mut taken = vec![0; 10_000];
        theirs.read_exact(&mut taken).await.unwrap();
    };
    let (written, ()) = tokio::join!(guarded.write_all(&[0; 10_000]), reads);
    written.unwrap();
}

#[test]
fn an_address_is_on_loopback_unless_it_says_otherwise() {
    let parsed = |text: &str| text.parse::<HttpAddress>();
    assert_eq!(parsed("4180").unwrap().to_string(), "127.0.0.1:4180");
    assert_eq!(parsed("localhost:80").unwrap().to_string(), "127.0.0.1:80");
    assert!(!parsed("[::1]:4180").unwrap().is_open());
    assert!(parsed("0.0.0.0:4180").unwrap().is_open());
    for nothing in ["", "4180 ", "65536", "host.example:80", "127.0.0.1", "-1", "::1"] {
        assert!(parsed(nothing).is_err(), "{nothing:?}");
    }
}
