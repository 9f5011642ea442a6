//! The texts of a project's columns, numbered once for all its batches.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard,
    atomic::{AtomicUsize, Ordering},
};

use hashbrown::HashTable;
use watchkeeper_store::Texts;

/// Texts by code, from 1 on; 0 is unknown. It only grows.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    words: RwLock<Words>,
    /// Bytes of all dictionaries together.
    total: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
pub(crate) struct Words {
    texts: Texts,
    /// Codes, to be found by their texts, which are kept once only.
    codes: HashTable<u32>,
    // With a random key, since clients choose the texts.
    hasher: ahash::RandomState,
}

impl Dictionary {
    /// An empty one, whose bytes count in `total` as long as it lives.
    pub fn counted_in(total: &Arc<AtomicUsize>) -> Self {
        Self { words: RwLock::default(), total: Arc::clone(total) }
    }

    /// The codes of `values`, in their order; new ones are added.
    pub fn encode(&self, values: &Texts) -> Vec<u32> {
        // Most batches bring nothing new, and readers need not wait for those.
        let found: Vec<Option<u32>> = {
            let words = self.read();
            values.iter().map(|value| words.code(value)).collect()
        };
        if found.iter().all(Option::is_some) {
            return found.into_iter().flatten().collect();
        }
        let mut words = self.words.write().unwrap_or_else(PoisonError::into_inner);
        let before = words.bytes();
        let codes =
            values.iter().zip(found).map(|(value, code)| code.unwrap_or_else(|| words.add(value))).collect();
        self.total.fetch_add(words.bytes() - before, Ordering::Relaxed);
        codes
    }

    /// The texts, for a moment: nobody can add any meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, Words> {
        self.words.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        let bytes = self.read().bytes();
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Words {
    fn code(&self, text: &str) -> Option<u32> {
        self.codes.find(self.hasher.hash_one(text), |code| self.get(*code) == Some(text)).copied()
    }

    fn add(&mut self, text: &str) -> u32 {
        let Self { texts, codes, hasher } = self;
        let get = |code: u32| texts.get((code as usize).wrapping_sub(1));
        let hash = hasher.hash_one(text);
        if let Some(code) = codes.find(hash, |code| get(*code) == Some(text)) {
            return *code;
        }
        let code = u32::try_from(texts.len() + 1).unwrap_or(u32::MAX);
        codes.insert_unique(hash, code, |code| hasher.hash_one(get(*code).unwrap_or_default()));
        texts.push(text);
        code
    }

    /// The text of a code; none for 0.
    pub fn get(&self, code: u32) -> Option<&str> {
        self.texts.get((code as usize).checked_sub(1)?)
    }

    /// Texts in it.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Bytes of memory that it takes.
    fn bytes(&self) -> usize {
        self.texts.bytes() + self.codes.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_code_whoever_brings_it() {
        let total = Arc::default();
        let dictionary = Dictionary::counted_in(&total);
        let texts = |texts: &[&str]| texts.iter().collect::<Texts>();
        assert_eq!(dictionary.encode(&texts(&["a", "b", "a", ""])), [1, 2, 1, 3]);
        assert_eq!(dictionary.encode(&texts(&["c", "b"])), [4, 2]);
        assert_eq!(dictionary.encode(&texts(&["b", "c", ""])), [2, 4, 3]);
        let read = dictionary.read();
        assert_eq!((read.get(0), read.get(4), read.get(5), read.len()), (None, Some("c"), None, 4));
        drop(read);
        let many: Texts = (0..10_000).map(|n| format!("text {n}")).collect();
        assert_eq!(dictionary.encode(&many), (5..10_005).collect::<Vec<_>>());
        assert_eq!(dictionary.encode(&many), (5..10_005).collect::<Vec<_>>());
        assert!(total.load(Ordering::Relaxed) > 10_000 * (9 + 8 + 4));
        drop(dictionary);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}
