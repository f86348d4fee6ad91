//! Handshakes without a network, and certificates that are none.

use std::{collections::HashSet, sync::Arc};

use gossip_engine::NodeId;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{SERVER_NAME, certificate_of, client_config, node_id_of, server_config};
use crate::identity::Identity;

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
    let server = || server_config(&two, HashSet::from([one.node_id()])).unwrap();
    handshake(client_config(&one, two.node_id()).unwrap(), server()).unwrap();
    handshake(client_config(&stranger, two.node_id()).unwrap(), server()).unwrap_err();
    handshake(client_config(&one, stranger.node_id()).unwrap(), server()).unwrap_err();
    let nobody = server_config(&two, HashSet::new()).unwrap();
    handshake(client_config(&one, two.node_id()).unwrap(), nobody).unwrap_err();
}

#[test]
fn a_copied_certificate_is_not_enough() {
    let (one, two, thief) = (Identity::generate(), Identity::generate(), Identity::generate());
    let (stolen, _) = certificate_of(&one).unwrap();
    let (_, own_key) = certificate_of(&thief).unwrap();
    let signer = rustls::crypto::ring::sign::any_supported_type(&own_key).unwrap();
    let lie = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![stolen], signer)));

    let mut client = client_config(&thief, two.node_id()).unwrap();
    client.client_auth_cert_resolver = lie.clone();
    let server = server_config(&two, HashSet::from([one.node_id()])).unwrap();
    handshake(client, server).unwrap_err();

    let mut server = server_config(&thief, HashSet::from([two.node_id()])).unwrap();
    server.cert_resolver = lie;
    handshake(client_config(&two, one.node_id()).unwrap(), server).unwrap_err();
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (one, two) = (Identity::generate(), Identity::generate());
    let mut client = client_config(&one, two.node_id()).unwrap();
    client.client_auth_cert_resolver = Arc::new(NoCertificate);
    let server = server_config(&two, HashSet::from([one.node_id()])).unwrap();
    handshake(client, server).unwrap_err();
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn another_protocol_is_refused() {
    let (one, two) = (Identity::generate(), Identity::generate());
    let mut client = client_config(&one, two.node_id()).unwrap();
    client.alpn_protocols = vec![b"gossip/0".to_vec()];
    let server = server_config(&two, HashSet::from([one.node_id()])).unwrap();
    handshake(client, server).unwrap_err();
}

#[test]
fn dates_do_not_matter() {
    let (one, two) = (Identity::generate(), Identity::generate());
    let mut expired = CertificateParams::new([SERVER_NAME.to_owned()]).unwrap();
    expired.not_before = rcgen::date_time_ymd(1990, 1, 1);
    expired.not_after = rcgen::date_time_ymd(1991, 1, 1);
    let certificate = expired.self_signed(one.key_pair()).unwrap();
    let key = PrivatePkcs8KeyDer::from(one.key_pair().serialized_der().to_vec()).into();
    let signer = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let mut client = client_config(&one, two.node_id()).unwrap();
    client.client_auth_cert_resolver =
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate.into()], signer)));
    handshake(client, server_config(&two, HashSet::from([one.node_id()])).unwrap()).unwrap();
}

#[test]
fn only_ed25519_keys_are_ids() {
    let identity = Identity::generate();
    let (certificate, _) = certificate_of(&identity).unwrap();
    assert_eq!(node_id_of(&certificate).unwrap(), identity.node_id());
    let ecdsa = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = CertificateParams::new([]).unwrap().self_signed(&ecdsa).unwrap();
    node_id_of(&certificate.into()).unwrap_err();
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
        prop_assert!(node_id_of(&CertificateDer::from(bytes)).is_err());
    }

    #[test]
    fn a_damaged_certificate_yields_no_other_listed_key(at: prop::sample::Index, bit in 0..8u8) {
        let identity = Identity::generate();
        let (certificate, _) = certificate_of(&identity).unwrap();
        let mut bytes = certificate.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let read: Result<NodeId, _> = node_id_of(&CertificateDer::from(bytes));
        // A flip inside the key yields another key, which nobody listed; elsewhere it is an error or
        // harmless.
        if let Ok(id) = read && id != identity.node_id() {
            let differing = (id.as_bytes().iter().zip(identity.node_id().as_bytes()))
                .map(|(a, b)| (a ^ b).count_ones())
                .sum::<u32>();
            prop_assert_eq!(differing, 1);
        }
    }
}
