//! The items of one lane, in chunks as large as a run, so that a whole run changes hands by moving a pointer.
//!
//! A lane that is empty holds no chunk. A chunk begins with space for [`FIRST`] items and grows. The [`Pool`] keeps
//! chunks that are free, with space for up to [`KEEP`] items in all; the last one freed is used first, while it is in
//! the cache. So a lane costs what it holds, and where messages come and go nothing is allocated.

use std::collections::VecDeque;

/// The most items of a chunk, and of a run: enough that what a turn costs is small beside 32 brief items.
pub(crate) const RUN: usize = 32;

/// For how many items a new chunk has space: a lane of many is seldom longer.
const FIRST: usize = 4;

/// For how many items all chunks have space that are kept.
pub(super) const KEEP: usize = 32_768;

/// Up to [`RUN`] items.
pub(super) type Chunk<T> = VecDeque<T>;

/// Chunks that are free.
#[derive(Debug)]
pub(super) struct Pool<T> {
    free: Vec<Chunk<T>>,
    /// For how many items they have space.
    space: usize,
}

impl<T> Pool<T> {
    pub(super) fn new() -> Self {
        Self { free: Vec::new(), space: 0 }
    }

    /// For how many items the chunks have space that are kept.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn space(&self) -> usize {
        assert_eq!(self.space, self.free.iter().map(Chunk::capacity).sum::<usize>());
        self.space
    }

    /// A chunk; a new one has space for so many items.
    pub(super) fn take(&mut self, space: usize) -> Chunk<T> {
        let Some(chunk) = self.free.pop() else { return Chunk::with_capacity(space) };
        self.space -= chunk.capacity();
        chunk
    }

    /// Takes back a chunk that is empty.
    pub(super) fn put(&mut self, chunk: Chunk<T>) {
        debug_assert!(chunk.is_empty());
        let space = self.space + chunk.capacity();
        if chunk.capacity() > 0 && space <= KEEP {
            self.space = space;
            self.free.push(chunk);
        }
    }
}

/// The items of one lane.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    /// The last. Without capacity while the lane is empty.
    tail: Chunk<T>,
    /// Those before it. Few lanes have any.
    full: Option<Box<Full<T>>>,
    len: usize,
}

/// Full but for the first, of which some may have been taken.
#[derive(Debug)]
struct Full<T>(VecDeque<Chunk<T>>);

impl<T> Chunks<T> {
    pub(super) fn new() -> Self {
        Self { tail: Chunk::new(), full: None, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn push(&mut self, item: T, pool: &mut Pool<T>) {
        if matches!(self.tail.len(), 0 | RUN) {
            self.begin_chunk(pool);
        }
        self.tail.push_back(item);
        self.len += 1;
    }

    fn begin_chunk(&mut self, pool: &mut Pool<T>) {
        if self.tail.is_empty() {
            self.tail = pool.take(FIRST);
        } else {
            let before = std::mem::replace(&mut self.tail, pool.take(RUN));
            self.full.get_or_insert_with(|| Box::new(Full(VecDeque::new()))).0.push_back(before);
        }
    }

    fn first(&mut self) -> &mut Chunk<T> {
        self.full.as_mut().and_then(|full| full.0.front_mut()).unwrap_or(&mut self.tail)
    }

    fn take_first(&mut self) -> Chunk<T> {
        let full = self.full.as_mut().and_then(|full| full.0.pop_front());
        full.unwrap_or_else(|| std::mem::take(&mut self.tail))
    }

    /// Moves up to `most` items into `run`, which is empty.
    #[inline]
    pub(super) fn take_run(&mut self, most: usize, run: &mut Chunk<T>, pool: &mut Pool<T>) {
        let first = self.first();
        let length = first.len();
        if length <= most {
            self.len -= length;
            pool.put(std::mem::replace(run, self.take_first()));
        } else {
            for _ in 0..most {
                run.extend(first.pop_front());
            }
            self.len -= most;
        }
    }

    pub(super) fn pop(&mut self, pool: &mut Pool<T>) -> Option<T> {
        let first = self.first();
        let item = first.pop_front()?;
        if first.is_empty() {
            pool.put(self.take_first());
        }
        self.len -= 1;
        Some(item)
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.full.as_ref().and_then(|full| full.0.front()).unwrap_or(&self.tail).front()
    }
}
