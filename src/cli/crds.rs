//! `lockkeeper crds`

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use k8s_openapi::ByteString;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{ServiceReference, WebhookClientConfig};

use super::{Ended, output};
use crate::api::crds;

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper crds | kubectl apply --server-side -f -
  lockkeeper crds --dir crds && kubectl apply --server-side -f crds/
  lockkeeper crds --conversion-service kubernaut-system/lockkeeper-conversion --ca ca.crt

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
    /// Serve v1beta1 too, and let this address convert
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
            (None, Some(url)) => {
                ensure!(url.starts_with("https://"), "--conversion-url: expected https://…, found {url:?}");
                WebhookClientConfig { url: Some(url.clone()), ..Default::default() }
            }
            (None, None) => {
                ensure!(ca_bundle.is_none(), "--ca needs --conversion-service or --conversion-url");
                return Ok(None);
            }
        };
        Ok(Some(WebhookClientConfig { ca_bundle, ..client }))
    }
}

fn reference(text: &str) -> anyhow::Result<ServiceReference> {
    let (path, port) = text.split_once(':').map_or((text, None), |(path, port)| (path, Some(port)));
    let port = port.map(str::parse::<u16>).transpose().ok().filter(|port| *port != Some(0));
    match (path.split_once('/'), port) {
        (Some((namespace, name)), Some(port)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ServiceReference {
                namespace: namespace.into(),
                name: name.into(),
                path: Some(crds::CONVERT_PATH.into()),
                port: Some(port.unwrap_or(443).into()),
            })
        }
        _ => bail!("--conversion-service: expected NAMESPACE/NAME or NAMESPACE/NAME:PORT, found {text:?}"),
    }
}

fn certificates(file: &Path) -> anyhow::Result<ByteString> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let pem = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let found = CertificateDer::pem_slice_iter(&pem).filter(Result::is_ok).count();
    ensure!(found > 0, "{}: no certificate in it", file.display());
    Ok(ByteString(pem))
}
