//! One attested fact about a failure, and its weight.

use std::fmt;

use crate::api::facts::ObjectKey;
use crate::api::tekton::Container;
use crate::line::one_line;

/// A quote of a message, and the words around it.
const SAYS_MAX_CHARS: usize = 600;
/// A namespace and a name.
const NAME_MAX_CHARS: usize = 400;

/// Who attests what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub from: Source,
    /// One line, whoever chose the names and reasons in it.
    pub says: String,
    pub weight: Weight,
}

/// How far a fact is believed, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The kubelet saw it.
    Kubelet,
    /// Tekton's controller said it of a task.
    TaskRun,
    /// Tekton's controller, or Kubernetes' own, said it of the whole run.
    Run,
    /// The fixed part of a message that a controller writes.
    Message,
    /// An error of the API server or the kubelet at the known place of a message.
    Embedded,
    /// Nobody says so; it cannot be excluded.
    Doubt,
}

impl Weight {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::TaskRun => "taskRun",
            Self::Run => "run",
            Self::Message => "message",
            Self::Embedded => "embedded",
            Self::Doubt => "doubt",
        }
    }
}

/// The object, and the container in it, that a fact is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub kind: &'static str,
    /// None: the object is the one in hand.
    pub object: Option<ObjectKey>,
    pub container: Option<(&'static str, Box<str>)>,
}

impl Source {
    pub(super) fn of(kind: &'static str, object: &ObjectKey) -> Self {
        Self { kind, object: Some(object.clone()), container: None }
    }

    pub(super) fn nameless(kind: &'static str) -> Self {
        Self { kind, object: None, container: None }
    }

    pub(super) fn container(&self, role: &'static str, container: &Container) -> Self {
        Self { container: Some((role, container.name.clone())), ..self.clone() }
    }

    pub(super) fn says(&self, weight: Weight, says: impl Into<String>) -> Evidence {
        Evidence { from: self.clone(), says: one_line(&says.into(), SAYS_MAX_CHARS), weight }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names that nobody has checked: in a file they are whatever stands there.
        let name = |name: &str| one_line(name, NAME_MAX_CHARS);
        f.write_str(self.kind)?;
        if let Some(object) = &self.object {
            write!(f, " {}", name(&object.to_string()))?;
        }
        if let Some((role, container)) = &self.container {
            write!(f, " {role} {}", name(container))?;
        }
        Ok(())
    }
}
