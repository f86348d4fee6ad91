use super::*;

#[test]
fn a_stall_is_over_when_nothing_has_changed_for_long() {
    let mut stall = Stall::new(Duration::ZERO);
    assert!(stall.is_over(1), "no patience at all");
    let mut stall = Stall::new(Duration::from_secs(3600));
    assert!(!stall.is_over(1));
    assert!(!stall.is_over(1));
    stall.since -= Duration::from_secs(3600);
    assert!(!stall.is_over(2), "something has changed");
    stall.since -= Duration::from_secs(3600);
    assert!(stall.is_over(2));
}

#[test]
fn what_is_missing_is_named_by_replica_and_path() {
    let id = |number| ArtifactId::new([number; 32]);
    let files: Vec<(ArtifactId, PathBuf)> =
        (0..6).map(|number| (id(number), format!("file {number}").into())).collect();
    let holdings = [("a", 0..6), ("b", 0..5), ("c", 0..1)];
    let replicas = holdings.map(|(name, held)| {
        (name.to_owned(), move |id: ArtifactId| held.contains(&id.as_bytes()[0]))
    });
    assert_eq!(
        missing(files.iter().map(|(id, path)| (*id, path)), replicas.into_iter()),
        "replica 2 (b) misses 1: file 5; replica 3 (c) misses 5: file 1, file 2, file 3, …",
    );
}
