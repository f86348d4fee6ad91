//! What is said is understood, also by a later and an earlier version.

use proptest::prelude::*;

use super::{FEATURES, Hello, HelloDecoder, HelloError, encoded};
use crate::transport::{frame::HELLO_TAG, limits::MAX_HELLO_BYTES};

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

#[test]
fn our_own_hello_is_understood() {
    let bytes = encoded();
    assert_eq!(bytes[0], HELLO_TAG);
    let hello = HelloDecoder::default().decode(&bytes[1..]).unwrap().unwrap();
    assert_eq!(hello.common_features(), FEATURES);
}

#[test]
fn lengths_are_bounded() {
    for length in [0, 7, MAX_HELLO_BYTES + 1] {
        let result = HelloDecoder::default().decode(&framed(&vec![0; length]));
        assert_eq!(result, Err(HelloError::Length(length as u32)));
    }
    let longest = framed(&[0xff; MAX_HELLO_BYTES]);
    let hello = HelloDecoder::default().decode(&longest).unwrap().unwrap();
    assert_eq!(hello.common_features(), FEATURES);
}

proptest! {
    #[test]
    fn any_cut_and_any_later_version_are_understood(
        features: u64,
        more in prop::collection::vec(any::<u8>(), 0..100),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = framed(&[&features.to_be_bytes()[..], &more].concat());
        let (one, two) = bytes.split_at(cut.index(bytes.len()));
        let mut decoder = HelloDecoder::default();
        prop_assert_eq!(decoder.decode(one), Ok(None));
        prop_assert_eq!(decoder.decode(two), Ok(Some(Hello { features })));
    }

    #[test]
    fn any_bytes_are_a_hello_or_an_error(pieces: Vec<Vec<u8>>) {
        let mut decoder = HelloDecoder::default();
        for piece in pieces {
            if decoder.decode(&piece) != Ok(None) {
                break;
            }
        }
    }
}
