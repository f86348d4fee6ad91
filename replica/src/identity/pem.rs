//! PEM as text files carry it (RFC 7468): base64 in lines of 64 between two marks.
//!
//! Writing only, because `rustls::pki_types` reads PEM and does not write it. What is encoded is as long as a key.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// As the RFC has it: 48 bytes a line.
const LINE_BYTES: usize = 48;

const LINE_END: &str = if cfg!(windows) { "\r\n" } else { "\n" };

/// A block with this label.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----{LINE_END}");
    for line in der.chunks(LINE_BYTES) {
        pem.extend(line.chunks(3).flat_map(base64));
        pem.push_str(LINE_END);
    }
    pem + &format!("-----END {label}-----{LINE_END}")
}

/// The four digits of one to three bytes.
fn base64(bytes: &[u8]) -> [char; 4] {
    let byte = |at| u32::from(bytes.get(at).copied().unwrap_or_default());
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    // n bytes fill n + 1 digits.
    std::array::from_fn(|at| match at <= bytes.len() {
        true => char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]),
        false => '=',
    })
}
