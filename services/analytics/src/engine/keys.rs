//! Numbers of groups by what they have in common.

use rustc_hash::FxHashMap;

/// Numbers for combinations of codes, a code a dimension: level by level, each prefix has a number.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    /// By prefix, and within one by code below `width`, while there is room for all that may come up.
    table: Vec<u32>,
    width: usize,
    /// By prefix and code, once there is not.
    hashed: Option<FxHashMap<u64, u32>>,
    /// Prefix and code of each number.
    nodes: Vec<(u32, u32)>,
}

const NONE: u32 = u32::MAX;

/// Places of a level's table at most, where it has several prefixes.
const TABLE: usize = 1 << 20;

impl Level {
    #[inline]
    fn number(&mut self, prefix: u32, code: u32) -> u32 {
        if (code as usize) < self.width
            && let Some(number) = self.table.get_mut(prefix as usize * self.width + code as usize)
        {
            if *number == NONE {
                self.nodes.push((prefix, code));
                *number = u32::try_from(self.nodes.len() - 1).unwrap_or(NONE);
            }
            return *number;
        }
        self.number_slowly(prefix, code)
    }

    fn number_slowly(&mut self, prefix: u32, code: u32) -> u32 {
        if self.hashed.is_none() && self.widen(prefix as usize, code as usize) {
            return self.number(prefix, code);
        }
        let nodes = &mut self.nodes;
        *self.hashed.get_or_insert_default().entry(pair(prefix, code)).or_insert_with(|| {
            nodes.push((prefix, code));
            u32::try_from(nodes.len() - 1).unwrap_or(NONE)
        })
    }

    /// Makes room in the table; false when that would be too much, and there is no table any more.
    fn widen(&mut self, prefix: usize, code: usize) -> bool {
        let prefixes = self.table.len().checked_div(self.width).unwrap_or_default();
        let width = self.width.max((code + 1).next_power_of_two());
        // By half more, so that prefixes in ascending order do not move the table each time.
        let wanted = if prefix < prefixes { prefixes } else { (prefix + 1).max(prefixes + prefixes / 2) };
        let numbers = (0..).zip(&self.nodes);
        if wanted > 1 && wanted.saturating_mul(width) > TABLE {
            (self.table, self.width) = (Vec::new(), 0);
            self.hashed =
                Some(numbers.map(|(number, (prefix, code))| (pair(*prefix, *code), number)).collect());
            return false;
        }
        if width == self.width {
            self.table.resize(wanted * width, NONE);
        } else {
            self.table = vec![NONE; wanted * width];
            for (number, (prefix, code)) in numbers {
                self.table[*prefix as usize * width + *code as usize] = number;
            }
            self.width = width;
        }
        true
    }
}

fn pair(prefix: u32, code: u32) -> u64 {
    u64::from(prefix) << 32 | u64::from(code)
}

impl Keys {
    pub fn new(dimensions: usize) -> Self {
        Self { levels: (0..dimensions).map(|_| Level::default()).collect() }
    }

    /// Combinations with a number; without dimensions there is one.
    pub fn len(&self) -> usize {
        self.levels.last().map_or(1, |level| level.nodes.len())
    }

    /// The number of a combination.
    #[inline]
    pub fn number(&mut self, codes: impl Iterator<Item = u32>) -> u32 {
        self.levels.iter_mut().zip(codes).fold(0, |prefix, (level, code)| level.number(prefix, code))
    }

    /// Appends the numbers of codes of the only dimension.
    pub fn number_all(&mut self, codes: impl Iterator<Item = u32>, numbers: &mut Vec<u32>) {
        let [level] = self.levels.as_mut_slice() else { return };
        numbers.extend(codes.map(|code| match level.table.get(code as usize) {
            Some(number) if *number != NONE => *number,
            _ => level.number(0, code),
        }));
    }

    /// The codes of one dimension of numbers.
    pub fn codes(&self, dimension: usize, numbers: impl Iterator<Item = usize>) -> Vec<u32> {
        numbers
            .map(|number| {
                let (mut at, mut code) = (number, 0);
                for level in self.levels[dimension..].iter().rev() {
                    let (prefix, its) = level.nodes[at];
                    (at, code) = (prefix as usize, its);
                }
                code
            })
            .collect()
    }

    /// Takes in other combinations; returns what their numbers are here.
    pub fn merge(&mut self, other: &Self, spaces: &[Option<&[u32]>]) -> Vec<u32> {
        let mut codes = vec![0; self.levels.len()];
        (0..other.len())
            .map(|number| {
                let mut at = number;
                for (place, level) in other.levels.iter().enumerate().rev() {
                    let (prefix, code) = level.nodes[at];
                    at = prefix as usize;
                    codes[place] = spaces[place].map_or(code, |space| space[code as usize]);
                }
                self.number(codes.iter().copied())
            })
            .collect()
    }

    pub fn bytes(&self) -> usize {
        let bytes = |level: &Level| {
            let hashed = level.hashed.as_ref().map_or(0, FxHashMap::capacity);
            18 * hashed + 4 * level.table.capacity() + 8 * level.nodes.capacity()
        };
        self.levels.iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_number_of_its_own() {
        let mut keys = Keys::new(3);
        let numbers: Vec<u32> = (0..60).map(|n| keys.number([n % 3, n % 4, n % 5].into_iter())).collect();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
        assert_eq!(keys.number([1, 3, 2].into_iter()), 7);
        for (dimension, size) in [(0, 3), (1, 4), (2, 5)] {
            let codes = keys.codes(dimension, 0..60);
            assert_eq!(codes, (0..60).map(|n| n % size).collect::<Vec<_>>());
        }
        let mut other = Keys::new(3);
        other.number([7, 7, 7].into_iter());
        let double: Vec<u32> = (0..9).map(|code| code * 2).collect();
        // More codes and prefixes than a table has room for.
        let mut many = Keys::new(2);
        let of = |n: u32| [n % 5_000, n % 1_000].into_iter();
        let numbers: Vec<u32> = (0..5_000).map(|n| many.number(of(n))).collect();
        assert_eq!(numbers, (0..5_000).map(|n| many.number(of(n))).collect::<Vec<_>>());
        assert_eq!((many.len(), many.levels[1].hashed.is_some()), (5_000, true));
        assert_eq!(other.merge(&keys, &[None, Some(&double), None])[5], other.number([2, 2, 0].into_iter()));
    }
}
