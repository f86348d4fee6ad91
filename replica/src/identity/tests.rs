//! An identity survives its file, and a bad file is named with what is wrong with it.

use std::{fs, path::PathBuf};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::{Identity, IdentityError, KEY_HEAD_BYTES, MAX_FILE_BYTES, begins_as_private_key};

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
    assert_eq!(loaded.key_pair.serialized_der(), identity.key_pair.serialized_der());
    assert_ne!(Identity::generate().node_id(), identity.node_id());
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
    let ecdsa = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let truncated = {
        let pem = Identity::generate().key_pair.serialize_pem();
        pem[..pem.len() / 2].to_owned()
    };
    let long = vec![b'x'; MAX_FILE_BYTES as usize + 1];
    let cases: [(&[u8], &str); 6] = [
        (b"", "holds no private key"),
        (b"\xff\xfe", "holds no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
        (truncated.as_bytes(), "holds no private key"),
        (ecdsa.as_bytes(), "not an Ed25519 key"),
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
