//! What happens to the disk below the replica: files that change or go, and folders that take nothing.

use std::{fs, path::PathBuf};

use super::{Game, Input};

impl Game {
    /// Something happens to an artifact's file.
    pub(super) fn damage(&mut self, input: &mut Input<'_>) {
        let (id, how) = (self.real(input), input.below(3));
        let store = self.world.gossip.store();
        if !store.contains(id) {
            return;
        }
        self.world.network().damaged.insert(id);
        let path = store.folder().join(format!("{id:x}"));
        let mut content = self.world.catalogue[&id].clone();
        // It may have been damaged before.
        let _ = match how {
            0 => fs::remove_file(&path),
            1 => fs::write(&path, &content[..content.len() / 2]),
            _ => {
                content.iter_mut().for_each(|byte| *byte ^= 1);
                fs::write(&path, &content)
            }
        };
    }

    /// The disk takes nothing any more, or again.
    pub(super) fn disturb(&mut self) {
        self.disturbed = true;
        let partial = self.partial();
        let away = self.world.folder.path().join("away");
        if !away.exists() {
            // Both may be gone with the store's folder.
            if partial.exists() {
                let moved = fs::rename(&partial, &away).and_then(|()| fs::write(&partial, ""));
                moved.expect("files can be moved");
            }
        } else if partial.is_file() {
            let moved = fs::remove_file(&partial).and_then(|()| fs::rename(&away, &partial));
            moved.expect("files can be moved");
        } else {
            // The store has made another one meanwhile.
            fs::remove_dir_all(&away).expect("files can be removed");
        }
    }

    /// Something happens to the file of an artifact on its way in.
    pub(super) fn spoil(&mut self, input: &mut Input<'_>) {
        let (which, how) = (input.byte(), input.below(3));
        let Ok(entries) = fs::read_dir(self.partial()) else { return };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.is_file());
        files.sort();
        let Some(at) = usize::from(which).checked_rem(files.len()) else { return };
        let path = &files[at];
        match how {
            0 => fs::remove_file(path),
            1 => {
                self.disturbed = true;
                fs::remove_file(path).and_then(|()| fs::create_dir(path))
            }
            _ => fs::read(path).and_then(|mut content| {
                content.iter_mut().for_each(|byte| *byte ^= 1);
                fs::write(path, content)
            }),
        }
        .expect("files can be changed");
    }

    /// The store finds out that it has lost something.
    pub(super) fn lose(&mut self, input: &mut Input<'_>) {
        let (id, how) = (self.real(input), input.below(4));
        let store = self.world.gossip.store();
        let path = store.folder().join(format!("{id:x}"));
        match how {
            // It may have been removed before.
            0 => _ = fs::remove_file(&path),
            1 if path.is_file() => fs::write(&path, [0; 7]).expect("a file can be written"),
            2 => _ = fs::remove_dir_all(store.folder()),
            _ => {}
        }
        let removed = &mut self.world.network().removed;
        match how {
            0 | 1 => _ = removed.insert(id),
            2 => removed.extend(self.world.catalogue.keys()),
            _ => {}
        }
        // The system may not let it be read; then it is still held.
        if store.verify(id).is_ok_and(|intact| intact) {
            assert_eq!(how, 3, "what is damaged is intact");
        }
    }

    pub(super) fn partial(&self) -> PathBuf {
        self.world.gossip.store().folder().join("partial")
    }
}
