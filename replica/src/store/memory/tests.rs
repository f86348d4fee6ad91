use super::*;

fn store() -> (Store, ArtifactId, Bytes) {
    let content = Bytes::from_static(b"what an artifact is");
    let contents = Contents::new([content.clone()]);
    let (id, _) = contents.all()[0];
    (Store::in_memory(Arc::new(contents)), id, content)
}

#[test]
fn what_is_written_rightly_is_held() {
    let (store, id, content) = store();
    let partial = store.begin(id, content.len() as u64);
    partial.write_at(5, &content[5..]).unwrap();
    assert!(matches!(partial.finish(), Err(StoreError::Mismatch { .. })), "a part is missing");
    assert!(store.reserved_bytes() > 0);
    // Bytes of another place that are the same.
    let elsewhere = content[..5].to_vec();
    partial.write_at(0, &elsewhere).unwrap();
    assert_eq!(partial.finish().unwrap().height, 1);
    drop(partial);
    assert_eq!(
        (store.count(), store.bytes(), store.reserved_bytes()),
        (1, content.len() as u64, 0)
    );
    assert_eq!(store.read_chunk(id, 5, 2).unwrap(), content.slice(5..7));
    assert!(matches!(store.read_chunk(id, 5, 20), Err(StoreError::OutOfRange { .. })));
}

#[test]
fn what_is_wrong_is_not() {
    let (store, id, content) = store();
    let partial = store.begin(id, content.len() as u64);
    partial.write_at(0, &vec![0; content.len()]).unwrap();
    assert!(matches!(partial.finish(), Err(StoreError::Mismatch { .. })));
    // A wrong size, and what nobody has.
    for (id, size) in [(id, content.len() as u64 - 1), (ArtifactId::new([7; 32]), 3)] {
        let partial = store.begin(id, size);
        partial.write_at(0, &content[..size as usize]).unwrap();
        assert!(matches!(partial.finish(), Err(StoreError::Mismatch { .. })));
    }
    assert!(!store.contains(id));
    assert!(matches!(store.read_chunk(id, 0, 1), Err(StoreError::NotHeld(_))));
}

#[test]
fn what_needs_a_folder_fails_and_touches_none() {
    let (store, id, content) = store();
    let partial = store.begin(id, content.len() as u64);
    partial.write_at(0, &content).unwrap();
    partial.finish().unwrap();
    assert!(store.discard(id).is_err());
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(store.import(file.path()).is_err());
    assert!(!store.folder().exists());
}

#[test]
fn nothing_is_kept_of_an_attempt_that_ends() {
    let content = Bytes::from(vec![7; 3 << 20]);
    let contents = Contents::new([content.clone()]);
    let (id, _) = contents.all()[0];
    let store = Store::in_memory(Arc::new(contents));
    let begun = store.begin(id, content.len() as u64);
    begun.write_at(0, &content[..2 << 20]).unwrap();
    begun.keep();
    // What comes late is not written.
    begun.write_at(2 << 20, &content[2 << 20..]).unwrap();
    assert_eq!((store.status().kept_bytes, store.reserved_bytes()), (0, 0));
    let next = store.begin(id, content.len() as u64);
    assert_eq!(next.resume(None).unwrap(), []);
    next.write_at(0, &content).unwrap();
    assert_eq!(next.finish().unwrap().id, id);
}
