//! A development CA and a serving pair. The CA's key is thrown away: nothing else can ever be signed with it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::TlsError;

/// The files that `issue` writes into its folder: the CA's certificate, the serving certificate, its key.
pub const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

/// A year: development, not production.
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks differ.
const SKEW: Duration = Duration::from_secs(3600);

/// Where the new pair stands.
#[derive(Debug)]
pub struct Issued {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Makes a CA and a pair for these hosts and writes them into the folder.
///
/// # Errors
/// Where a host is no DNS name or address, or the folder cannot be written.
pub fn issue(folder: &Path, hosts: &[String]) -> Result<Issued, TlsError> {
    let ca_key = KeyPair::generate()?;
    let ca_params = ca_params();
    let ca = ca_params.self_signed(&ca_key)?;
    let issuer = Issuer::from_params(&ca_params, ca_key);
    let key = KeyPair::generate()?;
    let certificate = leaf_params(hosts)?.signed_by(&key, &issuer)?;
    let [ca_file, certificate_file, key_file] = FILES.map(|name| folder.join(name));
    let write = |path: &PathBuf, text: &str, mode| {
        write(path, text, mode).map_err(|error| TlsError::Write { file: path.clone(), error })
    };
    std::fs::create_dir_all(folder).map_err(|error| TlsError::Write { file: folder.to_owned(), error })?;
    write(&key_file, &key.serialize_pem(), 0o600)?;
    write(&certificate_file, &certificate.pem(), 0o644)?;
    write(&ca_file, &ca.pem(), 0o644)?;
    Ok(Issued { ca: ca_file, certificate: certificate_file, key: key_file })
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "lockkeeper development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let (from, to) = life();
    (params.not_before, params.not_after) = (from.into(), to.into());
    params
}

fn leaf_params(hosts: &[String]) -> Result<CertificateParams, TlsError> {
    let hosts: Vec<String> = hosts.iter().map(|host| host.trim_matches(['[', ']']).to_owned()).collect();
    if let Some(host) = hosts.iter().find(|host| !is_host(host)) {
        return Err(TlsError::Host { host: host.clone() });
    }
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "lockkeeper");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let (from, to) = life();
    (params.not_before, params.not_after) = (from.into(), to.into());
    Ok(params)
}

fn life() -> (SystemTime, SystemTime) {
    let now = SystemTime::now();
    (now - SKEW, now + LIFE)
}

fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || rustls::pki_types::DnsName::try_from(host).is_ok() || is_wildcard(host)
}

fn is_wildcard(host: &str) -> bool {
    host.strip_prefix("*.").is_some_and(|rest| rustls::pki_types::DnsName::try_from(rest).is_ok())
}

/// Written beside and moved into place, so that nobody ever reads half a key.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_pair_fits_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let issued = issue(folder.path(), &["localhost".into(), "127.0.0.1".into(), "[::1]".into()]).unwrap();
        let pair = super::super::Pair::load(&issued.certificate, &issued.key).unwrap();
        assert!(pair.not_after() > SystemTime::now() + LIFE / 2);
        let mode = std::fs::metadata(&issued.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut files: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, FILES, "the CA's key is not kept");
    }

    #[test]
    fn what_is_no_host_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let problem = issue(folder.path(), &["not a host".into()]).unwrap_err().to_string();
        assert!(problem.contains("not a host"), "{problem}");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
