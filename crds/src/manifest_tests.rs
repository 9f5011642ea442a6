use super::*;

const SAMPLES: [&str; 2] =
    [include_str!("../samples/analyticsinstance.yaml"), include_str!("../samples/monitoredendpoint.yaml")];

fn endpoint(spec: &str) -> String {
    let head = "apiVersion: watchkeeper.dev/v1alpha1\nkind: MonitoredEndpoint\nmetadata: {name: front}\nspec:\n  instanceRef: {name: shop}\n";
    format!("{head}{spec}")
}

fn only_error(text: &str) -> ManifestError {
    let errors = parse(text).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[test]
fn both_samples_are_valid_and_get_their_defaults() {
    let all = parse(&SAMPLES.join("\n---\n")).unwrap();
    let [Manifest::AnalyticsInstance(instance), Manifest::MonitoredEndpoint(endpoint)] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(instance.spec.api.scaling(), crate::autoscaling::Scaling::Fixed(1));
    assert!(instance.spec.network_policy.enabled);
    assert_eq!(instance.spec.database.managed.as_ref().unwrap().storage.size, "10Gi");
    assert_eq!(endpoint.spec.interval.as_str(), "30s");
    assert_eq!(endpoint.spec.http.as_ref().unwrap().expected_status, ["2xx"]);
}

#[test]
fn an_unknown_field_is_refused_with_its_path() {
    let error = only_error(&endpoint("  http: {url: 'http://a', metod: GET}\n"));
    assert_eq!(error.path, "spec.http.metod");
    assert_eq!(
        error.to_string(),
        "document 1 (MonitoredEndpoint/front): spec.http.metod: unknown field; remove it or correct its spelling"
    );
}

#[test]
fn a_rule_of_the_schema_speaks_in_its_own_words() {
    let error = only_error(&endpoint("  interval: 1s\n  timeout: 1m\n  http: {url: 'http://a'}\n"));
    assert_eq!(error.message, "timeout must not be longer than interval");
    assert_eq!(error.path, "spec");
    let error = only_error(
        "apiVersion: watchkeeper.dev/v1alpha1\nkind: AnalyticsInstance\nmetadata: {name: shop}\nspec: {retention: {hits: 0d}}\n",
    );
    assert!(error.message.starts_with("hits must be kept longer than nothing"), "{error}");
}

#[test]
fn missing_fields_wrong_words_and_wrong_forms_say_what_to_do() {
    let error = only_error(&endpoint("  http: {}\n"));
    assert_eq!((error.path.as_str(), error.fix.as_str()), ("spec.http.url", "add it"));
    let error = only_error(&endpoint("  http: {url: 'http://a', method: FETCH}\n"));
    assert!(error.fix.starts_with("use one of GET, HEAD"), "{error}");
    let error = only_error(&endpoint("  interval: often\n  http: {url: 'http://a'}\n"));
    assert!(error.fix.contains("30s, 5m"), "{error}");
}

#[test]
fn every_mistake_of_every_document_is_reported() {
    let text = format!(
        "{}---\n{}",
        endpoint("  http: {url: 'http://a', x: 1, y: 2}\n"),
        endpoint("  interval: 5\n  http: {url: 'http://a'}\n"),
    );
    let errors = parse(&text).unwrap_err();
    let documents: Vec<usize> = errors.iter().map(|error| error.document).collect();
    assert_eq!(documents, [1, 1, 2]);
}

#[test]
fn an_explicit_null_counts_as_absent() {
    parse(&endpoint("  group: null\n  interval: null\n  http: {url: 'http://a'}\n")).unwrap();
}

#[test]
fn secrets_are_kept_and_strangers_are_named() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {a: b}\ndata: {c: ZA==}\n---\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    let all = parse(text).unwrap();
    let [Manifest::Secret(secret), Manifest::Ignored(stranger)] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(secret_text(secret, "a").as_deref(), Some("b"));
    assert_eq!(secret_text(secret, "c").as_deref(), Some("d"));
    assert_eq!(secret_text(secret, "x"), None);
    assert!(stranger.to_string().contains("apps/v1 Deployment web is not read here"));
}

#[test]
fn objects_inside_a_list_are_read() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: watchkeeper.dev/v1alpha1\n  kind: AnalyticsInstance\n  metadata: {name: shop}\n  spec: {}\n";
    assert!(matches!(&parse(text).unwrap()[..], [Manifest::AnalyticsInstance(_)]));
}

#[test]
fn broken_yaml_a_missing_kind_and_a_wrong_version_are_told_apart() {
    assert!(only_error("a: [").message.contains("not YAML"));
    assert!(only_error("metadata: {name: x}").message.contains("apiVersion and kind"));
    let error = only_error("apiVersion: watchkeeper.dev/v1\nkind: MonitoredEndpoint\nmetadata: {name: x}\n");
    assert!(error.fix.contains("watchkeeper.dev/v1alpha1"), "{error}");
    let error = only_error("apiVersion: watchkeeper.dev/v1alpha1\nkind: AnalyticsInstance\nspec: {}\n");
    assert_eq!(error.path, "metadata.name");
}

#[test]
fn values_of_kubernetes_types_are_checked_and_overrides_are_free() {
    let head = "apiVersion: watchkeeper.dev/v1alpha1\nkind: AnalyticsInstance\nmetadata: {name: shop}\n";
    parse(&format!("{head}spec: {{logger: {{resources: {{limits: {{cpu: 2, memory: 1Gi}}}}, podTemplate: {{spec: {{anything: [1]}}}}}}}}\n")).unwrap();
    let error = only_error(&format!("{head}spec: {{logger: {{resources: {{limitz: {{}}}}}}}}\n"));
    assert_eq!(error.path, "spec.logger.resources.limitz");
}

#[test]
fn no_mistake_repeats_the_value_of_a_header() {
    let long = format!("s3cret{}", "x".repeat(9_000));
    for header in [
        "{name: Authorization, value: [s3cret]}".to_owned(),
        "{name: Authorization, value: {a: s3cret}}".to_owned(),
        format!("{{name: Authorization, value: {long}}}"),
        "{name: A, value: s3cret, valueFrom: {secretKeyRef: {name: n, key: k}}}".to_owned(),
        "s3cret".to_owned(),
    ] {
        let errors =
            parse(&endpoint(&format!("  http: {{url: 'http://a', headers: [{header}]}}\n"))).unwrap_err();
        assert!(errors.iter().all(|error| !error.to_string().contains("s3cret")), "{errors:?}");
    }
}
