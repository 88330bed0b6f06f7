//! Checks the PEM files of certificates and keys before Envoy starts, for clearer messages than Envoy's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::render::envoy::Tls;
use crate::render::service::{Service, Trust, TrustOptions};
use crate::render::upstream::Upstream;

const CERTIFICATE: (&str, &str) = ("certificate", "CERTIFICATE-----");
const KEY: (&str, &str) = ("private key", "PRIVATE KEY-----");

/// The certificate chain to listen with, and its key.
pub(super) fn listener(certificate: &Path, key: &Path) -> Result<Tls> {
    Ok(Tls { certificate: pem("--tls-cert", certificate, CERTIFICATE)?, key: pem("--tls-key", key, KEY)? })
}

/// The service, with the authorities that may have issued its certificate.
pub(super) fn service(upstream: Upstream, options: &TrustOptions) -> Result<Service> {
    options.check(&upstream)?;
    let trust = match &options.upstream_ca {
        Some(file) => Trust::Authorities(pem("--upstream-ca", file, CERTIFICATE)?),
        None if options.upstream_insecure => Trust::Any,
        // There is no certificate.
        None if !upstream.is_tls() => Trust::Any,
        None => {
            let Some(bundle) = openssl_probe::probe().cert_file else {
                bail!(
                    "{upstream}: this machine has no list of certificate authorities, so the certificate cannot be \
                     checked: install the package ca-certificates, or name a PEM file with --upstream-ca"
                );
            };
            Trust::Authorities(pem("the system's list of certificate authorities,", &bundle, CERTIFICATE)?)
        }
    };
    Ok(Service::new(upstream, trust))
}

/// The absolute path of a PEM file with such a block.
fn pem(option: &str, file: &Path, (what, label): (&str, &str)) -> Result<PathBuf> {
    let text = std::fs::read(file).with_context(|| format!("{option} {}: cannot read it", file.display()))?;
    let text = String::from_utf8_lossy(&text);
    if !text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(label)) {
        bail!("{option} {}: expected a {what} in PEM format", file.display());
    }
    Ok(std::path::absolute(file)?)
}
