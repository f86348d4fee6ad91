use super::*;

#[test]
fn what_is_copied_is_the_artifact_or_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let content = vec![7; 3 * BUFFER_BYTES + 1];
    let size = content.len() as u64;
    let id = ArtifactId::new(Sha256::digest(&content).into());
    let path = folder.path().join(format!("{id:x}"));
    let copy = || {
        let mut copied = Vec::new();
        copy_artifact(folder.path(), id, size, &mut copied).map(|()| copied)
    };
    assert!(matches!(copy(), Err(CopyError::NotHere)) && !has_artifact(folder.path(), id, size));
    fs::write(&path, &content).expect("written");
    assert_eq!(copy().expect("copied"), content);
    assert!(has_artifact(folder.path(), id, size) && !has_artifact(folder.path(), id, size + 1));

    let mut damaged = content.clone();
    damaged[BUFFER_BYTES] ^= 1;
    for wrong in [damaged, content[1..].to_vec(), [&content[..], b"x"].concat(), Vec::new()] {
        fs::write(&path, wrong).expect("written");
        assert!(matches!(copy(), Err(CopyError::Damaged)));
    }
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    assert!(matches!(copy(), Err(CopyError::Damaged)) && !has_artifact(folder.path(), id, 0));
}

#[cfg(unix)]
#[test]
fn a_link_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let id = ArtifactId::new(Sha256::digest(b"x").into());
    fs::write(folder.path().join("file"), b"x").expect("written");
    std::os::unix::fs::symlink("file", folder.path().join(format!("{id:x}"))).expect("linked");
    let copied = copy_artifact(folder.path(), id, 1, &mut Vec::new());
    assert!(matches!(copied, Err(CopyError::Read(_))) && !has_artifact(folder.path(), id, 1));
}
