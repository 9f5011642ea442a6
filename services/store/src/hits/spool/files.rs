//! The spool's files: records are put at the end of the newest and taken from
//! the beginning of the oldest.
//!
//! A file begins with [`MAGIC`] and its marker, which each of its records begins with too: behind one that
//! is damaged the next is found by it. Nobody knows it who sends hits, so that none can pass for a record.
//! Files of earlier releases are records alone.

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use uuid::Uuid;

use super::record::{HEAD, Record, body_length};

/// Bytes from which a file is full and the next is begun.
const FILE: u64 = 16 << 20;

const EXTENSION: &str = "spool";

/// Of a file that was taken from as far as it could be read, and is kept for whoever wants to look.
const DAMAGED: &str = "damaged";

/// Attempts to read a file after which the disk is taken not to give it any more. There is one a second.
const ATTEMPTS: u32 = 30;

/// How a file begins. As the length of a record it would be more than a file has.
const MAGIC: [u8; 8] = *b"WKSPOOL\x02";

/// Bytes of a marker.
const MARKER: usize = 16;

/// Bytes before the first record.
const BEGINNING: u64 = (MAGIC.len() + MARKER) as u64;

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
    /// What each of its records begins with, nothing in a file of an earlier release; `None` while nobody has
    /// looked.
    marker: Option<Vec<u8>>,
    /// Whether something in it could not be read.
    damaged: bool,
    /// Attempts to read it that have failed on end.
    failed: u32,
}

impl Spooled {
    /// A file that is there; it may be one that the disk does not give any more.
    fn found(path: PathBuf) -> io::Result<Self> {
        let length = fs::metadata(&path)?.len();
        Ok(Self { path, length, taken: 0, marker: None, damaged: false, failed: 0 })
    }

    fn marker(&self) -> &[u8] {
        self.marker.as_deref().unwrap_or_default()
    }

    /// Opens it to be read, and looks how it begins if nobody has.
    fn open(&mut self) -> io::Result<File> {
        let open = File::open(&self.path)?;
        if self.marker.is_none() {
            let mut beginning = [0; BEGINNING as usize];
            if self.length >= BEGINNING {
                open.read_exact_at(&mut beginning, 0)?;
            }
            let marker = beginning.strip_prefix(&MAGIC);
            self.taken = marker.map_or(0, |_| BEGINNING);
            self.marker = Some(marker.unwrap_or_default().to_vec());
        }
        Ok(open)
    }

    /// Whether an attempt to read it that has failed so was the last: a disk that does not give what it has
    /// taken will hardly give it later, and what follows must not wait for that.
    fn is_given_up(&mut self, error: &io::Error) -> bool {
        let is_of_disk =
            error.kind() == ErrorKind::UnexpectedEof || Errno::from_io_error(error) == Some(Errno::IO);
        self.failed += u32::from(is_of_disk);
        self.failed >= ATTEMPTS
    }
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
        let (mut found, mut next_number) = (Vec::new(), 0);
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            let (Some(number), Some(extension)) = (number, path.extension().and_then(|e| e.to_str())) else {
                continue;
            };
            // Also of a damaged one, so that none takes its place.
            next_number = next_number.max(number + 1);
            if extension == EXTENSION {
                found.push((number, Spooled::found(path)?));
            }
        }
        found.sort_by_key(|(number, _)| *number);
        let files = found.into_iter().map(|(_, file)| file).collect();
        Ok(Self { directory: directory.to_owned(), _lock: lock, files, open: None, next_number })
    }

    /// Bytes that all files take.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// Whether the next record begins a file.
    pub fn begins_another(&self) -> bool {
        self.open.is_none() || self.files.back().is_some_and(|file| file.length >= FILE)
    }

    /// Puts a record at the end; it is on the disk when this returns.
    pub fn put(&mut self, record: &[u8]) -> io::Result<()> {
        if self.begins_another() {
            self.begin()?;
        }
        let (Some(open), Some(last)) = (&mut self.open, self.files.back_mut()) else {
            return Err(io::Error::other("no file"));
        };
        let mut before = Vec::new();
        if last.length == 0 {
            before.extend_from_slice(&MAGIC);
            before.extend_from_slice(last.marker());
        }
        before.extend_from_slice(last.marker());
        let written = open.write_all(&before).and_then(|()| open.write_all(record));
        match written.and_then(|()| open.sync_data()) {
            Ok(()) => {
                last.length += (before.len() + record.len()) as u64;
                Ok(())
            }
            Err(error) => {
                // What came of it is not known: nothing is written behind it.
                let _ = open.set_len(last.length);
                let empty = last.length == 0;
                self.open = None;
                // Else each attempt would leave one while the disk is full.
                if empty && self.files.back().is_some_and(|last| fs::remove_file(&last.path).is_ok()) {
                    self.files.pop_back();
                }
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let path = self.directory.join(format!("{:016}.{EXTENSION}", self.next_number));
        // First: a file that is made, and cannot be used for what follows, has its number all the same.
        self.next_number += 1;
        let open = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(error) = File::open(&self.directory).and_then(|directory| directory.sync_all()) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let (taken, marker) = (BEGINNING, Some(Uuid::new_v4().as_bytes().to_vec()));
        self.files.push_back(Spooled { path, length: 0, taken, marker, damaged: false, failed: 0 });
        self.open = Some(open);
        Ok(())
    }

    /// The oldest record that was not taken, and its bytes in the file. What cannot be read is passed over,
    /// be it damaged or torn by a crash and therefore never promised; its file is kept aside. So is, with all
    /// that was not taken of it, one that the disk does not give, after a while.
    pub fn oldest(&mut self) -> io::Result<Option<(Record, u64)>> {
        while let Some(file) = self.files.front_mut() {
            match read(file) {
                Ok(Some(found)) => {
                    file.failed = 0;
                    return Ok(Some(found));
                }
                Err(error) if file.is_given_up(&error) => {
                    let bytes = file.length.saturating_sub(file.taken);
                    let (at, path) = (file.taken, file.path.display());
                    tracing::error!(file = %path, at, bytes, %error, "a file of the spool is given up");
                    file.damaged = true;
                }
                Err(error) => return Err(error),
                Ok(None) if file.taken < file.length => {
                    let (at, bytes, path) = (file.taken, file.length - file.taken, file.path.display());
                    tracing::warn!(file = %path, at, bytes, "the end of the spool's file cannot be read");
                    (file.length, file.damaged) = (at, true);
                }
                Ok(None) => {}
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
            let removed = if file.damaged {
                let aside = file.path.with_extension(DAMAGED);
                tracing::warn!(file = %aside.display(), "a damaged file of the spool is kept aside");
                fs::rename(&file.path, aside)
            } else {
                fs::remove_file(&file.path)
            };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => drop(self.files.pop_front()),
            }
        }
        Ok(())
    }
}

/// The next whole record of a file, and the bytes up to its end. What is damaged before it is passed over.
fn read(file: &mut Spooled) -> io::Result<Option<(Record, u64)>> {
    let open = match file.open() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        open => open?,
    };
    let mut at = file.taken;
    loop {
        if let Some((record, bytes)) = record_at(&open, file, at)? {
            let skipped = at - file.taken;
            if skipped > 0 {
                let (file, at) = (file.path.display(), file.taken);
                tracing::error!(%file, at, bytes = skipped, "the spool is damaged: a part is passed over");
            }
            file.damaged |= skipped > 0;
            return Ok(Some((record, skipped + bytes)));
        }
        match next_marker(&open, file, at)? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
}

/// The record at a place of a file and its bytes, if there is a whole one.
fn record_at(open: &File, file: &Spooled, at: u64) -> io::Result<Option<(Record, u64)>> {
    let mut begin = vec![0; file.marker().len() + HEAD];
    let left = file.length.saturating_sub(at);
    if left < begin.len() as u64 {
        return Ok(None);
    }
    open.read_exact_at(&mut begin, at)?;
    let Some((marker, head)) = begin.split_last_chunk() else { return Ok(None) };
    let (length, before) = (body_length(head), begin.len() as u64);
    if marker != file.marker() || left - before < length as u64 {
        return Ok(None);
    }
    let mut body = vec![0; length];
    open.read_exact_at(&mut body, at + before)?;
    Ok(Record::decode(head, &body).map(|record| (record, before + length as u64)))
}

/// Where the next record after a place begins, if one does.
fn next_marker(open: &File, file: &Spooled, after: u64) -> io::Result<Option<u64>> {
    let from = after + 1;
    let left = usize::try_from(file.length.saturating_sub(from)).unwrap_or_default();
    if file.marker().is_empty() || left < MARKER {
        return Ok(None);
    }
    let mut rest = vec![0; left];
    open.read_exact_at(&mut rest, from)?;
    let found = rest.windows(MARKER).position(|bytes| bytes == file.marker());
    Ok(found.map(|position| from + position as u64))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        ProjectId,
        hits::ingest::{Group, Part, postgres::Turn},
    };

    /// A record of one part with this data.
    fn record(data: &[u8]) -> Record {
        let project = ProjectId(1);
        let part = Part { project, rows: 1, min_ts: 0, max_ts: 0, data: data.to_vec(), mark: None };
        Record { turn: Turn::first(), at: 0, group: Group { parts: vec![part], batches: 1 } }
    }

    /// Reads and takes all records of a directory.
    fn all(directory: &Path) -> Vec<Record> {
        let mut files = Files::open(directory).expect("open");
        let mut records = Vec::new();
        while let Some((record, bytes)) = files.oldest().expect("read") {
            files.take(bytes).expect("take");
            records.push(record);
        }
        assert_eq!(files.bytes(), 0);
        records
    }

    /// Changes the first file of a directory as `change` does, between two uses of it.
    fn change(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let path = directory.join("0000000000000000.spool");
        let mut bytes = fs::read(&path).expect("read");
        change(&mut bytes);
        fs::write(&path, bytes).expect("write");
    }

    fn spooled(directory: &Path, records: &[Record]) {
        let mut files = Files::open(directory).expect("open");
        for record in records {
            files.put(&record.encode()).expect("put");
        }
    }

    #[test]
    fn behind_a_record_whose_length_is_damaged_all_others_are_read_and_the_file_is_kept() {
        let records = [record(b"one"), record(b"two"), record(b"three")];
        let length = MARKER + records[0].encode().len();
        for (bit, at) in [(0x80_u8, 0), (0x01, 2), (0x10, 3)] {
            let directory = TempDir::new().expect("directory");
            spooled(directory.path(), &records);
            // Of the second: far more than there is, some more, some less.
            change(directory.path(), |bytes| bytes[BEGINNING as usize + length + MARKER + at] ^= bit);
            let damaged = fs::read(directory.path().join("0000000000000000.spool")).expect("read");
            assert_eq!(all(directory.path()), [records[0].clone(), records[2].clone()]);
            let aside = directory.path().join("0000000000000000.damaged");
            assert_eq!(fs::read(&aside).expect("it is kept"), damaged);
            // The next file does not take its place.
            spooled(directory.path(), &records);
            assert_eq!(all(directory.path()), records);
            assert_eq!(fs::read(&aside).expect("it is kept"), damaged);
        }
    }

    #[test]
    fn a_file_that_the_disk_does_not_give_is_kept_aside_after_a_while_and_what_follows_is_read() {
        let directory = TempDir::new().expect("directory");
        let records = [record(b"one"), record(b"two"), record(b"three")];
        // Of two uses of the directory, each of which has begun a file.
        spooled(directory.path(), &records[..2]);
        spooled(directory.path(), &records[2..]);
        let path = directory.path().join("0000000000000000.spool");
        for given in [BEGINNING - 1, BEGINNING + 5] {
            let mut files = Files::open(directory.path()).expect("open");
            let whole = fs::read(&path).expect("read");
            // As of a disk that fails, less comes than there is.
            let file = OpenOptions::new().write(true).open(&path).expect("open");
            file.set_len(given).expect("cut off");
            for _ in 1..ATTEMPTS {
                assert!(files.oldest().is_err(), "it may still come");
            }
            fs::write(&path, &whole).expect("write");
            let found = files.oldest().expect("read").map(|(record, _)| record);
            assert_eq!(found, Some(records[0].clone()), "it has come");

            file.set_len(given).expect("cut off");
            for _ in 1..ATTEMPTS {
                assert!(files.oldest().is_err(), "it may still come");
            }
            let found = files.oldest().expect("read").map(|(record, _)| record);
            assert_eq!(found, Some(records[2].clone()));
            let aside = path.with_extension(DAMAGED);
            assert_eq!(fs::metadata(&aside).expect("it is kept").len(), given);
            // As whoever mends the disk does.
            drop(files);
            fs::remove_file(aside).expect("remove");
            fs::write(&path, whole).expect("write");
        }
        assert_eq!(all(directory.path()), records);
    }

    #[test]
    fn nothing_that_a_client_sends_passes_for_a_record() {
        let made_up = record(b"made up");
        let sent = [made_up.encode(), vec![0; 400]].concat();
        for torn in [false, true] {
            let directory = TempDir::new().expect("directory");
            spooled(directory.path(), &[record(&sent), record(b"last")]);
            change(directory.path(), |bytes| match torn {
                true => bytes.truncate(bytes.len() - 200),
                false => bytes[BEGINNING as usize + MARKER] ^= 1,
            });
            let read = all(directory.path());
            assert!(!read.contains(&made_up), "{read:?}");
            assert_eq!(read.len(), usize::from(!torn));
        }
    }

    #[test]
    fn files_of_earlier_releases_are_read() {
        let directory = TempDir::new().expect("directory");
        let records = [record(b"one"), record(b"two")];
        let bytes: Vec<u8> = records.iter().flat_map(Record::encode).collect();
        fs::write(directory.path().join("0000000000000004.spool"), bytes).expect("write");
        assert_eq!(all(directory.path()), records);
    }

    #[test]
    fn a_file_that_is_there_already_is_passed_over() {
        let directory = TempDir::new().expect("directory");
        let mut files = Files::open(directory.path()).expect("open");
        // As an attempt leaves it that could make the file, and then not open its directory.
        File::create(directory.path().join("0000000000000000.spool")).expect("create");
        assert!(files.put(b"lost").is_err());
        files.put(b"kept").expect("the next file");
        files.put(b"kept").expect("the same file");
        assert_eq!(files.bytes(), BEGINNING + 2 * (MARKER as u64 + 4));
    }

    #[test]
    fn a_disk_that_takes_nothing_is_not_filled_with_empty_files() {
        let directory = TempDir::new().expect("directory");
        let mut files = Files::open(directory.path()).expect("open");
        for _ in 0..3 {
            files.begin().expect("a file");
            // As on a full disk, nothing can be written into it.
            let path = &files.files.back().expect("a file").path;
            files.open = Some(File::open(path).expect("open"));
            assert!(files.put(b"lost").is_err());
        }
        let left = fs::read_dir(directory.path()).expect("directory").count();
        assert_eq!((left, files.files.len()), (1, 0), "the lock alone");
        files.put(b"kept").expect("there is room again");
        assert_eq!(files.bytes(), BEGINNING + MARKER as u64 + 4);
    }
}
