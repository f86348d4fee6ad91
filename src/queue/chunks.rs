//! The items of one lane, in chunks as large as a run, so that a whole run changes hands by moving a pointer.
//!
//! A lane that is empty holds no chunk. Chunks that are free are kept by the [`Pool`], up to [`KEEP`] of them, the last
//! one freed first, while it is in the cache. So a lane costs what it holds, and one that gets something allocates
//! nothing.

use std::collections::VecDeque;

/// The most items of a chunk, and of a run: enough that what a turn costs is small beside 32 brief items.
pub(crate) const RUN: usize = 32;

/// How many free chunks are kept.
const KEEP: usize = 1_024;

/// Up to [`RUN`] items.
pub(super) type Chunk<T> = VecDeque<T>;

/// Chunks that are free.
#[derive(Debug)]
pub(super) struct Pool<T>(Vec<Chunk<T>>);

impl<T> Pool<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    fn take(&mut self) -> Chunk<T> {
        self.0.pop().unwrap_or_else(|| Chunk::with_capacity(RUN))
    }

    /// Takes back a chunk that is empty.
    pub(super) fn put(&mut self, chunk: Chunk<T>) {
        debug_assert!(chunk.is_empty());
        if chunk.capacity() > 0 && self.0.len() < KEEP {
            self.0.push(chunk);
        }
    }
}

/// The items of one lane.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    /// Full but for the first, of which some may have been taken.
    full: VecDeque<Chunk<T>>,
    /// Those behind them. Without capacity while the lane is empty.
    tail: Chunk<T>,
    len: usize,
}

impl<T> Chunks<T> {
    pub(super) fn new() -> Self {
        Self { full: VecDeque::new(), tail: Chunk::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn push(&mut self, item: T, pool: &mut Pool<T>) {
        if self.tail.len() == self.tail.capacity() {
            self.begin_chunk(pool);
        }
        self.tail.push_back(item);
        self.len += 1;
    }

    fn begin_chunk(&mut self, pool: &mut Pool<T>) {
        let before = std::mem::replace(&mut self.tail, pool.take());
        if before.capacity() > 0 {
            self.full.push_back(before);
        }
    }

    /// Moves up to `most` items into `run`, which is empty.
    #[inline]
    pub(super) fn take_run(&mut self, most: usize, run: &mut Chunk<T>, pool: &mut Pool<T>) {
        let first = self.full.front_mut().unwrap_or(&mut self.tail);
        if first.len() <= most {
            self.len -= first.len();
            let first = self.full.pop_front().unwrap_or_else(|| std::mem::take(&mut self.tail));
            pool.put(std::mem::replace(run, first));
        } else {
            self.len -= most;
            for _ in 0..most {
                run.extend(first.pop_front());
            }
        }
    }

    pub(super) fn pop(&mut self, pool: &mut Pool<T>) -> Option<T> {
        let first = self.full.front_mut().unwrap_or(&mut self.tail);
        let item = first.pop_front()?;
        self.len -= 1;
        if first.is_empty() {
            pool.put(self.full.pop_front().unwrap_or_else(|| std::mem::take(&mut self.tail)));
        }
        Some(item)
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.full.front().unwrap_or(&self.tail).front()
    }
}
