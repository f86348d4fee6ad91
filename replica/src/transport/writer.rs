//! Writes one flow's queue to one stream.
//!
//! The stream is opened at once, because a dialler takes the first stream for the sign that its
//! connection is served. Small payloads are copied next to their headers, which is cheaper for QUIC
//! than two pieces for each; large ones are handed over as they are.

use bytes::{BufMut as _, Bytes, BytesMut};
use gossip_engine::FlowType;
use quinn::{Connection, WriteError};

use super::{
    breach::Breach,
    frame::{HEADER_BYTES, header, tag_of},
    outbound::Queue,
    reader::Fault,
};

/// The largest payload that is copied next to its header, in bytes.
const COPIED_BYTES: usize = 4 << 10;

/// Runs until the connection ends.
pub(super) async fn write_flow(connection: Connection, mut queue: Queue) -> Result<(), Fault> {
    let flow = queue.flow();
    let fault = |error| match error {
        WriteError::Stopped(_) => Err(Breach::Stopped(flow).into()),
        // The connection has ended, and says why itself.
        _ => Ok(()),
    };
    let Ok(mut stream) = connection.open_uni().await else {
        return Ok(());
    };
    if let Err(error) = stream.write_all(&[tag_of(flow)]).await {
        return fault(error);
    }
    loop {
        let frames = queue.take().await;
        if frames.is_empty() {
            // `send` no longer reaches the queue; the connection is about to end, and its streams with
            // it.
            connection.closed().await;
            return Ok(());
        }
        if let Err(error) = stream.write_all_chunks(&mut pieces(flow, frames)).await {
            return fault(error);
        }
        queue.written();
    }
}

/// The frames as they go on the stream, in as few pieces as is cheap.
fn pieces(flow: FlowType, frames: &[Bytes]) -> Vec<Bytes> {
    let copied = |frame: &Bytes| HEADER_BYTES + Some(frame.len()).filter(fits_copy).unwrap_or(0);
    let mut buffer = BytesMut::with_capacity(frames.iter().map(copied).sum());
    let mut pieces = Vec::new();
    for frame in frames {
        buffer.put_slice(&header(flow, frame.len()).expect("`send` refuses what is too long"));
        if fits_copy(&frame.len()) {
            buffer.put_slice(frame);
        } else {
            pieces.push(buffer.split().freeze());
            pieces.push(frame.clone());
        }
    }
    if !buffer.is_empty() {
        pieces.push(buffer.freeze());
    }
    pieces
}

fn fits_copy(length: &usize) -> bool {
    *length <= COPIED_BYTES
}

#[cfg(test)]
mod tests;
