//! What is named, with which size, and until when.

use gossip_engine::ArtifactId;

use super::Names;

const ID: ArtifactId = ArtifactId::new([1; 32]);

#[test]
fn a_content_of_a_size_is_named_until_its_last_entry_goes() {
    let mut names = Names::default();
    names.add(ID, 5);
    names.add(ID, 5);
    names.add(ID, 0);
    assert!(names.contains(ID, 5) && names.contains(ID, 0) && !names.contains(ID, 4));
    assert!(!names.remove(ID, 5) && names.contains(ID, 5));
    assert!(names.remove(ID, 5) && !names.contains(ID, 5));
    assert!(names.is_named(ID), "with another size");
    assert!(names.remove(ID, 0) && !names.is_named(ID));
    assert!(!names.remove(ID, 0), "it is gone");
}

#[test]
fn what_somebody_names_within_a_share_is_not_beyond_it() {
    let mut names = Names::default();
    names.add_beyond(ID);
    names.add_beyond(ID);
    assert!(names.is_beyond(ID) && !names.is_named(ID));
    names.add(ID, 5);
    assert!(!names.is_beyond(ID));
    names.remove(ID, 5);
    names.remove_beyond(ID);
    assert!(names.is_beyond(ID), "for one of two");
    names.remove_beyond(ID);
    assert!(!names.is_beyond(ID));
}
