//! TLS between replicas: both ends show a self-signed certificate, and its Ed25519 key is who they are.
//!
//! There is no certificate authority, so a certificate says nothing but its key. A verifier takes the
//! key out of the peer's certificate, looks whether it may be there, and leaves it to rustls to check
//! that the peer has signed this very handshake with it. Names, issuers, signatures of the certificate
//! and validity dates prove nothing that the key does not, and are not looked at: a replica is let in
//! while its key is on the list and no longer, whatever its clock or ours says.
//!
//! TLS 1.3 only, no session resumption and no 0-RTT, so that every connection proves its key anew and
//! nothing that arrives is a replay. The certificate is untrusted bytes; rustls's own parser (webpki)
//! reads it, bounded by the QUIC handshake's buffers.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use gossip_engine::NodeId;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::identity::Identity;

/// The application protocols that we speak, the newest first. Both ends take the first that both name. What an
/// older version would take for a breach gets a new name; beyond that, peers tell each other their features.
pub const PROTOCOLS: [&[u8]; 2] = [b"gossip/2", b"gossip/1"];

/// The name in every certificate. Nothing is decided by it.
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
    certified: Arc<SingleCertAndKey>,
}

impl Credentials {
    /// # Errors
    ///
    /// If no certificate can be made from the identity.
    pub(crate) fn new(identity: &Identity) -> Result<Self, TlsError> {
        let (certificate, key) = certificate_of(identity)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = provider.key_provider.load_private_key(key)?;
        let certified = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)));
        Ok(Self { node_id: identity.node_id(), provider, certified })
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
        let certified: Arc<dyn ResolvesServerCert> = self.certified.clone();
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certified);
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
        let certified: Arc<dyn ResolvesClientCert> = self.certified.clone();
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(certified);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        config
    }
}

/// How a replica answers connections: it lets in the holders of the `allowed` keys.
///
/// # Errors
///
/// If no certificate can be made from the identity.
pub fn server_config(
    identity: &Identity,
    allowed: HashSet<NodeId>,
) -> Result<rustls::ServerConfig, TlsError> {
    let keys = AllowedKeys::default();
    keys.set(allowed);
    Ok(Credentials::new(identity)?.server_config(Arc::new(keys), Refused::default(), &PROTOCOLS))
}

/// How a replica dials `peer`, which must hold that key.
///
/// # Errors
///
/// If no certificate can be made from the identity.
pub fn client_config(identity: &Identity, peer: NodeId) -> Result<rustls::ClientConfig, TlsError> {
    Ok(Credentials::new(identity)?.client_config(peer, Refused::default(), &PROTOCOLS))
}

/// Why an identity is not usable for TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No certificate can be made from it.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls does not take it.
    #[error("cannot set up TLS: {0}")]
    Configuration(#[from] Error),
}

/// The replica that a certificate stands for.
///
/// # Errors
///
/// If the bytes are no X.509 certificate, or its key is not an Ed25519 key.
pub fn node_id_of(certificate: &CertificateDer<'_>) -> Result<NodeId, Error> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    key.strip_prefix(&ED25519_SPKI_PREFIX)
        .and_then(|key| key.try_into().ok())
        .map(NodeId::new)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn certificate_of(
    identity: &Identity,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), TlsError> {
    let key_pair = identity.key_pair();
    let certificate =
        rcgen::CertificateParams::new([SERVER_NAME.to_owned()])?.self_signed(key_pair)?;
    let key = PrivatePkcs8KeyDer::from(key_pair.serialized_der().to_vec());
    Ok((certificate.into(), key.into()))
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

    fn check_key(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let key = node_id_of(certificate)?;
        if self.allowed.0.load().contains(&key) {
            Ok(())
        } else {
            // The first one; a handshake has no second.
            let _ = self.refused.set(key);
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    /// The proof that the peer holds the key: without it a copied certificate would do.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

fn tls12_refused() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity).map(|()| ServerCertVerified::assertion())
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for KeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity).map(|()| ClientCertVerified::assertion())
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests;
