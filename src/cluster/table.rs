//! The objects of one kind, those that can be read and those that cannot.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::api::facts::ObjectKey;

/// It has a name.
pub trait Keyed {
    fn key(&self) -> &ObjectKey;
}

pub(super) type Map<K, V> = HashMap<K, V, ahash::RandomState>;
type Set<K> = HashSet<K, ahash::RandomState>;

/// The objects of one kind by name. The name lives in the facts alone.
pub struct Table<T> {
    readable: Set<ByKey<T>>,
    unreadable: Set<ObjectKey>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { readable: Set::default(), unreadable: Set::default() }
    }
}

impl<T: Keyed> Table<T> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.readable.get(key).map(|ByKey(facts)| facts.clone())
    }

    /// Those that can be read.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.readable.iter().map(|ByKey(facts)| facts)
    }

    pub(super) fn keys(&self) -> Vec<ObjectKey> {
        self.all().map(|facts| facts.key().clone()).collect()
    }

    pub(super) fn is_unreadable(&self, key: &ObjectKey) -> bool {
        self.unreadable.contains(key)
    }

    /// What was known under its name is to be taken first.
    pub(super) fn put(&mut self, facts: Arc<T>) {
        self.readable.insert(ByKey(facts));
    }

    pub(super) fn put_unreadable(&mut self, key: ObjectKey) {
        self.unreadable.insert(key);
    }

    /// Nothing is known of it any more; what was.
    pub(super) fn take(&mut self, key: &ObjectKey) -> Option<Arc<T>> {
        self.unreadable.remove(key);
        self.readable.take(key).map(|ByKey(facts)| facts)
    }

    pub(super) fn holds(&self, key: &ObjectKey) -> bool {
        self.readable.contains(key) || self.unreadable.contains(key)
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        (self.readable.len(), self.unreadable.len())
    }

    pub(super) fn missing_from(&self, present: &HashSet<ObjectKey>) -> Vec<ObjectKey> {
        let known = self.all().map(|facts| facts.key()).chain(&self.unreadable);
        known.filter(|key| !present.contains(*key)).cloned().collect()
    }
}

struct ByKey<T>(Arc<T>);

impl<T: Keyed> Borrow<ObjectKey> for ByKey<T> {
    fn borrow(&self) -> &ObjectKey {
        self.0.key()
    }
}

impl<T: Keyed> Hash for ByKey<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl<T: Keyed> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<T: Keyed> Eq for ByKey<T> {}
