//! The spool's files: records are put at the end of the newest and taken from
//! the beginning of the oldest.

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::record::{HEAD, Record, body_length};

/// Bytes from which a file is full and the next is begun.
const FILE: u64 = 16 << 20;

const EXTENSION: &str = "spool";

/// A directory of records that no other process uses. Every call may wait for the disk.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    _lock: File,
    /// Oldest first. The last is written to while it is open.
    files: VecDeque<Spooled>,
    open: Option<File>,
    next_number: u64,
}

#[derive(Debug)]
struct Spooled {
    path: PathBuf,
    /// Bytes of whole records, or of the file while nobody has looked.
    length: u64,
    /// Up to where it was taken.
    taken: u64,
}

impl Files {
    /// Opens the directory, and makes it if need be.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process uses it"),
            TryLockError::Error(error) => error,
        })?;
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if let (Some(number), Some(EXTENSION)) = (number, path.extension().and_then(|e| e.to_str())) {
                let length = fs::metadata(&path)?.len();
                found.push((number, Spooled { path, length, taken: 0 }));
            }
        }
        found.sort_by_key(|(number, _)| *number);
        let next_number = found.last().map_or(0, |(number, _)| number + 1);
        let files = found.into_iter().map(|(_, file)| file).collect();
        Ok(Self { directory: directory.to_owned(), _lock: lock, files, open: None, next_number })
    }

    /// Bytes that all files take.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// Puts a record at the end; it is on the disk when this returns.
    pub fn put(&mut self, record: &[u8]) -> io::Result<()> {
        let full = self.files.back().is_some_and(|file| file.length >= FILE);
        if self.open.is_none() || full {
            self.begin()?;
        }
        let (Some(open), Some(last)) = (&mut self.open, self.files.back_mut()) else {
            return Err(io::Error::other("no file"));
        };
        match open.write_all(record).and_then(|()| open.sync_data()) {
            Ok(()) => {
                last.length += record.len() as u64;
                Ok(())
            }
            Err(error) => {
                // What came of it is not known: nothing is written behind it.
                let _ = open.set_len(last.length);
                self.open = None;
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let path = self.directory.join(format!("{:016}.{EXTENSION}", self.next_number));
        // First: a file that is made, and cannot be used for what follows, has its number all the same.
        self.next_number += 1;
        let open = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        File::open(&self.directory)?.sync_all()?;
        self.files.push_back(Spooled { path, length: 0, taken: 0 });
        self.open = Some(open);
        Ok(())
    }

    /// The oldest record that was not taken, and its bytes in the file. What a
    /// crash has torn, and was therefore never promised, is passed over.
    pub fn oldest(&mut self) -> io::Result<Option<(Record, u64)>> {
        while let Some(file) = self.files.front_mut() {
            match read(file)? {
                Some(found) => return Ok(Some(found)),
                None if file.taken < file.length => {
                    tracing::warn!(file = %file.path.display(), at = file.taken, "the spool ends in a torn record");
                    file.length = file.taken;
                }
                None => {}
            }
            // Only a file that is being written to may still grow.
            if self.files.len() == 1 && self.open.is_some() {
                let empty = self.files.front().is_some_and(|file| file.length == 0);
                if empty {
                    return Ok(None);
                }
                self.open = None;
            }
            self.remove_oldest()?;
        }
        Ok(None)
    }

    /// Takes the oldest record away: it is somewhere else now.
    pub fn take(&mut self, bytes: u64) -> io::Result<()> {
        if let Some(file) = self.files.front_mut() {
            file.taken += bytes;
            if file.taken >= file.length && self.files.len() > 1 {
                return self.remove_oldest();
            }
        }
        Ok(())
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        if let Some(file) = self.files.front() {
            match fs::remove_file(&file.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => drop(self.files.pop_front()),
            }
        }
        Ok(())
    }
}

/// The next whole record of a file. One that is damaged while others follow is
/// passed over; the file is copied for whoever wants to look.
fn read(file: &mut Spooled) -> io::Result<Option<(Record, u64)>> {
    let open = match File::open(&file.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        open => open?,
    };
    let mut skipped = 0;
    loop {
        let at = file.taken + skipped;
        let mut head = [0; HEAD];
        let left = file.length.saturating_sub(at);
        if left < HEAD as u64 {
            return Ok(None);
        }
        open.read_exact_at(&mut head, at)?;
        let length = body_length(&head);
        let whole = (HEAD + length) as u64;
        if left < whole {
            return Ok(None);
        }
        let mut body = vec![0; length];
        open.read_exact_at(&mut body, at + HEAD as u64)?;
        if let Some(record) = Record::decode(&head, &body) {
            if skipped > 0 {
                let copy = file.path.with_extension("damaged");
                tracing::error!(copy = %copy.display(), bytes = skipped, "the spool is damaged; a part of it is lost");
                fs::copy(&file.path, copy)?;
            }
            return Ok(Some((record, skipped + whole)));
        }
        skipped += whole;
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_that_is_there_already_is_passed_over() {
        let directory = TempDir::new().expect("directory");
        let mut files = Files::open(directory.path()).expect("open");
        // As an attempt leaves it that could make the file, and then not open its directory.
        File::create(directory.path().join("0000000000000000.spool")).expect("create");
        assert!(files.put(b"lost").is_err());
        files.put(b"kept").expect("the next file");
        files.put(b"kept").expect("the same file");
        assert_eq!(files.bytes(), 8);
    }
}
