//! TLS between replicas: both ends show an Ed25519 key, and the key is who they are.
//!
//! The key is shown bare, as a raw public key (RFC 7250), and in no certificate: there is no authority that could say
//! more of it. A verifier looks whether the key may be there, and leaves it to rustls to check that the peer has
//! signed this very handshake with it. A replica is let in while its key is on the list and no longer.
//!
//! Both ends insist on raw public keys, so that a peer that has certificates only fails the handshake with the alert
//! `handshake_failure`. That holds for replicas built before these keys were, too.
//!
//! TLS 1.3 only, no session resumption and no 0-RTT, so that every connection proves its key anew and nothing that
//! arrives is a replay. What a peer shows is untrusted bytes, of which exactly one form is taken, of 44 bytes: nothing
//! of it is parsed. rustls bounds how long it may be.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use gossip_engine::NodeId;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use crate::identity::Identity;

/// The application protocols that we speak, the newest first. Both ends take the first that both name. What an
/// older version would take for a breach gets a new name; beyond that, peers exchange their features.
pub const PROTOCOLS: [&[u8]; 2] = [b"gossip/2", b"gossip/1"];

/// What a dialler calls its peer. It is not sent, and nothing is decided by it.
pub(crate) const SERVER_NAME: &str = "gossip";

/// What DER puts before the 32 bytes of an Ed25519 public key (RFC 8410, section 4).
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The keys that may come in. They may change while connections come.
#[derive(Debug, Default)]
pub(crate) struct AllowedKeys(ArcSwap<HashSet<NodeId>>);

impl AllowedKeys {
    /// These and no others, from the next handshake on.
    pub(crate) fn set(&self, keys: HashSet<NodeId>) {
        self.0.store(Arc::new(keys));
    }
}

/// The key that a handshake failed for, which the peer may hold or not: it has not proven it.
pub(crate) type Refused = Arc<OnceLock<NodeId>>;

/// An identity made ready for TLS.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    node_id: NodeId,
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

impl Credentials {
    pub(crate) fn new(identity: &Identity) -> Self {
        let node_id = identity.node_id();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = CertifiedKey::new(vec![raw_public_key(node_id)], identity.signing_key());
        Self { node_id, provider, key: Arc::new(key) }
    }

    /// Whose they are.
    pub(crate) fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// How a replica answers connections: it lets in the holders of the `allowed` keys. It speaks `protocols`, the
    /// newest first.
    pub(crate) fn server_config(
        &self,
        allowed: Arc<AllowedKeys>,
        refused: Refused,
        protocols: &[&[u8]],
    ) -> rustls::ServerConfig {
        let verifier = Arc::new(KeyVerifier::new(&self.provider, allowed, refused));
        let own_key = AlwaysResolvesServerRawPublicKeys::new(self.key.clone());
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(own_key));
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config
    }

    /// How a replica dials `peer`, which must hold that key. It speaks `protocols`, the newest first.
    pub(crate) fn client_config(
        &self,
        peer: NodeId,
        refused: Refused,
        protocols: &[&[u8]],
    ) -> rustls::ClientConfig {
        let allowed = AllowedKeys::default();
        allowed.set(HashSet::from([peer]));
        let verifier = Arc::new(KeyVerifier::new(&self.provider, Arc::new(allowed), refused));
        let own_key = AlwaysResolvesClientRawPublicKeys::new(self.key.clone());
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(own_key));
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        config
    }
}

/// How a replica answers connections: it lets in the holders of the `allowed` keys.
#[must_use]
pub fn server_config(identity: &Identity, allowed: HashSet<NodeId>) -> rustls::ServerConfig {
    let keys = AllowedKeys::default();
    keys.set(allowed);
    Credentials::new(identity).server_config(Arc::new(keys), Refused::default(), &PROTOCOLS)
}

/// How a replica dials `peer`, which must hold that key.
#[must_use]
pub fn client_config(identity: &Identity, peer: NodeId) -> rustls::ClientConfig {
    Credentials::new(identity).client_config(peer, Refused::default(), &PROTOCOLS)
}

/// The replica that a raw public key stands for. rustls hands one over in the type of certificates.
///
/// # Errors
///
/// If the bytes are not the one form that an Ed25519 key has.
pub fn node_id_of(key: &CertificateDer<'_>) -> Result<NodeId, Error> {
    key.strip_prefix(&ED25519_SPKI_PREFIX)
        .and_then(|key| key.try_into().ok())
        .map(NodeId::new)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// What [`node_id_of`] reads.
fn raw_public_key(node_id: NodeId) -> CertificateDer<'static> {
    [&ED25519_SPKI_PREFIX[..], node_id.as_bytes()].concat().into()
}

/// Lets in the holders of some keys; the same for both ends.
#[derive(Debug)]
struct KeyVerifier {
    allowed: Arc<AllowedKeys>,
    refused: Refused,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KeyVerifier {
    fn new(provider: &CryptoProvider, allowed: Arc<AllowedKeys>, refused: Refused) -> Self {
        Self { allowed, refused, algorithms: provider.signature_verification_algorithms }
    }

    /// `others` came behind the key. There may be none (RFC 8446, section 4.4.2), and QUIC would keep them.
    fn check_key(
        &self,
        key: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let key = node_id_of(key)?;
        if !others.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        if self.allowed.0.load().contains(&key) {
            Ok(())
        } else {
            // The first one; a handshake has no second.
            let _ = self.refused.set(key);
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    /// The proof that the peer holds the key: without it anybody could show it.
    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(&key[..]);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

fn tls12_refused() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for KeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
