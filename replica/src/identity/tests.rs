//! An identity survives its file, and a bad file is named with what is wrong with it.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};

use super::{Identity, IdentityError, KEY_HEAD_BYTES, MAX_FILE_BYTES, begins_as_private_key, pem};

// Not as whole lines, so that this file is not taken for a key.

/// What `keygen` has written ever since, and whose it is.
const KEYGEN: &str = concat!(
    "-----BEGIN PRIVATE KEY-----\n",
    "MFECAQEwBQYDK2VwBCIEIEKUGIEuNQ2hZZ3YjWgxAuoXrfRJW6UZyYXHLdk1Lt24\n",
    "gSEAwx0GbVfRXtyZwr4gcHWE81sJ/spxoFR2DlSN3HNWHKM=\n",
    "-----END PRIVATE KEY-----\n",
);
const KEYGEN_ID: &str = "c31d066d57d15edc99c2be20707584f35b09feca71a054760e548ddc73561ca3";

/// What `openssl genpkey -algorithm ed25519` writes.
const OPENSSL: &str = concat!(
    "-----BEGIN PRIVATE KEY-----\n",
    "MC4CAQAwBQYDK2VwBCIEIDNh07mdrsNNwy3X6Y00YGh2K9nQoOlrpW5dYjNdAWZR\n",
    "-----END PRIVATE KEY-----\n",
);
const OPENSSL_ID: &str = "49668a1dd0fb9a78e88de1688255c32e6ef03b61a4996f9a30102f03959e8553";

/// A key on the curve P-256.
const ECDSA: &str = concat!(
    "-----BEGIN PRIVATE KEY-----\n",
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcNQMXfbzXLfr0ds6\n",
    "3rzGSFtuNXrZQToZOv9UkKKpC12hRANCAAR2+vUSIwzMxKXkE9ZvZqgOZAs2eXyJ\n",
    "Fr87/gM9aLMSSXfutb0jrVsNcZdVadZpFSeFZVpqZSczp4aJAT1DSeKe\n",
    "-----END PRIVATE KEY-----\n",
);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("identity.pem")
    }

    fn with(content: &[u8]) -> Self {
        let folder = Self::new();
        fs::write(folder.path(), content).unwrap();
        folder
    }
}

#[test]
fn saved_is_loaded() {
    let folder = Folder::new();
    let identity = Identity::generate();
    identity.save(&folder.path()).unwrap();
    let loaded = Identity::load(&folder.path()).unwrap();
    assert_eq!(loaded.node_id(), identity.node_id());
    assert_eq!(loaded.pkcs8, identity.pkcs8);
    assert_ne!(Identity::generate().node_id(), identity.node_id());
}

#[test]
fn a_key_file_keeps_its_id_and_its_form() {
    for (pem, id) in [(KEYGEN, KEYGEN_ID), (OPENSSL, OPENSSL_ID)] {
        for content in [pem.to_owned(), pem.replace('\n', "\r\n"), format!("a comment\n{pem}\n")] {
            let folder = Folder::with(content.as_bytes());
            let identity = Identity::load(&folder.path()).unwrap();
            assert_eq!(format!("{:x}", identity.node_id()), id);
            let again = Folder::new();
            identity.save(&again.path()).unwrap();
            let written = fs::read_to_string(again.path()).unwrap();
            assert_eq!(written.replace("\r\n", "\n"), pem);
        }
    }
    // A new one has that form too: the same but for the key's halves.
    let folder = Folder::new();
    let identity = Identity::generate();
    identity.save(&folder.path()).unwrap();
    let der = |pem: &[u8]| PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
    let (new, old) = (der(&fs::read(folder.path()).unwrap()), der(KEYGEN.as_bytes()));
    let (new, old) = (new.secret_pkcs8_der(), old.secret_pkcs8_der());
    assert_eq!((new.len(), &new[..16], &new[48..51]), (old.len(), &old[..16], &old[48..51]));
    assert_eq!(&new[51..], identity.node_id().as_bytes());
}

proptest! {
    #[test]
    fn what_is_encoded_is_read(der in prop::collection::vec(any::<u8>(), 1..200)) {
        let text = pem::encode("PRIVATE KEY", &der);
        prop_assert!(text.lines().all(|line| line.len() <= 64), "{}", text);
        let read = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap();
        prop_assert_eq!(read.secret_pkcs8_der(), &der[..]);
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    Identity::generate().save(&folder.path()).unwrap();
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_is_never_overwritten() {
    let folder = Folder::with(b"precious");
    let error = Identity::generate().save(&folder.path()).unwrap_err();
    assert!(matches!(error, IdentityError::Exists { .. }), "{error}");
    assert_eq!(fs::read(folder.path()).unwrap(), b"precious");
}

#[test]
fn errors_are_one_line_with_the_path() {
    // Its public half is of another key.
    let mixed = KEYGEN.replace("gSEAwx0G", "gSEAwx0H");
    let long = vec![b'x'; MAX_FILE_BYTES as usize + 1];
    let cases: [(&[u8], &str); 8] = [
        (b"", "holds no private key"),
        (b"\xff\xfe", "holds no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
        (&KEYGEN.as_bytes()[..KEYGEN.len() / 2], "holds no private key"),
        (mixed.as_bytes(), "holds no private key"),
        (KEYGEN_ID.as_bytes(), "holds no private key"),
        (ECDSA.as_bytes(), "not an Ed25519 key"),
        (&long, "longer than 16384 bytes"),
    ];
    for (content, expected) in cases {
        let folder = Folder::with(content);
        let line = Identity::load(&folder.path()).unwrap_err().to_string();
        assert!(line.contains(expected), "{line}");
        assert!(line.contains("identity.pem"), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
    let missing = Identity::load(&Folder::new().path()).unwrap_err();
    assert!(matches!(missing, IdentityError::Read { .. }), "{missing}");
    let no_folder = Folder::new().path().join("deeper");
    let unwritable = Identity::generate().save(&no_folder).unwrap_err();
    assert!(matches!(unwritable, IdentityError::Write { .. }), "{unwritable}");
}

#[test]
fn debug_shows_no_secret() {
    let identity = Identity::generate();
    assert_eq!(
        format!("{identity:?}"),
        format!("Identity {{ node_id: {}, .. }}", identity.node_id())
    );
}

#[test]
fn a_private_key_is_known_by_how_it_begins() {
    let folder = Folder::new();
    Identity::generate().save(&folder.path()).unwrap();
    assert!(begins_as_private_key(&fs::read(folder.path()).unwrap()));
    for key in [
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\r\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
        "\u{feff}-----BEGIN PRIVATE KEY-----\n",
        "  -----BEGIN PRIVATE KEY-----  \n",
        "-----BEGIN EC PARAMETERS-----\nBg==\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\n",
        "Bag Attributes\n    friendlyName: x\n-----BEGIN PRIVATE KEY-----\n",
    ] {
        assert!(begins_as_private_key(key.as_bytes()), "{key}");
    }
    for other in [
        "",
        "\n\n",
        "-----BEGIN ",
        "-----BEGIN PUBLIC KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nPRIVATE KEY\n",
        "let pem = \"-----BEGIN PRIVATE KEY-----\";\n",
        "-----END PRIVATE KEY-----\n",
        &format!("{}\n-----BEGIN PRIVATE KEY-----", "x".repeat(KEY_HEAD_BYTES)),
    ] {
        assert!(!begins_as_private_key(other.as_bytes()), "{other}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_exposed() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    Identity::generate().save(&folder.path()).unwrap();
    assert!(!Identity::is_exposed(&folder.path()));
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(Identity::is_exposed(&folder.path()), "{mode:o}");
    }
}
