//! The texts of a project's columns, numbered once for all its batches.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Texts by code, from 1 on; 0 is unknown. It only grows.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    texts: RwLock<Texts>,
    /// Bytes of all dictionaries together.
    total: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
pub(crate) struct Texts {
    values: Vec<Arc<str>>,
    // Hashed with a random key, since clients choose the texts.
    codes: HashMap<Arc<str>, u32>,
    bytes: usize,
}

/// Bytes of a text beside its characters: its place in the list, its place in the map with some
/// room, and the counters of a shared text.
const OVERHEAD: usize = 80;

impl Dictionary {
    /// An empty one, whose bytes count in `total` as long as it lives.
    pub fn counted_in(total: &Arc<AtomicUsize>) -> Self {
        Self { texts: RwLock::default(), total: Arc::clone(total) }
    }

    /// The codes of `values`, in their order; new ones are added.
    pub fn encode(&self, values: &[Box<str>]) -> Vec<u32> {
        // Most batches bring nothing new, and readers need not wait for those.
        let found: Vec<Option<u32>> = {
            let texts = self.read();
            values.iter().map(|value| texts.codes.get(&**value).copied()).collect()
        };
        if found.iter().all(Option::is_some) {
            return found.into_iter().flatten().collect();
        }
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        let before = texts.bytes;
        let codes =
            values.iter().zip(found).map(|(value, code)| code.unwrap_or_else(|| texts.add(value))).collect();
        self.total.fetch_add(texts.bytes - before, Ordering::Relaxed);
        codes
    }

    /// The texts, for a moment: nobody can add any meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, Texts> {
        self.texts.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        let bytes = self.read().bytes;
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Texts {
    fn add(&mut self, value: &str) -> u32 {
        if let Some(code) = self.codes.get(value) {
            return *code;
        }
        let shared: Arc<str> = value.into();
        self.values.push(Arc::clone(&shared));
        let code = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.bytes += value.len() + OVERHEAD;
        self.codes.insert(shared, code);
        code
    }

    /// The text of a code; none for 0.
    pub fn get(&self, code: u32) -> Option<&Arc<str>> {
        self.values.get((code as usize).checked_sub(1)?)
    }

    /// Texts in it.
    pub fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_code_whoever_brings_it() {
        let dictionary = Dictionary::default();
        let texts = |texts: &[&str]| texts.iter().map(|text| Box::from(*text)).collect::<Vec<_>>();
        assert_eq!(dictionary.encode(&texts(&["a", "b", "a"])), [1, 2, 1]);
        assert_eq!(dictionary.encode(&texts(&["c", "b"])), [3, 2]);
        assert_eq!(dictionary.encode(&texts(&["b", "c"])), [2, 3]);
        let read = dictionary.read();
        assert_eq!((read.get(0), read.get(3).map(|text| &**text), read.get(4)), (None, Some("c"), None));
        assert_eq!((read.len(), read.bytes), (3, 3 + 3 * OVERHEAD));
    }
}
