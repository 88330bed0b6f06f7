//! Certificates with SPIFFE identities, the TLS settings of a listener, and a TLS client.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

/// The DNS name in the certificate of the server.
const SERVER: &str = "gate.test";

/// An authority that issues certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    /// The certificate, and its key.
    pub fn pem(&self) -> [&str; 2] {
        [&self.certificate, &self.key]
    }
}

impl Authority {
    /// A new authority, unrelated to any other.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key pair");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("well-formed parameters") }
    }

    /// A certificate for a workload with the URI SANs `uris`, in that order.
    pub fn workload(&self, uris: &[&str]) -> Identity {
        let name = |uri: &&str| SanType::URI((*uri).try_into().expect("a URI is ASCII"));
        self.issue(uris.iter().map(name).collect(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate for a server.
    pub fn server(&self) -> Identity {
        self.server_for(&[SERVER])
    }

    /// A certificate for a server with these names and addresses.
    pub fn server_for(&self, names: &[&str]) -> Identity {
        let name = |name: &&str| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().expect("a DNS name is ASCII")),
        };
        self.issue(names.iter().map(name).collect(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The certificate of the authority itself, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn issue(&self, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key pair");
        let certificate = params.signed_by(&key, &self.issuer).expect("well-formed parameters");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The `DownstreamTlsContext` of a listener that requests a client certificate of this authority, but does not
    /// require one.
    /// `trust` is Envoy's `trust_chain_verification`.
    pub fn listener(&self, trust: &str) -> Value {
        let server = self.server();
        json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": false,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": server.certificate},
                    "private_key": {"inline_string": server.key}
                }],
                "validation_context": {
                    "trusted_ca": {"inline_string": self.issuer.pem()},
                    "trust_chain_verification": trust
                }
            }
        })
    }

    /// The `UpstreamTlsContext` of a proxy that connects to listeners of this authority as `client`.
    pub fn towards(&self, client: &Identity) -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": client.certificate},
                    "private_key": {"inline_string": client.key}
                }],
                "validation_context": {"trusted_ca": {"inline_string": self.issuer.pem()}}
            }
        })
    }

    /// Connects to a listener of this authority over TLS, with or without the certificate `client`. The handshake
    /// happens at the first write; a rejected certificate shows at the first read.
    ///
    /// # Errors
    /// If a session cannot be created.
    ///
    /// # Panics
    /// If the certificates of this file are malformed.
    pub fn session(
        &self,
        stream: TcpStream,
        client: Option<&Identity>,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        self.session_offering(stream, client, &[])
    }

    /// As [`Authority::session`], with these protocols offered by ALPN.
    ///
    /// # Errors
    /// If a session cannot be created.
    ///
    /// # Panics
    /// If the certificates of this file are malformed.
    pub fn session_offering(
        &self,
        stream: TcpStream,
        client: Option<&Identity>,
        protocols: &[&str],
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority's certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("ring knows the default versions").with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("our own PEM")];
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("our own PEM");
                builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let server = ServerName::try_from(SERVER).expect("a DNS name");
        let session = ClientConnection::new(Arc::new(config), server).map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, stream))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
