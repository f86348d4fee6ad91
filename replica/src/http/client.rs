//! Asking the port of a replica for its status, as `gossip-replica status` and `top` do.
//!
//! One request a connection. The answer is bounded by [`MAX_ANSWER_BYTES`] and [`PATIENCE`]. Its form is checked, and
//! the texts in it are untrusted.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::status::Status;

/// The longest answer that is read: some ten thousand peers.
pub const MAX_ANSWER_BYTES: u64 = 8 << 20;
/// How long to wait for all of it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody is there, or the connection breaks.
    #[error("cannot ask {address}: {source}")]
    Io {
        /// Who was asked.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The answer takes too long.
    #[error("{0} does not answer in time")]
    Timeout(SocketAddr),
    /// The answer is no status.
    #[error("{address} answers, but not as a replica does: {what}")]
    Strange {
        /// Who was asked.
        address: SocketAddr,
        /// What is wrong with the answer.
        what: String,
    },
}

/// Asks for the status of the replica of this number, from 1, as JSON and as data. Outside of a demo there is one.
///
/// # Errors
///
/// [`ClientError`].
///
/// # Cancel safety
///
/// Dropped, it closes the connection.
pub async fn fetch(address: SocketAddr, replica: usize) -> Result<(String, Status), ClientError> {
    let answer = match timeout(PATIENCE, ask(address, replica)).await {
        Ok(answer) => answer.map_err(|source| ClientError::Io { address, source })?,
        Err(_) => return Err(ClientError::Timeout(address)),
    };
    let strange = |what: &str| ClientError::Strange { address, what: what.to_owned() };
    let text = String::from_utf8(answer).map_err(|_| strange("it is no text"))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| strange("it has no head"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(strange(&format!("status {:?}", status.get(..3).unwrap_or_default())));
    }
    let parsed = serde_json::from_str(body).map_err(|error| strange(&error.to_string()))?;
    Ok((body.to_owned(), parsed))
}

async fn ask(address: SocketAddr, replica: usize) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // By 1.0 the answer comes in one piece and ends with the connection.
    let request = format!("GET /status.json?replica={replica} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}
