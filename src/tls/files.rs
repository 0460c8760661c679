//! A serving pair out of two PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

/// What is wrong with a pair, with its file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: cannot be read as PEM: {problem}", file.display())]
    Pem { file: PathBuf, problem: String },
    #[error("{}: no certificate in it", file.display())]
    Empty { file: PathBuf },
    #[error("{} and {} do not belong together: {problem}", certificate.display(), key.display())]
    NoPair { certificate: PathBuf, key: PathBuf, problem: String },
    #[error("{}: not a certificate: {problem}", file.display())]
    NoCertificate { file: PathBuf, problem: String },
    #[error("{host:?} is neither a DNS name nor an IP address")]
    Host { host: String },
    #[error("{}: cannot be written: {error}", file.display())]
    Write { file: PathBuf, error: std::io::Error },
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The oldest protocol that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsVersion {
    #[value(name = "1.2")]
    Tls12,
    #[default]
    #[value(name = "1.3")]
    Tls13,
}

/// A certificate and the key that fits it.
#[derive(Debug)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Pair {
    /// Reads both files and sees that they fit.
    ///
    /// # Errors
    /// Where a file is no PEM, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pem = |file: &Path, error: rustls::pki_types::pem::Error| TlsError::Pem {
            file: file.to_owned(),
            problem: error.to_string(),
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| pem(certificate, error))?;
        let Some(leaf) = chain.first() else { return Err(TlsError::Empty { file: certificate.to_owned() }) };
        let (not_before, not_after) =
            validity(leaf).map_err(|problem| TlsError::NoCertificate { file: certificate.to_owned(), problem })?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, error))?;
        let fits = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).and_then(|pair| {
            pair.keys_match()?;
            Ok(pair)
        });
        let key = fits.map_err(|error| TlsError::NoPair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Self { key: Arc::new(key), not_before, not_after })
    }

    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether the certificate is valid at this time; if not, why.
    ///
    /// # Errors
    /// With the reason, where it is not.
    pub fn valid_at(&self, now: SystemTime) -> Result<(), &'static str> {
        match () {
            () if now < self.not_before => Err("the certificate is not valid yet"),
            () if now > self.not_after => Err("the certificate has ended"),
            () => Ok(()),
        }
    }

    /// The server side of TLS with this pair: ALPN http/1.1 only, as the API server dials a Service.
    ///
    /// # Errors
    /// Where rustls refuses the set-up.
    pub fn server_config(&self, oldest: TlsVersion) -> Result<Arc<ServerConfig>, TlsError> {
        let versions: &[_] = match oldest {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn validity(leaf: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|error| error.to_string())?;
    let time = |time: x509_parser::time::ASN1Time| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
    };
    Ok((time(parsed.validity().not_before), time(parsed.validity().not_after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::issue;

    #[test]
    fn a_pair_that_does_not_fit_is_refused_with_both_names() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = issue(one.path(), &["localhost".into()]).unwrap_and_keep(one);
        let other = issue(other.path(), &["localhost".into()]).unwrap_and_keep(other);
        let problem = Pair::load(&one.0.certificate, &other.0.key).unwrap_err().to_string();
        assert!(problem.contains("do not belong together"), "{problem}");
    }

    #[test]
    fn what_is_no_pem_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let issued = issue(folder.path(), &["localhost".into()]).unwrap();
        let odd = folder.path().join("odd.pem");
        std::fs::write(&odd, "words").unwrap();
        assert!(Pair::load(&odd, &issued.key).unwrap_err().to_string().contains("odd.pem: no certificate in it"));
        assert!(
            Pair::load(&issued.certificate, &odd).unwrap_err().to_string().contains("odd.pem: cannot be read as PEM")
        );
        assert!(
            Pair::load(&folder.path().join("none"), &issued.key)
                .unwrap_err()
                .to_string()
                .contains("none: cannot be read")
        );
    }

    #[test]
    fn a_certificate_has_a_beginning_and_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let issued = issue(folder.path(), &["localhost".into()]).unwrap();
        let pair = Pair::load(&issued.certificate, &issued.key).unwrap();
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(pair.valid_at(SystemTime::now()), Ok(()));
        assert!(pair.valid_at(SystemTime::now() - day).is_err());
        assert!(pair.valid_at(SystemTime::now() + 400 * day).is_err());
    }

    trait Keep<T> {
        fn unwrap_and_keep(self, folder: tempfile::TempDir) -> (T, tempfile::TempDir);
    }

    impl<T, E: std::fmt::Debug> Keep<T> for Result<T, E> {
        fn unwrap_and_keep(self, folder: tempfile::TempDir) -> (T, tempfile::TempDir) {
            (self.unwrap(), folder)
        }
    }
}
