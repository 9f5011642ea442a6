//! What is in the product's image.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use watchkeeper_testkit::helm::succeed;
use watchkeeper_testkit::{paths, program};

struct Image {
    /// What a container is started with.
    config: Value,
    /// The root file system.
    root: PathBuf,
    layers: Vec<PathBuf>,
    archive: PathBuf,
    _directory: TempDir,
}

/// The image around this build's binaries, unpacked.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let operator = program::find("watchkeeper-operator").unwrap();
        let binaries = program::find("watchkeeper").unwrap().parent().unwrap().to_path_buf();
        assert!(operator.starts_with(&binaries));
        let mut build = Command::new(paths::workspace().join("e2e/images/build.sh"));
        let archive = succeed(build.arg("--binaries").arg(&binaries).arg("watchkeeper")).unwrap();
        let archive = PathBuf::from(archive.trim_end());

        let directory = tempfile::tempdir().unwrap();
        let unpack = |archive: &Path, into: &Path| {
            fs::create_dir_all(into).unwrap();
            let mut tar = Command::new("tar");
            succeed(tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(into)).unwrap();
        };
        unpack(&archive, directory.path());
        let read = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(directory.path().join(name)).unwrap()).unwrap()
        };
        let manifest = &read("manifest.json")[0];
        let root = directory.path().join("root");
        let layers = manifest["Layers"].as_array().unwrap().iter().filter_map(Value::as_str);
        let layers: Vec<PathBuf> = layers.map(|layer| directory.path().join(layer)).collect();
        for layer in &layers {
            unpack(layer, &root);
        }
        let config = read(manifest["Config"].as_str().unwrap())["config"].clone();
        Image { config, root, layers, archive, _directory: directory }
    })
}

impl Image {
    fn environment(&self, name: &str) -> String {
        let variables = self.config["Env"].as_array().unwrap().iter().filter_map(Value::as_str);
        let mut found = variables.filter_map(|variable| variable.strip_prefix(&format!("{name}=")));
        found.next().unwrap_or_else(|| panic!("no {name}")).to_owned()
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Every file that is not a link, by its path inside.
    fn files(&self) -> Vec<(String, fs::Metadata)> {
        let mut files = Vec::new();
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    directories.push(entry.path());
                } else if metadata.is_file() {
                    let inside = entry.path().strip_prefix(&self.root).unwrap().display().to_string();
                    files.push((inside, metadata));
                }
            }
        }
        files
    }

    /// The loader and the libraries, in which nothing of this machine is needed.
    fn libraries(&self) -> Vec<String> {
        let files = self.files().into_iter().map(|(path, _)| path);
        files.filter(|path| path.contains(".so")).collect()
    }

    /// Runs a program of the image on the image's own loader and libraries.
    fn run(&self, program: &str, argument: &str) -> String {
        let loader = self.libraries().into_iter().find(|path| path.contains("/ld-linux")).unwrap();
        let folders: BTreeSet<PathBuf> =
            self.libraries().iter().map(|path| self.path(path).parent().unwrap().to_path_buf()).collect();
        let mut command = Command::new(self.path(&loader));
        command.args(["--inhibit-cache", "--library-path"]).arg(std::env::join_paths(folders).unwrap());
        // Where the machine has a library that the image lacks, the loader would still find it.
        let program = self.path(&self.environment("PATH")).join(program);
        let listed =
            succeed(Command::new(command.get_program()).args(command.get_args()).arg("--list").arg(&program));
        for line in listed.unwrap().lines().filter(|line| line.contains("=> ")) {
            assert!(line.contains(self.root.to_str().unwrap()), "not from the image: {line}");
        }
        succeed(command.arg(program).arg(argument)).unwrap()
    }
}

#[test]
fn both_programs_run_on_nothing_but_what_is_in_it() {
    for name in ["watchkeeper", "watchkeeper-operator"] {
        let said = image().run(name, "--version");
        assert_eq!(said.trim(), format!("{name} {}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn it_runs_as_a_numbered_user_who_can_change_nothing() {
    assert_eq!(image().config["User"], "65532:65532");
    for layer in &image().layers {
        let mut tar = Command::new("tar");
        let listed =
            succeed(tar.args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(layer)).unwrap();
        for line in listed.lines().filter(|line| !line.ends_with(" var/lib/watchkeeper/")) {
            assert_eq!(line.split_whitespace().nth(1), Some("0/0"), "{line}");
        }
    }
    for (path, metadata) in image().files() {
        assert_eq!(metadata.permissions().mode() & 0o6022, 0, "{path}: {:o}", metadata.permissions().mode());
    }
}

#[test]
fn it_has_no_program_beside_the_two() {
    let runs = |(path, metadata): &(String, fs::Metadata)| {
        metadata.permissions().mode() & 0o111 != 0 && !path.contains(".so")
    };
    let programs: BTreeSet<String> = image().files().into_iter().filter(runs).map(|(path, _)| path).collect();
    let expected = ["usr/local/bin/watchkeeper", "usr/local/bin/watchkeeper-operator"];
    assert_eq!(programs, expected.map(str::to_owned).into());
}

#[test]
fn it_brings_countries_time_zones_and_certificate_authorities() {
    let countries = fs::metadata(image().path(&image().environment("WATCHKEEPER_GEOIP"))).unwrap();
    assert!(countries.len() > 1_000_000, "{}", countries.len());
    assert!(fs::read(image().path("/usr/share/zoneinfo/Europe/Berlin")).unwrap().starts_with(b"TZif"));

    let authorities = fs::read_to_string(image().path(&image().environment("SSL_CERT_FILE"))).unwrap();
    let mut from_mozilla = 0;
    for file in fs::read_dir("/usr/share/ca-certificates/mozilla").unwrap().map(Result::unwrap) {
        let certificate = fs::read_to_string(file.path()).unwrap();
        assert!(authorities.contains(certificate.trim()), "{}", file.path().display());
        from_mozilla += 1;
    }
    // None that this machine alone trusts.
    assert_eq!(authorities.matches("BEGIN CERTIFICATE").count(), from_mozilla);
}

#[test]
fn its_labels_tell_what_it_is() {
    let label = |name: &str| {
        let label = &image().config["Labels"][format!("org.opencontainers.image.{name}")];
        label.as_str().unwrap_or_else(|| panic!("no label {name}")).to_owned()
    };
    assert_eq!(label("title"), "Watchkeeper");
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("version"), concat!(env!("CARGO_PKG_VERSION"), "-dev"));
    assert_eq!(label("created"), "1970-01-01T00:00:00Z");
    assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
}

#[test]
fn its_list_of_parts_names_what_is_linked_and_nothing_else() {
    let inside = fs::read(image().path("/usr/share/sbom/watchkeeper.cdx.json")).unwrap();
    let beside = fs::read(image().archive.with_extension("cdx.json")).unwrap();
    assert_eq!(inside, beside);
    let parts: Value = serde_json::from_slice(&inside).unwrap();
    assert_eq!(parts["bomFormat"], "CycloneDX");
    let components = parts["components"].as_array().unwrap();
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    for linked in
        ["tokio", "parquet", "sqlx", "kube", "watchkeeper-store", "rust-std", "libc6", "libgcc-s1", "tzdata"]
    {
        assert!(has(linked), "{linked}");
    }
    // What only tests, only builds or only expands is not in the image.
    for absent in ["insta", "proptest", "cc", "serde_derive", "watchkeeper-testkit", "libicu72"] {
        assert!(!has(absent), "{absent}");
    }
    for component in components {
        assert!(component["version"].is_string() || component["type"] == "data", "{component}");
        if let Some(purl) = component["purl"].as_str() {
            let from = ["pkg:cargo/", "pkg:deb/"].into_iter().find(|from| purl.starts_with(from));
            let hash = component["hashes"][0]["alg"] == "SHA-256";
            assert!(from == Some("pkg:deb/") || from.is_some() && hash, "{component}");
        }
    }
}

#[test]
fn another_tag_is_another_image_of_the_same_binaries() {
    let first = image();
    let binaries = program::find("watchkeeper").unwrap().parent().unwrap().to_path_buf();
    let mut build = Command::new(paths::workspace().join("e2e/images/build.sh"));
    build.arg("--binaries").arg(binaries).args(["--tag", "next", "watchkeeper"]);
    let next = PathBuf::from(succeed(&mut build).unwrap().trim_end());
    let manifest = |archive: &Path| -> Value {
        let mut tar = Command::new("tar");
        let tar = tar.arg("--extract").arg("--to-stdout").arg("--file").arg(archive).arg("manifest.json");
        serde_json::from_str::<Value>(&succeed(tar).unwrap()).unwrap()[0].clone()
    };
    let (first, next) = (manifest(&first.archive), manifest(&next));
    assert_eq!(first["RepoTags"][0], "watchkeeper.test/watchkeeper:dev");
    assert_eq!(next["RepoTags"][0], "watchkeeper.test/watchkeeper:next");
    assert_ne!(first["Config"], next["Config"]);
}
