//! Manifest files. One that has mistakes keeps what it last said without.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::SystemTime,
};

use watchkeeper_crds::manifest::{self, Manifest};

/// The files of `-f`, as last read.
pub struct Files {
    roots: Vec<PathBuf>,
    good: BTreeMap<PathBuf, (String, Vec<Manifest>)>,
    errors: Vec<String>,
    stamp: Stamp,
}

/// What tells that files have changed without reading them: which there are, their times and lengths.
pub type Stamp = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Files {
    /// Files and directories to read; nothing is read yet.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, good: BTreeMap::new(), errors: Vec::new(), stamp: Stamp::new() }
    }

    /// Whether any were named, if only an empty directory.
    pub fn are_named(&self) -> bool {
        !self.roots.is_empty()
    }

    /// Directories to watch for changes: editors and ConfigMaps replace files, so
    /// a file is watched through its directory.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.roots
            .iter()
            .map(|root| match root.parent() {
                _ if root.is_dir() => root.clone(),
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            })
            .collect()
    }

    /// How the files look now.
    pub fn stamp(&self) -> Stamp {
        let paths = self.roots.iter().flat_map(|root| list(root).unwrap_or_default());
        let stamp = |path: PathBuf| {
            let file = std::fs::metadata(&path).ok();
            let time = file.as_ref().and_then(|file| file.modified().ok());
            (path, time, file.map_or(0, |file| file.len()))
        };
        paths.map(stamp).collect()
    }

    /// Whether files that look like this were read already.
    pub fn were_read(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp
    }

    /// Reads everything again; tells whether what the files say has changed.
    pub fn read(&mut self) -> bool {
        // Before they are read: what changes meanwhile is read again.
        self.stamp = self.stamp();
        self.errors.clear();
        let mut changed = false;
        let mut seen = BTreeSet::new();
        for root in self.roots.clone() {
            match list(&root) {
                Ok(paths) => seen.extend(paths),
                Err(error) => {
                    self.errors.push(format!("{}: {error}", root.display()));
                    // Not to be read now is not the same as gone.
                    seen.extend(self.good.keys().filter(|path| path.starts_with(&root)).cloned());
                }
            }
        }
        for path in &seen {
            changed |= self.read_one(path);
        }
        let before = self.good.len();
        match seen.iter().find(|path| !self.good.contains_key(*path)) {
            None => self.good.retain(|path, _| seen.contains(path)),
            // It may be what is gone, by another name, or the directory of all that is gone.
            Some(unread) => {
                let gone = self.good.keys().filter(|path| !seen.contains(*path));
                self.errors.extend(gone.map(|path| {
                    let (path, unread) = (path.display(), unread.display());
                    format!("{path}: it is gone, and stays in force until {unread} can be read")
                }));
            }
        }
        changed || self.good.len() != before
    }

    fn read_one(&mut self, path: &Path) -> bool {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.errors.push(format!("{}: {error}", path.display()));
                return false;
            }
        };
        if self.good.get(path).is_some_and(|(old, _)| *old == text) {
            return false;
        }
        match manifest::parse(&text) {
            Ok(manifests) => {
                for manifest in &manifests {
                    if let Manifest::Ignored(ignored) = manifest {
                        tracing::info!("{}: {ignored}", path.display());
                    }
                }
                self.good.insert(path.to_owned(), (text, manifests));
                true
            }
            Err(errors) => {
                self.errors.extend(errors.iter().map(|error| format!("{}: {error}", path.display())));
                false
            }
        }
    }

    /// What the files say, by file name and order in the file.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.good.values().flat_map(|(_, manifests)| manifests)
    }

    /// What is wrong with them.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }
}

/// A file, or the manifests right inside a directory, as `kubectl -f` takes them.
fn list(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !root.is_dir() {
        return Ok(vec![root.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        let known = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension));
        if known && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str) -> String {
        format!(
            "apiVersion: watchkeeper.dev/v1alpha1\nkind: MonitoredEndpoint\nmetadata: {{name: {name}}}\n\
             spec: {{instanceRef: {{name: main}}, http: {{url: https://example.com/}}}}\n"
        )
    }

    fn names(files: &Files) -> Vec<String> {
        files
            .manifests()
            .filter_map(|manifest| match manifest {
                Manifest::MonitoredEndpoint(endpoint) => endpoint.metadata.name.clone(),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_file_with_a_mistake_keeps_what_it_said_and_the_others_go_on() {
        let directory = tempfile::tempdir().expect("directory");
        let write =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("write");
        write("a.yaml", &endpoint("a"));
        write("b.yml", &endpoint("b"));
        write("ignored.txt", "::");
        let mut files = Files::new(vec![directory.path().to_owned()]);
        assert!(files.read());
        assert_eq!(names(&files), ["a", "b"]);
        assert!(!files.read(), "nothing has changed");

        write("a.yaml", "kind: [");
        write("b.yml", &endpoint("c"));
        assert!(files.read());
        assert_eq!(names(&files), ["a", "c"]);
        assert_eq!(files.errors().len(), 1, "{:?}", files.errors());

        std::fs::remove_file(directory.path().join("a.yaml")).expect("remove");
        assert!(files.read());
        assert_eq!((names(&files), files.errors().len()), (vec!["c".to_owned()], 0));
    }

    #[test]
    fn what_is_gone_stays_in_force_while_what_may_have_taken_its_place_cannot_be_read() {
        let directory = tempfile::tempdir().expect("directory");
        let manifests = directory.path().join("manifests");
        let write = |name: &str, text: &str| std::fs::write(manifests.join(name), text).expect("write");
        std::fs::create_dir(&manifests).expect("directory");
        write("a.yaml", &endpoint("a"));
        write("b.yaml", &endpoint("b"));
        let mut files = Files::new(vec![manifests.clone()]);
        files.read();

        // Renamed, and with a mistake.
        std::fs::remove_file(manifests.join("a.yaml")).expect("remove");
        write("c.yaml", "kind: [");
        assert!(!files.read());
        assert_eq!(names(&files), ["a", "b"]);
        let told = format!("{}: it is gone, and stays in force", manifests.join("a.yaml").display());
        assert!(files.errors().iter().any(|error| error.starts_with(&told)), "{:?}", files.errors());
        write("c.yaml", &endpoint("a"));
        assert!(files.read());
        assert_eq!((names(&files), files.errors().len()), (vec!["b".to_owned(), "a".to_owned()], 0));

        // The whole directory, as when another takes its place.
        std::fs::rename(&manifests, directory.path().join("old")).expect("rename");
        assert!(!files.read());
        assert_eq!((names(&files).len(), files.errors().len()), (2, 3), "{:?}", files.errors());
        std::fs::create_dir(&manifests).expect("directory");
        write("d.yaml", &endpoint("d"));
        assert!(files.read());
        assert_eq!((names(&files), files.errors().len()), (vec!["d".to_owned()], 0));
    }

    #[test]
    fn files_that_look_as_they_were_read_are_no_news() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("a.yaml");
        std::fs::write(&file, endpoint("a")).expect("write");
        let mut files = Files::new(vec![directory.path().to_owned()]);
        assert!(!files.were_read(&files.stamp()));
        files.read();
        assert!(files.were_read(&files.stamp()));
        std::fs::write(&file, endpoint("longer")).expect("write");
        assert!(!files.were_read(&files.stamp()));
        files.read();
        std::fs::rename(&file, directory.path().join("b.yaml")).expect("rename");
        assert!(!files.were_read(&files.stamp()));
    }

    #[test]
    fn a_missing_file_is_a_mistake() {
        let mut files = Files::new(vec!["/nonexistent/x.yaml".into()]);
        files.read();
        assert!(files.errors()[0].contains("/nonexistent/x.yaml"), "{:?}", files.errors());
    }
}
