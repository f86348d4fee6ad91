use proptest::prelude::*;
use serde_json::{from_value, json, to_value};
use serde_test::{Configure as _, Token, assert_tokens};

use super::*;

const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn an_id_is_64_digits() {
    let id: NodeId = DIGITS.parse().unwrap();
    assert_eq!(to_value(id).unwrap(), json!(DIGITS));
    assert_eq!(from_value::<NodeId>(json!(DIGITS.to_uppercase())).unwrap(), id);
    assert_tokens(&id.readable(), &[Token::String(DIGITS)]);
}

#[test]
fn an_id_is_32_bytes_in_formats_for_programs() {
    let id = NodeId::new([7; 32]);
    let tuple = [Token::Tuple { len: 32 }].into_iter();
    let tokens: Vec<_> = tuple.chain([Token::U8(7); 32]).chain([Token::TupleEnd]).collect();
    assert_tokens(&id.compact(), &tokens);
}

#[test]
fn what_is_no_id_says_why() {
    for (wrong, error) in [
        (json!("00"), "an id has 64 hexadecimal digits, not 2 characters"),
        (json!(DIGITS.replace("ff", "fx")), "character 31 of an id is 'x'"),
        (json!(7), "integer `7`, expected an id of 64 hexadecimal digits"),
        (json!(vec![0; 32]), "expected an id of 64 hexadecimal digits"),
    ] {
        let found = from_value::<ArtifactId>(wrong).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
}

proptest! {
    #[test]
    fn every_id_reads_back_equal(bytes: [u8; 32]) {
        let (artifact, hash) = (ArtifactId::new(bytes), IntegrityHash::new(bytes));
        prop_assert_eq!(from_value::<ArtifactId>(to_value(artifact).unwrap()).unwrap(), artifact);
        prop_assert_eq!(from_value::<IntegrityHash>(to_value(hash).unwrap()).unwrap(), hash);
    }
}
