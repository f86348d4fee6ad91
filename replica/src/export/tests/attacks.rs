//! Nothing outside of the subfolder is touched, whatever lies in the way.

use std::os::unix::fs::symlink;

use super::*;

/// A folder to export to, and beside it one that is nobody's business, with the same files in it.
struct Scene {
    top: tempfile::TempDir,
    content: Memory,
    outside: BTreeMap<String, String>,
}

impl Scene {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        for path in ["c", "b/c", "a/b/c", "alice/a/b/c"] {
            put_trap(&top.path().join("outside").join(path));
        }
        let outside = tree(&top.path().join("outside"));
        Self { top, content: Memory::default(), outside }
    }

    fn folder(&self) -> PathBuf {
        self.top.path().join("out")
    }

    fn check(&self) {
        assert_eq!(tree(&self.top.path().join("outside")), self.outside);
        let top: Vec<_> = fs::read_dir(self.top.path()).unwrap().collect();
        assert!(top.len() <= 2, "{top:?}");
    }
}

/// A file as the export would have written it: one that follows a link to it takes it for its own.
fn put_trap(path: &Path) {
    put(path, "old");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    set_time(path, entry_of(b"old").modified_ns);
}

#[test]
fn a_link_at_each_component_is_refused() {
    for (link, above, below) in [("a", "", "b/c"), ("a/b", "b", "c"), ("a/b/c", "b/c", "")] {
        for number in 0..4 {
            for export_first in [false, true] {
                let scene = Scene::new();
                let mut export = open(&scene.folder(), "alice").unwrap();
                let old = scene.content.catalog(&[("a/b/c", "old"), ("z", "rest")]);
                if export_first {
                    apply(&mut export, &old, &scene.content);
                }
                let at = scene.folder().join("alice").join(link);
                if export_first {
                    let _ = fs::remove_file(&at).or_else(|_| fs::remove_dir_all(&at));
                }
                // One link that leads inside, as short as can be.
                let beside = at.with_file_name("beside");
                let trap = if below.is_empty() { beside } else { beside.join(below) };
                put_trap(&trap);
                let target = match number {
                    0 => "beside".into(),
                    1 => scene.top.path().join("outside/a").join(above),
                    2 => scene.top.path().join("outside/alice/a").join(above),
                    _ => scene.top.path().join("nowhere"),
                };
                symlink(&target, &at).unwrap();
                // Written anew, removed, and both by a new export.
                let new = scene.content.catalog(&[("a/b/c", "newer"), ("z", "rest")]);
                let catalogs = [&new, &old, &Catalog::default(), &new, &Catalog::default()];
                for catalog in catalogs {
                    for again in [false, true] {
                        if again {
                            export = open(&scene.folder(), "alice").unwrap();
                        }
                        let progress = apply(&mut export, catalog, &scene.content);
                        if !catalog.is_empty() {
                            assert_eq!((progress.present, progress.refused_files), (1, 1));
                        }
                        scene.check();
                        assert_eq!(fs::read_link(&at).unwrap(), target);
                        assert_eq!(fs::read(&trap).unwrap(), b"old");
                    }
                }
            }
        }
    }
}

#[test]
fn a_folder_that_becomes_a_link_while_files_are_written_leads_nowhere() {
    for is_moved_out in [false, true] {
        let scene = Scene::new();
        let old = scene.content.catalog(&[("a/b/1", "old"), ("a/b/c", "old")]);
        let new = scene.content.catalog(&[("a/b/1", "new"), ("a/b/c", "new")]);
        let mut export = open(&scene.folder(), "alice").unwrap();
        apply(&mut export, &old, &scene.content);
        let (at, outside) = (scene.folder().join("alice/a"), scene.top.path().join("outside/a"));
        let to = scene.folder().join(if is_moved_out { "moved" } else { "alice/moved" });
        let from = at.clone();
        scene.content.meanwhile.replace(Some(Box::new(move || {
            fs::rename(&from, to).unwrap();
            symlink(outside, from).unwrap();
        })));
        // What was looked at before is looked at again on the way to each write.
        let progress = apply(&mut export, &new, &scene.content);
        assert_eq!(progress.refused_files, 2);
        scene.check();
        let progress = apply(&mut export, &Catalog::default(), &scene.content);
        assert_eq!(progress.removed, 0);
        scene.check();
    }
}

#[test]
fn a_link_in_place_of_a_folder_of_the_export_stops_it() {
    for name in ["alice", ".gossip-export", ".gossip-export/alice.new"] {
        for leads_inside in [false, true] {
            let scene = Scene::new();
            let catalog = scene.content.catalog(&[("a/b/c", "new")]);
            let at = scene.folder().join(name);
            let beside = at.with_file_name("beside");
            let target =
                if leads_inside { "beside".into() } else { scene.top.path().join("outside") };
            fs::create_dir_all(&beside).unwrap();
            symlink(&target, &at).unwrap();
            let refused = open(&scene.folder(), "alice").unwrap_err();
            let is_link = matches!(
                &refused,
                ExportError::InTheWay { path, why: Refusal::Symlink } if *path == at
            );
            assert!(is_link, "{refused:?}");
            // Also while it is open.
            fs::remove_file(&at).unwrap();
            fs::remove_dir(&beside).unwrap();
            let mut export = open(&scene.folder(), "alice").unwrap();
            fs::rename(&at, &beside).unwrap();
            symlink(&target, &at).unwrap();
            let refused = export.apply(&catalog, &scene.content, &|| false).unwrap_err();
            assert!(matches!(refused, ExportError::InTheWay { .. }), "{refused:?}");
            scene.check();
            fs::remove_file(&at).unwrap();
            fs::rename(&beside, &at).unwrap();
            assert_eq!(apply(&mut export, &catalog, &scene.content).written, 1);
        }
    }
}

#[test]
fn a_link_in_place_of_the_record_or_the_lock_is_not_followed() {
    for name in ["alice.catalog", "alice.next", "alice.lock"] {
        let scene = Scene::new();
        drop(open(&scene.folder(), "alice").unwrap());
        let at = scene.folder().join(".gossip-export").join(name);
        let _ = fs::remove_file(&at);
        put(&at.with_file_name("beside"), "gossip-catalog/1\n");
        for target in [scene.top.path().join("outside/c"), "beside".into()] {
            symlink(&target, &at).unwrap();
            let refused = open(&scene.folder(), "alice").unwrap_err();
            assert!(matches!(&refused, ExportError::Io { path, .. } if *path == at), "{refused:?}");
            scene.check();
            fs::remove_file(&at).unwrap();
        }
    }
}

#[test]
fn what_lies_aside_is_no_way_out() {
    let scene = Scene::new();
    let catalog = scene.content.catalog(&[("a", "new")]);
    let mut export = open(&scene.folder(), "alice").unwrap();
    for name in ["file", "record"] {
        let at = scene.folder().join(".gossip-export/alice.new").join(name);
        symlink(scene.top.path().join("outside/c"), at).unwrap();
    }
    assert_eq!(apply(&mut export, &catalog, &scene.content).written, 1);
    scene.check();
    assert_eq!(files(&scene.folder().join("alice")), list(&[("a", "new")]));
}

#[test]
fn a_subfolder_has_one_plain_name() {
    let top = tempfile::tempdir().unwrap();
    let long = "x".repeat(241);
    let names =
        ["", ".", "..", "a/b", "/a", "../a", ".gossip-export", ".Gossip-Export", "a\nb", &long];
    for name in names {
        let refused = Export::open(&top.path().join("out"), name).unwrap_err();
        assert!(matches!(refused, ExportError::Subfolder(_)), "{name:?}: {refused:?}");
    }
    assert_eq!(tree(top.path()), list(&[]));
    open(&top.path().join("out"), &long[1..]).unwrap();
}

#[test]
fn a_catalog_with_more_folders_than_are_made_is_written_in_part() {
    let scene = Scene::new();
    let mut export = open(&scene.folder(), "alice").unwrap();
    export.max_folders = 3;
    let catalog =
        scene.content.catalog(&[("a/b/c", "1"), ("a/c", "2"), ("b/c", "3"), ("c/d", "4")]);
    let progress = apply(&mut export, &catalog, &scene.content);
    assert_eq!(progress.present, 3);
    assert_eq!(refusals(&progress), [("c/d".into(), Refusal::TooManyFolders)]);
}
