use serde_json::json;

use super::*;

fn references(database: DatabaseReferences) -> References {
    References {
        admin_token: "token".to_owned(),
        database,
        project_keys: [("web".to_owned(), "8f14e45f-ceea-467f-a8f4-d4b0ff0f7f4e".to_owned())].into(),
        salt: "SALT".to_owned(),
        site_secret: None,
        objectives: Vec::new(),
        restoring: false,
    }
}

fn managed() -> References {
    references(DatabaseReferences::Managed { password: "secret-enough".to_owned() })
}

fn instance(spec: Value) -> AnalyticsInstance {
    AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap())
}

fn refusal(spec: Value, references: References) -> String {
    validate(&instance(spec), references, &Settings::default()).unwrap_err().to_string()
}

fn external(url: &str) -> (Value, References) {
    (
        json!({"database": {"external": {"urlFrom": {"name": "db", "key": "url"}}}}),
        references(DatabaseReferences::External { url: url.to_owned(), ca: None }),
    )
}

#[test]
fn the_port_of_an_external_database_comes_from_its_url() {
    for (url, expected) in [("postgres://u:p@db.example:6432/x", 6432), ("postgresql://db/x", 5432)] {
        let (spec, found) = external(url);
        let plan = validate(&instance(spec), found, &Settings::default()).unwrap();
        assert!(matches!(plan.database, Database::External { port, .. } if port == expected));
    }
}

#[test]
fn a_secret_without_a_database_url_is_refused_without_showing_it() {
    let (spec, found) = external("mysql://u:hunter2@db/x");
    let error = refusal(spec, found);
    assert!(error.contains("Secret db holds no database URL"), "{error}");
    assert!(!error.contains("hunter2"));
}

#[test]
fn an_image_is_completed_from_the_operators_own() {
    let settings = Settings { image: "registry:5000/wk:1.2".to_owned(), ..Settings::default() };
    let reference = |spec: Value| {
        validate(&instance(json!({"image": spec})), managed(), &settings).unwrap().image.reference
    };
    assert_eq!(reference(json!({})), "registry:5000/wk:1.2");
    assert_eq!(reference(json!({"tag": "2"})), "registry:5000/wk:2");
    assert_eq!(reference(json!({"repository": "mine"})), "mine:1.2");
    assert_eq!(reference(json!({"tag": "sha256:ab"})), "registry:5000/wk@sha256:ab");
}

#[test]
fn another_tag_takes_the_place_of_a_pinned_one_and_of_its_digest() {
    let settings = Settings { image: "registry:5000/wk:1.2@sha256:ab".to_owned(), ..Settings::default() };
    let reference = |spec: Value| {
        validate(&instance(json!({"image": spec})), managed(), &settings).unwrap().image.reference
    };
    assert_eq!(reference(json!({})), "registry:5000/wk@sha256:ab");
    assert_eq!(reference(json!({"tag": "2"})), "registry:5000/wk:2");
}

#[test]
fn a_template_that_is_no_pod_template_is_refused_by_name() {
    let error = refusal(json!({"api": {"podTemplate": {"spec": {"containers": 3}}}}), managed());
    assert!(error.contains("spec.api.podTemplate"), "{error}");
    validate(
        &instance(
            json!({"api": {"podTemplate": {"spec": {"priorityClassName": "high", "nodeSelector": null}}}}),
        ),
        managed(),
        &Settings::default(),
    )
    .unwrap();
}

#[test]
fn a_project_never_writes_into_the_instances_own_secrets() {
    for own in ["shop-admin", "shop-database", "shop-salt"] {
        let spec = json!({"access": {"projects": [{"name": "web", "keySecretName": own}]}});
        let error = refusal(spec, managed());
        assert!(error.contains("choose another keySecretName"), "{error}");
    }
}

#[test]
fn a_password_that_would_mean_something_in_a_url_or_in_sql_is_refused_without_showing_it() {
    let with = |password: &str| references(DatabaseReferences::Managed { password: password.to_owned() });
    for good in ["abcDEF12", "a-b.c_d~e", &"x".repeat(128)] {
        validate(&instance(json!({})), with(good), &Settings::default()).unwrap();
    }
    for bad in
        ["short", "it's12345", "hunter2@host", "hunter2:5432", "with space", "tail\nline12", &"x".repeat(129)]
    {
        let error = refusal(json!({}), with(bad));
        assert!(error.contains("Secret shop-database: password must have"), "{error}");
        assert!(!error.contains(bad), "{error}");
    }
}

#[test]
fn a_copy_is_planned_only_while_it_is_still_to_be_restored() {
    let planned = |restoring: bool| {
        let spec = json!({"database": {"managed": {"restore": {"claimName": "old-backup"}}}});
        let references = References { restoring, ..managed() };
        match validate(&instance(spec), references, &Settings::default()).unwrap().database {
            Database::Managed { restore, .. } => restore.map(|restore| restore.claim_name),
            Database::External { .. } => None,
        }
    };
    assert_eq!(planned(true).as_deref(), Some("old-backup"));
    assert_eq!(planned(false), None);
}

#[test]
fn each_hash_follows_its_own_secrets() {
    let plan = |references| validate(&instance(json!({})), references, &Settings::default()).unwrap();
    let password = references(DatabaseReferences::Managed { password: "another-one".to_owned() });
    assert_ne!(plan(managed()).database_hash, plan(password).database_hash);
    let through = |ca: Option<&str>| {
        let (spec, _) = external("");
        let url = "postgres://u:p@db.example/x".to_owned();
        let found = references(DatabaseReferences::External { url, ca: ca.map(str::to_owned) });
        validate(&instance(spec), found, &Settings::default()).unwrap().database_hash
    };
    assert_eq!(through(Some("one")), through(Some("one")));
    assert_ne!(through(Some("one")), through(Some("two")));
    assert_ne!(through(Some("one")), through(None));
    let (before, other_token) =
        (plan(managed()), References { admin_token: "other".to_owned(), ..managed() });
    let after = plan(other_token);
    assert_ne!(before.admin_hash, after.admin_hash);
    assert_eq!(before.database_hash, after.database_hash);
    // Whoever reads pods must not be able to try passwords on what stands there.
    let elsewhere = plan(References { salt: "OTHER".to_owned(), ..managed() });
    assert_ne!(before.database_hash, elsewhere.database_hash);
    assert_ne!(before.admin_hash, elsewhere.admin_hash);
    // Whether a copy is still to be restored is no reason to start everything anew.
    assert_eq!(before.database_hash, plan(References { restoring: true, ..managed() }).database_hash);
}
