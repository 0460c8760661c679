//! A target as one string, and as its parts.

use std::borrow::Cow;

use super::node::Node;
use super::shape::Side;
use super::table::Shape;

/// The parts of a target that both sides can say.
pub(super) struct Parts {
    cluster: Option<Node<'static>>,
    namespace: Option<String>,
    kind: String,
    name: String,
}

const STRING: &str = "spec.targetResource";
const CLUSTER: &str = "spec.clusterID";
const OBJECT: &str = "spec.target";

/// Takes the target out; None: there is none, or it does not say what the other side could.
pub(super) fn take(object: &mut Node<'_>, from: Side) -> Option<Parts> {
    match from {
        Side::V1alpha1(shape) => {
            // An older shape has no cluster, whatever stands at that name.
            let cluster = object.take(CLUSTER).filter(|_| shape == Shape::August2026).map(Node::into_owned);
            let written = object.take(STRING)?;
            let written = written.text()?;
            let parts: Vec<&str> = written.split('/').collect();
            let (namespace, kind, name) = match parts[..] {
                [kind, name] => (None, kind, name),
                [namespace, kind, name] => (Some(namespace), kind, name),
                _ => return None,
            };
            let whole = !kind.is_empty() && !name.is_empty() && namespace != Some("");
            whole.then(|| Parts {
                cluster,
                namespace: namespace.map(str::to_owned),
                kind: kind.to_owned(),
                name: name.to_owned(),
            })
        }
        Side::Hub => {
            for stray in [STRING, CLUSTER] {
                object.take(stray);
            }
            let mut target = object.take(OBJECT)?;
            let cluster = target.take("clusterID").map(Node::into_owned);
            let mut part = |name: &str| target.get(name).map(|part| part.text().map(Cow::into_owned));
            let namespace = part("namespace");
            let (kind, name) = (part("kind")??, part("name")??);
            let sayable = |part: &str| !part.is_empty() && !part.contains('/');
            // One of another type, or with a slash in it, is no part of a string.
            if namespace.as_ref().is_some_and(|namespace| !namespace.as_deref().is_some_and(sayable))
                || !sayable(&kind)
                || !sayable(&name)
            {
                return None;
            }
            Some(Parts { cluster, namespace: namespace.flatten(), kind, name })
        }
    }
}

pub(super) fn put(object: &mut Node<'_>, to: Side, parts: Parts) {
    let Parts { cluster, namespace, kind, name } = parts;
    match to {
        Side::V1alpha1(shape) => {
            let written =
                namespace.map_or_else(|| format!("{kind}/{name}"), |namespace| format!("{namespace}/{kind}/{name}"));
            object.put(STRING, Node::string(&written));
            if let Some(cluster) = cluster.filter(|_| shape == Shape::August2026) {
                object.put(CLUSTER, cluster);
            }
        }
        Side::Hub => {
            let texts = [("namespace", namespace), ("kind", Some(kind)), ("name", Some(name))];
            let texts = texts.into_iter().filter_map(|(name, text)| Some((Cow::Borrowed(name), Node::string(&text?))));
            let cluster = cluster.into_iter().map(|cluster| (Cow::Borrowed("clusterID"), cluster));
            object.put(OBJECT, Node::Object(cluster.chain(texts).collect()));
        }
    }
}
