//! What the READMEs tell people to type and to read is there.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use watchkeeper_testkit::helm::{chart, crds_chart, objects};
use watchkeeper_testkit::paths;

const TEXTS: [&str; 14] = [
    "README.md",
    "charts/watchkeeper/README.md",
    "charts/watchkeeper-crds/README.md",
    "gitops/README.md",
    "gitops/argocd/README.md",
    "gitops/flux/README.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    "docs/compatibility.md",
    "docs/discovery.md",
    "docs/operations.md",
    "docs/privacy.md",
    "docs/query-api.md",
    "docs/runbooks.md",
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines that a text shows as something to type or to write, fenced or indented.
fn code(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            lines.push(line);
        }
    }
    assert!(!fenced, "a fence is not closed");
    lines
}

/// Whether a chart has a value of that path, or a map of the user's own where it would be.
fn known(values: &Value, path: &str) -> bool {
    let mut place = values;
    for name in path.split('.') {
        match place.get(name) {
            Some(next) => place = next,
            None => return place.as_object().is_some_and(serde_json::Map::is_empty) && place != values,
        }
    }
    true
}

/// Paths of the repository and values of the charts that a command names and that are not there.
fn unknown(line: &str) -> Vec<String> {
    let values = |chart: PathBuf| objects(&read(&chart.join("values.yaml"))).unwrap().remove(0);
    let values = [values(chart()), values(crds_chart())];
    let line = line.split(" #").next().unwrap_or_default();
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || "`()[],\"'".contains(c)).collect();
    let mut wrong = Vec::new();
    for word in &words {
        let path = word.trim_end_matches(['/', ':', ';']).split('*').next().unwrap_or_default();
        let ours = ["charts/", "kustomize/", "crds/", "gitops/", "images/", "docs/", "services/"];
        if ours.iter().any(|start| path.starts_with(start)) && !paths::workspace().join(path).exists() {
            wrong.push((*word).to_owned());
        }
    }
    for (before, word) in words.iter().zip(words.iter().skip(1)) {
        let key = word.split('=').next().unwrap_or_default();
        if *before == "--set" && !values.iter().any(|values| known(values, key)) {
            wrong.push(key.to_owned());
        }
        let targets = read(&paths::workspace().join("Makefile"));
        if *before == "make" && !targets.lines().any(|line| line.starts_with(&format!("{word}:"))) {
            wrong.push(format!("make {word}"));
        }
    }
    wrong
}

#[test]
fn what_the_commands_name_is_there() {
    let mut seen = 0;
    for name in TEXTS {
        for line in code(&read(&paths::workspace().join(name))) {
            assert_eq!(unknown(line), Vec::<String>::new(), "{name}: {line}");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn a_command_that_names_what_is_not_there_is_noticed() {
    for (line, wrong) in [
        ("helm install watchkeeper charts/watchkeper --wait", "charts/watchkeper"),
        ("kubectl apply -k kustomize/overlays/everywhere", "kustomize/overlays/everywhere"),
        ("kubectl apply -f crds/sample/", "crds/sample/"),
        ("  --set image.repo=x --set crds.install=false", "image.repo"),
        ("helm upgrade watchkeeper x --set instance=1 --set instances.create=true", "instances.create"),
        ("make imges IMAGE=x", "make imges"),
    ] {
        assert_eq!(unknown(line), [wrong], "{line}");
    }
    assert!(unknown("--set podLabels.a=b --set image.repository=$image").is_empty());
}

/// The headings of a text as the addresses of its parts.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let headings = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"));
    headings.map(|anchor| anchor.replace([',', '.', '`', ':', '(', ')', '/'], "")).collect()
}

/// Links of a text, below `directory`, that lead nowhere.
fn dead(directory: &Path, text: &str) -> Vec<String> {
    let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let links = links.filter(|link| !link.contains("://"));
    let dead = links.filter(|link| {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let file = directory.join(path);
        let there = path.is_empty() || file.exists();
        let text =
            if path.is_empty() { text.to_owned() } else { fs::read_to_string(&file).unwrap_or_default() };
        !there || !(anchor.is_empty() || anchors(&text).iter().any(|known| known == anchor))
    });
    dead.map(str::to_owned).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    for name in TEXTS {
        let path = paths::workspace().join(name);
        let text = read(&path);
        seen += text.matches("](").count();
        assert_eq!(dead(path.parent().unwrap(), &text), Vec::<String>::new(), "{name}");
    }
    assert!(seen > 20, "{seen}");
    let text =
        "## Known part\n[a](docs/nothing.md) [b](README.md#nowhere) [c](#known-part) [d](https://a.example)";
    assert_eq!(dead(&paths::workspace(), text), ["docs/nothing.md", "README.md#nowhere"]);
}
