//! How long a large catalog takes: `cargo test --release -p gossip-replica --lib export::tests::measure -- --ignored
//! --nocapture`.

use std::time::Instant;

use super::*;

#[test]
#[ignore = "measures; writes 50 MB"]
#[expect(clippy::print_stderr, reason = "it is its result")]
fn fifty_thousand_files_of_one_kibibyte() {
    for count in [5_000_u64, 50_000] {
        let top = tempfile::tempdir().unwrap();
        let content = Memory::default();
        let files = |count: u64| {
            let files = (0..count).map(|number| {
                let bytes = number.to_be_bytes().repeat(128);
                content.add(&bytes);
                let path = format!("folder {}/{}/file {number}", number % 100, number % 7);
                (path_of(&path), entry_of(&bytes))
            });
            Catalog::new(files.collect::<Vec<_>>()).unwrap()
        };
        let (catalog, more) = (files(count), files(count + 1));
        let timed = |what: &str, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            eprintln!("{count} files, {what}: {:?}", start.elapsed());
        };
        let mut export = open(top.path(), "alice").unwrap();
        let mut run = |what: &str, catalog: &Catalog, written: usize, removed: usize| {
            timed(what, &mut || {
                let progress = apply(&mut export, catalog, &content);
                assert_eq!((progress.written, progress.removed), (written, removed));
            });
        };
        run("all new", &catalog, count as usize, 0);
        run("nothing to do", &catalog, 0, 0);
        run("one new", &more, 1, 0);
        timed("opened", &mut || drop(open(top.path(), "alice").unwrap()));
        run("all removed", &Catalog::default(), 0, count as usize + 1);
    }
}
