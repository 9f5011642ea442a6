//! From manifests to what this process should do. No store, and no file but the secrets that manifests name.

use std::{collections::BTreeMap, fmt::Display, path::Path, str::FromStr};

use k8s_openapi::api::core::v1;
use uuid::Uuid;
use watchkeeper_api::{channel_spec, endpoint_spec::translate};
use watchkeeper_checker::GuardRules;
use watchkeeper_crds::{
    AnalyticsInstance, MonitoredEndpoint, analytics_instance, durations,
    manifest::{Manifest, secret_text},
    notifications::SecretSource,
    probe_networks::ProbeNetworks,
};
use watchkeeper_logger::enrich::Enricher;
use watchkeeper_runtime::secret::Secret;
use watchkeeper_store::{NewEndpoint, Origin, ProjectId, ProjectSettings, Retention, Store, alerts::Channel};

use super::unread::{Unread, unread};
use crate::cli::{IngestArgs, LocalArgs, SignupArg};
use crate::process::enricher_of;

/// Namespace of a manifest that names none, as `kubectl` has it.
const DEFAULT_NAMESPACE: &str = "default";

/// Key of a project's Secret that holds its API key, as the operator writes it.
const API_KEY: &str = "api-key";

/// What an AnalyticsInstance decides, or the command line without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub signup: SignupArg,
    pub protect_docs: bool,
    pub privacy_level: u8,
    pub honor_gpc: bool,
    pub retention: Retention,
    /// Channels of notices besides those of the instance.
    pub channels: Vec<Channel>,
    /// What probes may ask.
    pub rules: GuardRules,
}

impl Settings {
    pub fn from_args(args: &LocalArgs) -> Self {
        Self {
            signup: args.access.signup(),
            protect_docs: args.docs.protect_docs,
            privacy_level: args.ingest.privacy.privacy_level,
            honor_gpc: args.ingest.honor_gpc,
            retention: args.ingest.retention(),
            channels: Vec::new(),
            rules: args.probes.rules(),
        }
    }

    /// What enriches hits, with the privacy that holds now.
    pub async fn enricher(&self, store: &Store, args: &IngestArgs) -> anyhow::Result<Enricher> {
        enricher_of(store, args.geoip.as_deref(), self.privacy_level, self.honor_gpc).await
    }

    /// Whether routes that were made for `other` are those that these settings want.
    pub fn routes_as(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.signup, it.protect_docs, it.privacy_level, it.honor_gpc);
        of(self) == of(other)
    }

    fn of(instance: &AnalyticsInstance, given: &Given) -> Result<Self, String> {
        let spec = &instance.spec;
        let fallback = &given.settings;
        Ok(Self {
            signup: given.signup.unwrap_or_else(|| signup(instance)),
            protect_docs: spec.access.protect_docs || fallback.protect_docs,
            privacy_level: u8::try_from(spec.privacy.level).unwrap_or(2).max(fallback.privacy_level),
            honor_gpc: spec.privacy.honor_gpc || fallback.honor_gpc,
            retention: Retention {
                hits: spec.retention.hits.as_ref().map(|span| span.get()).or(fallback.retention.hits),
                checks: spec.retention.checks.as_ref().map(|span| span.get()).or(fallback.retention.checks),
            },
            channels: fallback.channels.clone(),
            rules: rules(&spec.probe_networks, &fallback.rules)?,
        })
    }
}

/// What the command line says.
pub struct Given {
    /// What holds without an AnalyticsInstance.
    pub settings: Settings,
    /// Who may write, where a flag or a variable says it: that wins over the instance.
    pub signup: Option<SignupArg>,
    /// How long hits and checks are kept, where flags or variables say it: the instance wins over that.
    pub retention: Retention,
}

impl Given {
    /// What `args` say.
    pub fn new(args: &LocalArgs) -> Self {
        Self {
            settings: Settings::from_args(args),
            signup: args.access.signup,
            retention: args.ingest.retention(),
        }
    }

    /// Where the instance and the command line say different things, and which of them holds.
    fn disputes(&self, instance: &AnalyticsInstance, settings: &Settings) -> Vec<Unread> {
        let mut disputes = Vec::new();
        if settings.signup != signup(instance) {
            disputes.push(Unread::Overruled { field: "spec.access.signup", flag: "--signup" });
        }
        let (given, kept) = (self.retention, settings.retention);
        for (flag, field, given, kept) in [
            ("--retention-hits", "spec.retention.hits", given.hits, kept.hits),
            ("--retention-checks", "spec.retention.checks", given.checks, kept.checks),
        ] {
            if given.is_some() && given != kept {
                disputes.push(Unread::Flag { flag, field });
            }
        }
        disputes
    }
}

/// Who may write, as an instance has it.
fn signup(instance: &AnalyticsInstance) -> SignupArg {
    if instance.spec.access.signup.as_str() == "Closed" { SignupArg::Closed } else { SignupArg::Open }
}

/// A project that the instance names, and its key if a Secret holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedProject {
    pub name: String,
    pub key: Option<Uuid>,
    /// What it wants, where the manifest says it.
    pub settings: Option<ProjectSettings>,
}

/// What the manifests want.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub settings: Settings,
    pub projects: Vec<NamedProject>,
    pub endpoints: Vec<NewEndpoint>,
    pub channels: Vec<Channel>,
    /// What is said to no effect.
    pub unread: Vec<Unread>,
}

type Secrets<'a> = BTreeMap<(&'a str, &'a str), &'a v1::Secret>;

impl Desired {
    /// Derives it, or tells every mistake.
    pub fn derive<'a>(
        manifests: impl Iterator<Item = &'a Manifest>,
        given: &Given,
    ) -> Result<Self, Vec<String>> {
        let fallback = &given.settings;
        let mut errors = Vec::new();
        let mut instances: Vec<&AnalyticsInstance> = Vec::new();
        let mut endpoints: BTreeMap<(&str, &str), &MonitoredEndpoint> = BTreeMap::new();
        let mut secrets = Secrets::new();
        for manifest in manifests {
            match manifest {
                Manifest::AnalyticsInstance(instance) => instances.push(instance),
                Manifest::MonitoredEndpoint(endpoint) => {
                    let id = identity(&endpoint.metadata);
                    if endpoints.insert(id, endpoint).is_some() {
                        errors
                            .push(format!("MonitoredEndpoint {}/{} is there twice; rename one", id.0, id.1));
                    }
                }
                Manifest::Secret(secret) => drop(secrets.insert(identity(&secret.metadata), secret)),
                Manifest::Ignored(_) => {}
            }
        }
        if instances.len() > 1 {
            let names: Vec<_> = instances.iter().map(|instance| identity(&instance.metadata).1).collect();
            errors.push(format!(
                "one process is one installation, and there are several AnalyticsInstances: {}; \
                 run one process for each, with its own --data",
                names.join(", ")
            ));
        }
        let instance = instances.first().copied();
        let wanted = endpoints
            .into_iter()
            .filter_map(|(id, endpoint)| match new_endpoint(id, endpoint, instance, &secrets) {
                Ok(new) => Some(new),
                Err(error) => {
                    errors.push(format!("MonitoredEndpoint {}/{}: {error}", id.0, id.1));
                    None
                }
            })
            .collect();
        let mut channels =
            instance.map_or_else(Vec::new, |instance| channels(instance, &secrets, &mut errors));
        let projects = instance.map_or_else(Vec::new, |instance| projects(instance, &secrets, &mut errors));
        let settings = match instance.map(|instance| (instance, Settings::of(instance, given))) {
            None => fallback.clone(),
            Some((_, Ok(settings))) => settings,
            Some((instance, Err(error))) => {
                let (namespace, name) = identity(&instance.metadata);
                errors.push(format!("AnalyticsInstance {namespace}/{name}: {error}"));
                fallback.clone()
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        channels.extend(settings.channels.iter().cloned());
        let unread = instance.map_or_else(Vec::new, |instance| {
            let mut all = unread(&instance.spec);
            all.extend(given.disputes(instance, &settings));
            all
        });
        Ok(Self { settings, projects, endpoints: wanted, channels, unread })
    }
}

fn identity(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> (&str, &str) {
    (metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE), metadata.name.as_deref().unwrap_or_default())
}

fn new_endpoint(
    (namespace, name): (&str, &str),
    endpoint: &MonitoredEndpoint,
    instance: Option<&AnalyticsInstance>,
    secrets: &Secrets<'_>,
) -> Result<NewEndpoint, String> {
    let reference = &endpoint.spec.instance_ref;
    if let Some(instance) = instance {
        let wanted = (reference.namespace.as_deref().unwrap_or(namespace), reference.name.as_str());
        let found = identity(&instance.metadata);
        if wanted != found {
            return Err(format!(
                "spec.instanceRef: there is no AnalyticsInstance {}/{}; the one here is {}/{}",
                wanted.0, wanted.1, found.0, found.1
            ));
        }
    }
    let secret = |secret: &str, key: &str| secret_text(secrets.get(&(namespace, secret))?, key);
    let spec = translate(&endpoint.spec, name, secret).map_err(|error| error.to_string())?;
    Ok(NewEndpoint {
        uid: format!("manifest/{namespace}/{name}"),
        origin: Origin::Manifest,
        project: ProjectId::INSTALLATION,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        generation: 1,
        spec,
    })
}

/// The channels, with secrets from Secrets of the manifests, the environment and files.
fn channels(instance: &AnalyticsInstance, secrets: &Secrets<'_>, errors: &mut Vec<String>) -> Vec<Channel> {
    let (namespace, name) = identity(&instance.metadata);
    let find = |source: &SecretSource| match source {
        SecretSource { secret_key_ref: Some(reference), .. } => secrets
            .get(&(namespace, reference.name.as_str()))
            .and_then(|secret| secret_text(secret, &reference.key))
            .map(|text| text.trim().to_owned())
            .ok_or_else(|| {
                format!("there is no Secret `{}` with a key `{}`; add it", reference.name, reference.key)
            }),
        SecretSource { env: Some(name), .. } => std::env::var(name)
            .map(|text| text.trim().to_owned())
            .map_err(|_| format!("the environment has no variable `{name}`; set it")),
        SecretSource { file: Some(file), .. } => Secret::from_file(Path::new(file))
            .map(|secret| secret.expose().to_owned())
            .map_err(|error| error.to_string()),
        _ => Err("set exactly one of secretKeyRef, env and file".to_owned()),
    };
    channel_spec::channels(&instance.spec.notifications, find).unwrap_or_else(|error| {
        errors.push(format!("AnalyticsInstance {namespace}/{name}: {error}"));
        Vec::new()
    })
}

fn projects(
    instance: &AnalyticsInstance,
    secrets: &Secrets<'_>,
    errors: &mut Vec<String>,
) -> Vec<NamedProject> {
    let (namespace, _) = identity(&instance.metadata);
    let mut found = Vec::new();
    for project in &instance.spec.access.projects {
        let text = secrets
            .get(&(namespace, project.key_secret_name.as_str()))
            .and_then(|secret| secret_text(secret, API_KEY));
        match text.map(|text| text.trim().parse()).transpose() {
            Ok(key) => found.push(NamedProject {
                name: project.name.clone(),
                key,
                settings: project.settings.as_ref().map(settings),
            }),
            // The text itself is a secret and stays unsaid.
            Err(_) => errors
                .push(format!("Secret {namespace}/{}: `{API_KEY}` must be a UUID", project.key_secret_name)),
        }
    }
    found
}

/// What an instance lets probes ask beside what the command line does.
fn rules(networks: &ProbeNetworks, given: &GuardRules) -> Result<GuardRules, String> {
    fn add<T: FromStr<Err: Display>>(to: &mut Vec<T>, field: &str, texts: &[String]) -> Result<(), String> {
        for text in texts {
            let value =
                text.parse().map_err(|error| format!("spec.probeNetworks.{field}: `{text}`: {error}"))?;
            to.push(value);
        }
        Ok(())
    }
    let mut rules = given.clone();
    add(&mut rules.allow, "allow", &networks.allow)?;
    add(&mut rules.deny, "deny", &networks.deny)?;
    add(&mut rules.metadata, "allowMetadata", &networks.allow_metadata)?;
    let hosts: Vec<String> =
        networks.limits().map(|(namespace, host)| format!("{namespace}={host}")).collect();
    add(&mut rules.hosts, "hosts", &hosts)?;
    Ok(rules)
}

fn settings(wanted: &analytics_instance::ProjectSettings) -> ProjectSettings {
    ProjectSettings {
        retention_hits: wanted.retention_hits.as_deref().and_then(|age| durations::parse(age).ok()),
        privacy_level: wanted.privacy_level.and_then(|level| u8::try_from(level).ok()),
        honor_gpc: wanted.honor_gpc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_crds::manifest::parse;
    use watchkeeper_store::Probe;

    const INSTANCE: &str = "
apiVersion: watchkeeper.dev/v1alpha1
kind: AnalyticsInstance
metadata: {name: main}
spec:
  database: {managed: {}}
  access: {signup: Closed, projects: [{name: shop, keySecretName: shop-key, settings: {honorGpc: true, retentionHits: 30d}}]}
  privacy: {level: 1, honorGpc: true}
  retention: {hits: 90d}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-key}
stringData: {api-key: 00000000-0000-4000-8000-000000000001, token: Bearer x}
---
";
    const ENDPOINT: &str = "
apiVersion: watchkeeper.dev/v1alpha1
kind: MonitoredEndpoint
metadata: {name: front}
spec:
  instanceRef: {name: main}
  http:
    url: https://example.com/
    headers: [{name: Authorization, valueFrom: {secretKeyRef: {name: shop-key, key: token}}}]
";

    fn fallback() -> Settings {
        Settings {
            signup: SignupArg::Open,
            protect_docs: false,
            privacy_level: 0,
            honor_gpc: false,
            retention: Retention::default(),
            channels: Vec::new(),
            rules: GuardRules::default(),
        }
    }

    fn given(settings: Settings) -> Given {
        Given { settings, signup: None, retention: Retention::default() }
    }

    fn derive(text: &str) -> Result<Desired, Vec<String>> {
        Desired::derive(parse(text).expect("manifests").iter(), &given(fallback()))
    }

    #[test]
    fn an_instance_decides_settings_projects_and_secrets() {
        let desired = derive(&format!("{INSTANCE}{ENDPOINT}")).expect("desired");
        assert_eq!(desired.settings.signup, SignupArg::Closed);
        assert_eq!(desired.settings.privacy_level, 1);
        assert!(desired.settings.honor_gpc);
        let settings = desired.projects[0].settings.expect("settings");
        assert!(settings.honor_gpc && settings.privacy_level.is_none());
        assert_eq!(settings.retention_hits.map(|age| age.as_secs()), Some(30 * 86_400));
        assert_eq!(desired.settings.retention.hits.map(|age| age.as_secs()), Some(90 * 86_400));
        assert_eq!(desired.projects[0].key, "00000000-0000-4000-8000-000000000001".parse().ok());
        let Probe::Http(http) = &desired.endpoints[0].spec.probe else { panic!("not by HTTP") };
        assert_eq!(http.headers, [("Authorization".to_owned(), "Bearer x".to_owned())]);
        assert_eq!(desired.endpoints[0].uid, "manifest/default/front");
    }

    #[test]
    fn routes_stay_as_they_are_when_only_retention_or_what_probes_may_ask_changes() {
        let before = derive(INSTANCE).expect("desired").settings;
        for (from, to, stay) in [
            ("hits: 90d", "hits: 30d", true),
            ("  retention:", "  probeNetworks: {deny: [10.0.0.0/8]}\n  retention:", true),
            ("signup: Closed", "signup: Open", false),
            ("level: 1", "level: 2", false),
            ("honorGpc: true}\n", "honorGpc: false}\n", false),
            ("access: {", "access: {protectDocs: true, ", false),
        ] {
            let after = derive(&INSTANCE.replacen(from, to, 1)).expect("desired").settings;
            assert_ne!(after, before, "{to}");
            assert_eq!(after.routes_as(&before), stay, "{to}");
        }
    }

    #[test]
    fn the_documentation_is_protected_if_the_instance_or_the_command_line_says_so() {
        let protected = INSTANCE.replacen("access: {", "access: {protectDocs: true, ", 1);
        for (text, protect_docs, wanted) in
            [(INSTANCE, false, false), (INSTANCE, true, true), (protected.as_str(), false, true)]
        {
            let given = given(Settings { protect_docs, ..fallback() });
            let manifests = parse(text).expect("manifests");
            let desired = Desired::derive(manifests.iter(), &given).expect("desired");
            assert_eq!(desired.settings.protect_docs, wanted, "{text}");
        }
    }

    #[test]
    fn a_flag_says_who_may_write_whatever_the_instance_says_and_the_loser_is_told() {
        use SignupArg::{Closed, Open};
        let told = "spec.access.signup of the AnalyticsInstance has no effect: --signup says otherwise";
        for (signup, holds, told) in
            [(None, Closed, None), (Some(Closed), Closed, None), (Some(Open), Open, Some(told))]
        {
            let given = Given { signup, ..given(fallback()) };
            let manifests = parse(INSTANCE).expect("manifests");
            let desired = Desired::derive(manifests.iter(), &given).expect("desired");
            assert_eq!(desired.settings.signup, holds, "{signup:?}");
            let warned: Vec<_> = desired.unread.iter().map(ToString::to_string).collect();
            assert_eq!(warned, Vec::from_iter(told), "{signup:?}");
        }
    }

    #[test]
    fn an_instance_says_how_long_hits_are_kept_and_a_flag_that_says_otherwise_is_told() {
        let days = |days: u64| Some(std::time::Duration::from_secs(days * 86_400));
        let told =
            "--retention-hits has no effect: spec.retention.hits of the AnalyticsInstance says otherwise";
        for (hits, told) in [(days(30), Some(told)), (days(90), None), (None, None)] {
            let retention = Retention { hits, checks: days(7) };
            let given = Given { retention, ..given(Settings { retention, ..fallback() }) };
            let manifests = parse(INSTANCE).expect("manifests");
            let desired = Desired::derive(manifests.iter(), &given).expect("desired");
            assert_eq!(desired.settings.retention, Retention { hits: days(90), checks: days(7) });
            let warned: Vec<_> = desired.unread.iter().map(ToString::to_string).collect();
            assert_eq!(warned, Vec::from_iter(told), "{hits:?}");
        }
    }

    #[test]
    fn without_an_instance_the_command_line_decides() {
        let plain = ENDPOINT.split("    headers").next().expect("text");
        assert_eq!(derive(plain).expect("desired").settings, fallback());
    }

    #[test]
    fn an_instance_adds_to_what_the_command_line_says_of_probes() {
        let deny = vec!["10.1.0.0/16".parse().expect("network")];
        let given = given(Settings { rules: GuardRules { deny, ..GuardRules::default() }, ..fallback() });
        let networks = "spec:\n  probeNetworks: {allow: [10.0.0.0/8], deny: [10.2.0.0/16], allowMetadata: [169.254.169.254], \
                        hosts: [{namespace: default, hosts: [example.com, '*.example.com']}]}\n";
        let text = INSTANCE.replacen("spec:\n", networks, 1);
        let manifests = parse(&text).expect("manifests");
        let rules = Desired::derive(manifests.iter(), &given).expect("desired").settings.rules;
        assert_eq!(rules.deny, ["10.1.0.0/16", "10.2.0.0/16"].map(|it| it.parse().expect("network")));
        assert_eq!((rules.allow.len(), rules.metadata.len(), rules.hosts.len()), (1, 1, 2));
        let odd = ProbeNetworks { deny: vec!["10.2.0.0/99".into()], ..ProbeNetworks::default() };
        let error = super::rules(&odd, &GuardRules::default()).expect_err("mistake");
        assert!(error.contains("spec.probeNetworks.deny: `10.2.0.0/99`"), "{error}");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let other = INSTANCE.replace("name: main", "name: other");
        let errors = derive(&format!("{other}{ENDPOINT}---{ENDPOINT}")).expect_err("mistakes");
        let all = errors.join("\n");
        assert!(all.contains("front is there twice"), "{all}");
        assert!(
            all.contains("there is no AnalyticsInstance default/main; the one here is default/other"),
            "{all}"
        );
        let errors = derive(ENDPOINT).expect_err("mistake").join("\n");
        assert!(errors.contains("there is no Secret `shop-key` with a key `token`"), "{errors}");
    }
}
