//! A server with a thread for each TCP connection.
//!
//! Each connection's thread reads lines and submits them, and waits while its peer has as many under way as its quota
//! allows. A thread that waits does not read, so TCP slows that peer and nobody else. Here one peer sends as fast as
//! it can, and two others send a line now and then: their answers come at once all the same.
//!
//! ```text
//! cargo run --release --example tcp_threads
//! ```

use std::{
    error::Error,
    hint::black_box,
    io::{BufRead as _, BufReader, Read as _, Write as _, stdout},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gossip_engine::{FlowConfig, FlowType, FlowWorker, MessageHandler, MetricsRegistry, NodeId};

const GREEDY_LINES: u32 = 20_000;
const QUIET_LINES: u32 = 100;
/// How long a quiet peer thinks between an answer and its next line.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1024;

/// A line, and where its answer goes.
struct Request {
    line: String,
    connection: Arc<TcpStream>,
}

/// Some 10 µs of work, and the answer.
struct Answer;

impl MessageHandler<Request> for Answer {
    fn handle(&self, _: &NodeId, Request { line, connection }: Request) {
        let sum = (0..20_000_u64).fold(line.len() as u64, |sum, next| black_box(sum ^ next));
        // A peer that has gone needs no answer.
        let _ = (&*connection).write_all(format!("{sum}\n").as_bytes());
    }
}

/// Reads what one peer sends until it has no more to say.
fn serve(flow: &FlowWorker<Request>, peer: NodeId, connection: TcpStream) {
    let connection = Arc::new(connection);
    let mut reader = BufReader::new(&*connection);
    loop {
        let mut line = Vec::new();
        let Ok(1..) = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        let request = Request { line, connection: Arc::clone(&connection) };
        if flow.execute(peer, request).wait().is_err() {
            break;
        }
    }
    flow.cancel_peer(peer);
}

/// Sends lines and waits for each answer; returns how long the answers took.
fn ask(server: SocketAddr) -> std::io::Result<Vec<Duration>> {
    let mut connection = TcpStream::connect(server)?;
    connection.set_nodelay(true)?;
    let mut answers = BufReader::new(connection.try_clone()?).lines();
    let mut times = Vec::new();
    for _ in 0..QUIET_LINES {
        let asked = Instant::now();
        connection.write_all(b"what is the sum?\n")?;
        answers.next().transpose()?;
        times.push(asked.elapsed());
        thread::sleep(PAUSE);
    }
    times.sort_unstable();
    Ok(times)
}

/// Sends all its lines at once, and reads the answers as they come.
fn flood(server: SocketAddr) -> std::io::Result<usize> {
    let mut connection = TcpStream::connect(server)?;
    let answers = BufReader::new(connection.try_clone()?).lines().take(GREEDY_LINES as usize);
    let reader = thread::spawn(move || answers.flatten().count());
    for _ in 0..GREEDY_LINES {
        connection.write_all(b"sum sum sum sum sum!\n")?;
    }
    Ok(reader.join().unwrap_or(0))
}

fn main() -> Result<(), Box<dyn Error>> {
    let registry = MetricsRegistry::new();
    let config = FlowConfig::new(100).with_threads(1);
    let flow = FlowWorker::new(FlowType::Request, &config, &registry, Answer)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    thread::scope(|threads| -> Result<(), Box<dyn Error>> {
        let clients =
            (threads.spawn(|| flood(server)), [(); 2].map(|()| threads.spawn(|| ask(server))));
        for (number, connection) in listener.incoming().take(3).enumerate() {
            let (connection, flow) = (connection?, &flow);
            threads.spawn(move || serve(flow, NodeId::new([number as u8; 32]), connection));
        }
        let mut out = stdout().lock();
        for times in clients.1 {
            let times = times.join().expect("a client does not panic")?;
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            writeln!(out, "a quiet peer's answer takes {median:?}, {longest:?} at most")?;
        }
        let answered = clients.0.join().expect("a client does not panic")?;
        writeln!(out, "the greedy peer has {answered} of {GREEDY_LINES} answers")?;
        Ok(())
    })?;
    writeln!(stdout(), "{}", registry.snapshot().flow(FlowType::Request))?;
    assert!(flow.shutdown(Duration::from_secs(10)).is_clean());
    Ok(())
}
