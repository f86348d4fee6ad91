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

/// Up to so many items that come together are moved into the last chunk if they fit; more of them are a chunk as they
/// are.
const FEW: usize = 8;

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
    before: Option<Box<Before<T>>>,
    len: usize,
}

/// None is empty. Of the first some items may have been taken.
#[derive(Debug)]
struct Before<T>(VecDeque<Chunk<T>>);

impl<T> Chunks<T> {
    pub(super) fn new() -> Self {
        Self { tail: Chunk::new(), before: None, len: 0 }
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
            let space = if self.tail.is_empty() { FIRST } else { RUN };
            self.push_chunk(pool.take(space));
        }
        self.tail.push_back(item);
        self.len += 1;
    }

    /// Takes all of `items`, at least one and at most [`RUN`], and gives an empty chunk back, with space if one is
    /// free.
    pub(super) fn append(&mut self, items: &mut Chunk<T>, pool: &mut Pool<T>) {
        debug_assert!((1..=RUN).contains(&items.len()));
        self.len += items.len();
        if items.len() <= FEW && (1..=RUN - FEW).contains(&self.tail.len()) {
            self.tail.append(items);
        } else {
            self.push_chunk(std::mem::replace(items, pool.take(0)));
        }
    }

    fn push_chunk(&mut self, chunk: Chunk<T>) {
        let last = std::mem::replace(&mut self.tail, chunk);
        if !last.is_empty() {
            self.before.get_or_insert_with(|| Box::new(Before(VecDeque::new()))).0.push_back(last);
        }
    }

    fn first(&mut self) -> &mut Chunk<T> {
        self.before.as_mut().and_then(|before| before.0.front_mut()).unwrap_or(&mut self.tail)
    }

    fn take_first(&mut self) -> Chunk<T> {
        let first = self.before.as_mut().and_then(|before| before.0.pop_front());
        first.unwrap_or_else(|| std::mem::take(&mut self.tail))
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

    /// All items, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.before.iter().flat_map(|before| &before.0).chain([&self.tail]).flatten()
    }

    /// Puts these items before its own.
    pub(super) fn prepend(&mut self, items: Self) {
        let own = std::mem::replace(self, items);
        self.len += own.len;
        let before = own.before.map(|before| before.0).unwrap_or_default();
        before.into_iter().chain([own.tail]).filter(|chunk| !chunk.is_empty()).for_each(|chunk| {
            self.push_chunk(chunk);
        });
    }

    /// The chunk that has the item at this place, which exists, and where in it.
    fn chunk_of(&mut self, place: usize) -> (&mut Chunk<T>, usize) {
        let mut place = place;
        let before = self.before.iter_mut().flat_map(|before| &mut before.0);
        for chunk in before.chain([&mut self.tail]) {
            if place < chunk.len() {
                return (chunk, place);
            }
            place -= chunk.len();
        }
        unreachable!("the place is one of its own")
    }

    /// The item at this place, which exists.
    pub(super) fn get_mut(&mut self, place: usize) -> &mut T {
        let (chunk, place) = self.chunk_of(place);
        &mut chunk[place]
    }

    /// Takes the item out that is at this place, which exists.
    pub(super) fn remove(&mut self, place: usize, pool: &mut Pool<T>) -> T {
        let (chunk, place) = self.chunk_of(place);
        let item = chunk.remove(place).expect("the chunk has it");
        let is_empty = chunk.is_empty();
        self.len -= 1;
        if is_empty {
            // None stays that is empty.
            let last = self.before.as_mut().map(|before| {
                before.0.retain(|chunk| !chunk.is_empty());
                if self.tail.is_empty() { before.0.pop_back() } else { None }
            });
            if self.tail.is_empty() {
                pool.put(std::mem::replace(&mut self.tail, last.flatten().unwrap_or_default()));
            }
        }
        item
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.before.as_ref().and_then(|before| before.0.front()).unwrap_or(&self.tail).front()
    }
}
