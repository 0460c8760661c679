//! `lockkeeper crds`

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use k8s_openapi::ByteString;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{ServiceReference, WebhookClientConfig};

use super::{Ended, output};
use crate::api::crds;
use crate::api::facts::is_dns_label;

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper crds | kubectl apply --server-side -f -
  lockkeeper crds --dir crds && kubectl apply --server-side -f crds/
  lockkeeper crds --conversion-service kubernaut-system/lockkeeper-conversion --ca ca.crt
  lockkeeper crds --conversion-url https://10.0.0.7:9443 --ca ca.crt        (called at https://10.0.0.7:9443/convert)

Without --conversion-service or --conversion-url the CRDs serve v1alpha1 alone: v1beta1 has another shape, and somebody has
to convert. With one of them they serve both, and v1beta1 is stored.

Never over Kubernaut's own CRDs: another schema under the same version name prunes what it does not know.")]
pub(super) struct Crds {
    /// Write one file for each into this folder instead of a YAML stream to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Serve v1beta1 too, and let this Service convert, at /convert
    #[arg(long, value_name = "NAMESPACE/NAME[:PORT]", conflicts_with = "conversion_url")]
    conversion_service: Option<String>,
    /// Serve v1beta1 too, and let the server at this https:// address convert; /convert is added where it is missing
    #[arg(long, value_name = "URL")]
    conversion_url: Option<String>,
    /// PEM file with the CA of what converts; without it the API server goes by its own, or an injector fills it in
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Crds {
    pub fn run(self) -> anyhow::Result<Ended> {
        let crds = self.client()?.map_or_else(crds::v1alpha1, |client| crds::all(&client));
        let Some(dir) = self.dir else {
            output::print(&crds::yaml_stream(&crds))?;
            return Ok(Ended::Well);
        };
        std::fs::create_dir_all(&dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
        for (name, yaml) in crds::yaml_files(&crds) {
            let file = dir.join(name);
            std::fs::write(&file, yaml).with_context(|| format!("{}: cannot be written", file.display()))?;
            output::print(&format!("{}\n", file.display()))?;
        }
        Ok(Ended::Well)
    }

    /// Who converts; None: nobody.
    fn client(&self) -> anyhow::Result<Option<WebhookClientConfig>> {
        let ca_bundle = self.ca.as_deref().map(certificates).transpose()?;
        let client = match (&self.conversion_service, &self.conversion_url) {
            (Some(service), _) => WebhookClientConfig { service: Some(reference(service)?), ..Default::default() },
            (None, Some(url)) => WebhookClientConfig { url: Some(address(url)?), ..Default::default() },
            (None, None) => {
                ensure!(ca_bundle.is_none(), "--ca needs --conversion-service or --conversion-url");
                return Ok(None);
            }
        };
        Ok(Some(WebhookClientConfig { ca_bundle, ..client }))
    }
}

fn reference(text: &str) -> anyhow::Result<ServiceReference> {
    let expected = format!("--conversion-service: expected NAMESPACE/NAME or NAMESPACE/NAME:PORT, found {text:?}");
    let (path, port) = text.split_once(':').map_or((text, None), |(path, port)| (path, Some(port)));
    let parts = path.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
    let Some((namespace, name)) = parts.filter(|(_, name)| !name.contains('/')) else { bail!(expected) };
    for (part, of) in [(namespace, "namespace"), (name, "Service")] {
        ensure!(
            is_dns_label(part),
            "{expected}: {part:?} is no name of a {of}: at most 63 lower-case letters, digits and dashes, no dash first or last"
        );
    }
    let port = port.map(number).transpose().with_context(|| expected.clone())?;
    Ok(ServiceReference {
        namespace: namespace.into(),
        name: name.into(),
        path: Some(crds::CONVERT_PATH.into()),
        port: Some(port.unwrap_or(443).into()),
    })
}

/// Where that server converts: what the API server would refuse, or take and never reach, is refused here.
fn address(text: &str) -> anyhow::Result<String> {
    called(text).with_context(|| {
        format!("--conversion-url: expected https://HOST, https://HOST:PORT or with a path, found {text:?}")
    })
}

fn called(text: &str) -> anyhow::Result<String> {
    let rest = text.strip_prefix("https://").context("only https is called")?;
    for (sign, what) in [('#', "fragment"), ('?', "query"), ('@', "user")] {
        ensure!(!rest.contains(sign), "the API server takes no {what} in it");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    ensure!(!host.is_empty(), "no host in it");
    ensure!(host.starts_with('[') || !host.contains(':'), "an IPv6 address goes in brackets");
    ensure!(is_host(host), "{host:?} is neither a name nor an IP address");
    port.map(number).transpose()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    ensure!(path.chars().all(plain), "a path has letters, digits and /-._~");
    let base = path.trim_end_matches('/');
    let base = base.strip_suffix(crds::CONVERT_PATH).unwrap_or(base);
    Ok(format!("https://{authority}{base}{}", crds::CONVERT_PATH))
}

fn number(port: &str) -> anyhow::Result<u16> {
    let digits = port.bytes().all(|c| c.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port != 0).with_context(|| format!("a port is 1 to 65535, not {port:?}"))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    // A name whose last part is a number is taken for an address.
    let last = host.rsplit('.').next().unwrap_or(host);
    if last.bytes().all(|c| c.is_ascii_digit()) {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.len() <= 253 && host.to_ascii_lowercase().split('.').all(is_dns_label)
}

fn certificates(file: &Path) -> anyhow::Result<ByteString> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let pem = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let found = CertificateDer::pem_slice_iter(&pem).filter(Result::is_ok).count();
    ensure!(found > 0, "{}: no certificate in it", file.display());
    Ok(ByteString(pem))
}
