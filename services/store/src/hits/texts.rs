//! Many texts in one piece of memory.

/// Texts by their places, one after the other in memory: by themselves, many small ones would cost
/// more than what is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    characters: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Texts {
    /// An empty list with room for so many texts of so many bytes together.
    pub fn with_capacity(texts: usize, bytes: usize) -> Self {
        Self { characters: String::with_capacity(bytes), ends: Vec::with_capacity(texts) }
    }

    /// Adds a text at the end.
    pub fn push(&mut self, text: &str) {
        self.characters.push_str(text);
        self.ends.push(self.characters.len());
    }

    /// The text at a place, from 0 on.
    pub fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.characters.get(start..end)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of them, by place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let text = self.characters.get(start..*end).unwrap_or_default();
            start = *end;
            text
        })
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.characters.capacity() + size_of::<usize>() * self.ends.capacity()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut list = Self::default();
        texts.into_iter().for_each(|text| list.push(text.as_ref()));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_places_empty_ones_too() {
        let texts: Texts = ["a", "", "déjà", ""].into_iter().collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "déjà", ""]);
        assert_eq!(
            (0..5).map(|place| texts.get(place)).collect::<Vec<_>>(),
            [Some("a"), Some(""), Some("déjà"), Some(""), None]
        );
        assert_eq!((texts.len(), texts.is_empty(), Texts::default().is_empty()), (4, false, true));
        assert!(texts.bytes() >= 7 + 4 * 8);
    }
}
