//! A replica's identity: an Ed25519 key pair, and the file that keeps it.
//!
//! The public key *is* the [`NodeId`], so whoever holds the file is the replica. The file is PKCS#8 in
//! PEM, as `openssl genpkey -algorithm ed25519` writes it too. Reading is bounded by
//! [`MAX_FILE_BYTES`]; writing never replaces a file, because an overwritten identity is lost for good.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use gossip_engine::NodeId;
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::{any_eddsa_type, any_supported_type},
    pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _},
    sign::SigningKey,
};

/// The most bytes that [`Identity::load`] reads; a key of this kind takes less than 200.
pub const MAX_FILE_BYTES: u64 = 16 << 10;

/// How many bytes of a file [`begins_as_private_key`] wants to see.
pub const KEY_HEAD_BYTES: usize = 4096;

/// Whether a file that begins with `head` begins as a private key in PEM, of any kind: one of TLS, of SSH or of PGP.
/// Other blocks and words may stand before it, as `openssl` writes them.
///
/// [`KEY_HEAD_BYTES`] are looked at, and lines that begin with the mark of a key. May miss: a key that begins later,
/// or in another form than PEM.
#[must_use]
pub fn begins_as_private_key(head: &[u8]) -> bool {
    let head = &head[..head.len().min(KEY_HEAD_BYTES)];
    head.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
        // What an editor may have put before it.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        let Some(label) = line.strip_prefix(b"-----BEGIN ") else { return false };
        let label = label.split(|byte| *byte == b'-').next().unwrap_or_default();
        label.windows(KEY_LABEL.len()).any(|window| window == KEY_LABEL)
    })
}

/// What the labels of all private keys have in common.
const KEY_LABEL: &[u8] = b"PRIVATE KEY";

/// Why an identity could not be read or written. One line each; the secret is in none of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("cannot read the key file {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is longer than [`MAX_FILE_BYTES`].
    #[error("{} is no key file: it is longer than {MAX_FILE_BYTES} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// The file holds no private key that can be read.
    #[error("{} is no key file: it holds no private key in PKCS#8 PEM", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// The file holds a private key of another kind.
    #[error("{} is no key file: its key is not an Ed25519 key", path.display())]
    NotEd25519 {
        /// Which file.
        path: PathBuf,
    },
    /// There is a file already, and an identity never replaces one.
    #[error("{} exists already; a key file does not replace another file", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the key file {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The Ed25519 key pair of a replica. `Debug` shows the public half only.
///
/// ```
/// use gossip_replica::identity::Identity;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("identity.pem");
/// let identity = Identity::generate();
/// identity.save(&path)?;
/// assert_eq!(Identity::load(&path)?.node_id(), identity.node_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Identity {
    /// As it is in the file, without the PEM around it.
    pkcs8: Arc<PrivatePkcs8KeyDer<'static>>,
    signing_key: Arc<dyn SigningKey>,
    node_id: NodeId,
}

impl Identity {
    /// A new identity from the operating system's randomness.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give.
    #[must_use]
    pub fn generate() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .expect("the operating system gives randomness");
        Self::new(pkcs8.as_ref().to_vec().into()).expect("an Ed25519 key was asked for")
    }

    /// Reads the identity that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not an Ed25519 private key.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let read_error = |source| IdentityError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let mut content = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(read_error)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(IdentityError::TooLong { path: path.to_owned() });
        }
        let no_key = || IdentityError::NoKey { path: path.to_owned() };
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(&content).map_err(|_| no_key())?;
        Self::new(pkcs8.clone_key()).ok_or_else(|| match any_supported_type(&pkcs8.into()) {
            Ok(_) => IdentityError::NotEd25519 { path: path.to_owned() },
            Err(_) => no_key(),
        })
    }

    /// Writes the identity to a new file that only its owner can read, and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// If there is a file already, or it cannot be written; then no file is left behind.
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        let mut file = create_private(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => IdentityError::Exists { path: path.to_owned() },
            _ => IdentityError::Write { path: path.to_owned(), source },
        })?;
        let pem = pem::encode("PRIVATE KEY", self.pkcs8.secret_pkcs8_der());
        file.write_all(pem.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder_of(path))
            .map_err(|source| {
                // Half a key would stand in the way of the next attempt. If it cannot be removed,
                // that attempt says that the file exists.
                let _ = fs::remove_file(path);
                IdentityError::Write { path: path.to_owned(), source }
            })
    }

    /// Whether the system lets others than the owner read the file. False where it cannot say.
    #[must_use]
    pub fn is_exposed(path: &Path) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;

            fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            false
        }
    }

    /// The id of the replica: its 32-byte public key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Signs a message (Ed25519, RFC 8032).
    #[must_use]
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signer = self.signing_key.choose_scheme(&[SignatureScheme::ED25519]);
        let signer = signer.expect("the key is one of Ed25519");
        let signature = signer.sign(message).expect("such a key signs anything");
        signature.try_into().expect("a signature of Ed25519 has 64 bytes")
    }

    /// What signs handshakes.
    pub(crate) fn signing_key(&self) -> Arc<dyn SigningKey> {
        self.signing_key.clone()
    }

    /// `None` for a key that is not Ed25519.
    fn new(pkcs8: PrivatePkcs8KeyDer<'static>) -> Option<Self> {
        let signing_key = any_eddsa_type(&pkcs8).ok()?;
        // The end of its encoding (RFC 8410, section 4).
        let public_key = *signing_key.public_key()?.last_chunk()?;
        Some(Self { pkcs8: Arc::new(pkcs8), signing_key, node_id: NodeId::new(public_key) })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

/// The mode is given at creation: set later, the key would lie open in between.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file's name is on disk only once its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

mod pem;
#[cfg(test)]
mod tests;
