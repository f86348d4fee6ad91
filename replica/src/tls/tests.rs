//! Handshakes without a network, and keys that are none.

use std::{collections::HashSet, sync::Arc};

use gossip_engine::NodeId;
use proptest::prelude::*;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, PeerIncompatible, RootCertStore,
    ServerConfig, ServerConnection,
    client::AlwaysResolvesClientRawPublicKeys,
    pki_types::{CertificateDer, pem::PemObject as _},
    server::AlwaysResolvesServerRawPublicKeys,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{
    AllowedKeys, Credentials, PROTOCOLS, Refused, SERVER_NAME, client_config, node_id_of,
    raw_public_key, server_config,
};
use crate::identity::Identity;

/// A certificate as replicas had before raw public keys, and as the rest of the world has.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIHQMIGDoAMCAQICAQEwBQYDK2VwMBExDzANBgNVBAMMBmdvc3NpcDAgFw0yMDAx
MDEwMDAwMDBaGA80MDAwMDEwMTAwMDAwMFowETEPMA0GA1UEAwwGZ29zc2lwMCow
BQYDK2VwAyEASWaKHdD7mnjojeFoglXDLm7wO2GkmW+aMBAvA5WehVMwBQYDK2Vw
A0EAnCeMsCAnWQiY+zt5/UjPOvD/iBeMe+PCZV00niDI4Ot+AcfNbhy0+bbcA+UN
v4AuxShm7KhYoEMXgiQkZHx+Cw==
-----END CERTIFICATE-----
";

/// Public keys of other kinds: on the curve P-256, an X25519 key, one for Ed448.
const P256: [u8; 26] = *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0";
const X25519: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\0";
const ED448: [u8; 12] = *b"\x30\x43\x30\x05\x06\x03\x2b\x65\x71\x03\x3a\0";

/// Runs a handshake in memory until both ends are done or one refuses.
fn handshake(client: ClientConfig, server: ServerConfig) -> Result<(), rustls::Error> {
    let name = SERVER_NAME.try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut unread = &bytes[..];
        while !unread.is_empty() {
            server.read_tls(&mut unread).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut unread = &bytes[..];
        while !unread.is_empty() {
            client.read_tls(&mut unread).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(server.handshake_kind(), Some(rustls::HandshakeKind::Full));
    Ok(())
}

#[test]
fn listed_keys_get_in_and_others_do_not() {
    let (one, two, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
    let server = || server_config(&two, HashSet::from([one.node_id()]));
    handshake(client_config(&one, two.node_id()), server()).unwrap();
    handshake(client_config(&stranger, two.node_id()), server()).unwrap_err();
    handshake(client_config(&one, stranger.node_id()), server()).unwrap_err();
    let nobody = server_config(&two, HashSet::new());
    handshake(client_config(&one, two.node_id()), nobody).unwrap_err();
}

/// Shows these, whatever they are, and signs with the key of `signer`.
fn showing(shown: Vec<CertificateDer<'static>>, signer: &Identity) -> Arc<CertifiedKey> {
    Arc::new(CertifiedKey::new(shown, signer.signing_key()))
}

/// How a dialler fares that shows these to one who lists it, and which key it was refused for.
fn dial_showing(shown: Vec<CertificateDer<'static>>) -> (Result<(), Error>, Option<NodeId>) {
    let (one, two) = (Identity::generate(), Identity::generate());
    let (allowed, refused) = (Arc::<AllowedKeys>::default(), Refused::default());
    allowed.set(HashSet::from([one.node_id()]));
    let server = Credentials::new(&two).server_config(allowed, refused.clone(), &PROTOCOLS);
    let mut client = client_config(&one, two.node_id());
    client.client_auth_cert_resolver =
        Arc::new(AlwaysResolvesClientRawPublicKeys::new(showing(shown, &one)));
    (handshake(client, server), refused.get().copied())
}

/// How one fares that shows these to a dialler, and which key it was refused for.
fn answer_showing(shown: Vec<CertificateDer<'static>>) -> (Result<(), Error>, Option<NodeId>) {
    let (one, two) = (Identity::generate(), Identity::generate());
    let refused = Refused::default();
    let client = Credentials::new(&one).client_config(two.node_id(), refused.clone(), &PROTOCOLS);
    let mut server = server_config(&two, HashSet::from([one.node_id()]));
    server.cert_resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(showing(shown, &two)));
    (handshake(client, server), refused.get().copied())
}

#[test]
fn the_refused_key_is_named() {
    let stranger = Identity::generate().node_id();
    for showing in [dial_showing, answer_showing] {
        let (result, refused) = showing(vec![raw_public_key(stranger)]);
        let expected = CertificateError::ApplicationVerificationFailure;
        assert_eq!(result, Err(Error::InvalidCertificate(expected)));
        assert_eq!(refused, Some(stranger));
    }
}

#[test]
fn to_show_a_key_is_not_enough() {
    let (one, two, thief) = (Identity::generate(), Identity::generate(), Identity::generate());
    let lie = showing(vec![raw_public_key(one.node_id())], &thief);
    let unproven = Err(Error::InvalidCertificate(CertificateError::BadSignature));

    let mut client = client_config(&thief, two.node_id());
    client.client_auth_cert_resolver =
        Arc::new(AlwaysResolvesClientRawPublicKeys::new(lie.clone()));
    let server = server_config(&two, HashSet::from([one.node_id()]));
    assert_eq!(handshake(client, server), unproven);

    let mut server = server_config(&thief, HashSet::from([two.node_id()]));
    server.cert_resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(lie));
    assert_eq!(handshake(client_config(&two, one.node_id()), server), unproven);
}

#[test]
fn what_is_no_key_is_refused() {
    let key = raw_public_key(Identity::generate().node_id()).to_vec();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let cases: [(&str, Vec<u8>); 10] = [
        ("nothing", vec![]),
        ("one byte", vec![0x30]),
        ("a key cut short", key[..43].to_vec()),
        ("a key and a byte", [&key[..], &[0]].concat()),
        ("a key, its length written at length", [&[0x30, 0x81], &key[1..]].concat()),
        ("a key on P-256", [&P256[..], &[4; 65]].concat()),
        ("a key of X25519", [&X25519[..], &key[12..]].concat()),
        ("a key of Ed448", [&ED448[..], &[7; 57]].concat()),
        ("a certificate", certificate.to_vec()),
        ("60 000 bytes", [&key[..], &[7; 60_000]].concat()),
    ];
    for (what, bytes) in cases {
        for showing in [dial_showing, answer_showing] {
            let (result, refused) = showing(vec![bytes.clone().into()]);
            let expected = Err(Error::InvalidCertificate(CertificateError::BadEncoding));
            assert_eq!((result, refused), (expected, None), "{what}");
        }
    }
}

#[test]
fn two_keys_are_refused() {
    let [key, other] = [(); 2].map(|()| raw_public_key(Identity::generate().node_id()));
    for showing in [dial_showing, answer_showing] {
        let (result, refused) = showing(vec![key.clone(), other.clone()]);
        assert_eq!(result, Err(Error::InvalidCertificate(CertificateError::BadEncoding)));
        assert_eq!(refused, None);
    }
}

#[test]
fn what_is_longer_than_a_handshake_may_be_is_refused() {
    for showing in [dial_showing, answer_showing] {
        let (result, refused) = showing(vec![vec![7; 70_000].into()]);
        assert!(matches!(result, Err(Error::InvalidMessage(_))), "{result:?}");
        assert_eq!(refused, None);
    }
}

#[test]
fn a_client_without_a_key_is_refused() {
    let (one, two) = (Identity::generate(), Identity::generate());
    let mut client = client_config(&one, two.node_id());
    client.client_auth_cert_resolver = Arc::new(NoKey);
    let server = server_config(&two, HashSet::from([one.node_id()]));
    assert_eq!(handshake(client, server), Err(Error::NoCertificatesPresented));
}

#[derive(Debug)]
struct NoKey;

impl rustls::client::ResolvesClientCert for NoKey {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A replica of before raw public keys, and the rest of the world.
#[test]
fn who_has_certificates_only_is_refused() {
    let (one, two) = (Identity::generate(), Identity::generate());
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let certified = |identity| {
        Arc::new(SingleCertAndKey::from(Arc::unwrap_or_clone(showing(
            vec![certificate.clone()],
            identity,
        ))))
    };
    let expected = Err(PeerIncompatible::IncorrectCertificateTypeExtension.into());

    let mut client = ClientConfig::builder_with_provider(Credentials::new(&one).provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_client_cert_resolver(certified(&one));
    client.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    let server = server_config(&two, HashSet::from([one.node_id()]));
    assert_eq!(handshake(client, server), expected);

    let mut client = client_config(&one, two.node_id());
    client.client_auth_cert_resolver = certified(&one);
    let server = server_config(&two, HashSet::from([one.node_id()]));
    assert_eq!(handshake(client, server), expected);

    let mut server = server_config(&two, HashSet::from([one.node_id()]));
    server.cert_resolver = certified(&two);
    assert_eq!(handshake(client_config(&one, two.node_id()), server), expected);
}

#[test]
fn another_protocol_is_refused() {
    let (one, two) = (Identity::generate(), Identity::generate());
    let mut client = client_config(&one, two.node_id());
    client.alpn_protocols = vec![b"gossip/0".to_vec()];
    let server = server_config(&two, HashSet::from([one.node_id()]));
    handshake(client, server).unwrap_err();
}

#[test]
fn a_key_is_read_back() {
    let id = Identity::generate().node_id();
    assert_eq!(node_id_of(&raw_public_key(id)), Ok(id));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
        prop_assert!(node_id_of(&CertificateDer::from(bytes)).is_err());
    }

    #[test]
    fn a_damaged_key_is_none_or_another(at in 0..44_usize, bit in 0..8u8) {
        let id = NodeId::new([7; 32]);
        let mut bytes = raw_public_key(id).to_vec();
        bytes[at] ^= 1 << bit;
        let read = node_id_of(&CertificateDer::from(bytes));
        prop_assert_eq!(read.is_ok(), at >= 12);
        prop_assert_ne!(read, Ok(id));
    }
}
