//! Whatever filter is sent, it is answered or refused with the field at fault, and what is answered
//! are the hits that the filter means.

mod common;

use common::{ADMIN, Client, client, sqlite};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_store::Hit;

/// Any JSON, often close to a filter.
fn anything() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "is", "is_not", "contains", "matches", "like", "glob", ">", "<=", "and", "or", "not", "path",
        "status", "duration", "bot", "time:day", "nonsense", "(", "[", "a*", "%", "_not", "",
    ]);
    let leaf = prop_oneof![
        words.prop_map(|word| json!(word)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|flag| json!(flag)),
        Just(Value::Null),
        ".{0,8}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec(("[a-z_]{0,14}", inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A test of a hit, as a filter and as what it means.
#[derive(Debug, Clone)]
enum Meaning {
    Is(Vec<Option<String>>),
    Contains(String, bool),
    Least(i64),
    Not(Box<Meaning>),
    All(Vec<Meaning>),
    Any(Vec<Meaning>),
}

impl Meaning {
    fn filter(&self) -> Value {
        match self {
            Self::Is(values) => json!(["is", "path", values]),
            Self::Contains(text, true) => json!(["contains", "path", [text]]),
            Self::Contains(text, false) => json!(["contains", "path", [text], { "case_sensitive": false }]),
            Self::Least(status) => json!([">=", "status", [status]]),
            Self::Not(inner) => json!(["not", inner.filter()]),
            Self::All(all) => json!(["and", all.iter().map(Self::filter).collect::<Vec<_>>()]),
            Self::Any(any) => json!(["or", any.iter().map(Self::filter).collect::<Vec<_>>()]),
        }
    }

    fn holds(&self, hit: &Hit) -> bool {
        match self {
            Self::Is(values) => values.contains(&hit.path),
            Self::Contains(text, true) => hit.path.as_ref().is_some_and(|path| path.contains(text)),
            Self::Contains(text, false) => {
                hit.path.as_ref().is_some_and(|path| path.to_lowercase().contains(&text.to_lowercase()))
            }
            Self::Least(least) => hit.status.is_some_and(|status| i64::from(status) >= *least),
            Self::Not(inner) => !inner.holds(hit),
            Self::All(all) => all.iter().all(|one| one.holds(hit)),
            Self::Any(any) => any.iter().any(|one| one.holds(hit)),
        }
    }
}

fn path() -> impl Strategy<Value = String> {
    "[aAb/é]{0,3}"
}

fn meaning() -> impl Strategy<Value = Meaning> {
    let leaf = prop_oneof![
        prop::collection::vec(prop::option::of(path()), 1..4).prop_map(Meaning::Is),
        (path(), any::<bool>()).prop_map(|(text, sensitive)| Meaning::Contains(text, sensitive)),
        (100_i64..600).prop_map(Meaning::Least),
    ];
    leaf.prop_recursive(4, 20, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Meaning::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Meaning::All),
            prop::collection::vec(inner, 1..4).prop_map(Meaning::Any),
        ]
    })
}

fn hits() -> impl Strategy<Value = Vec<Hit>> {
    let one = (prop::option::of(path()), prop::option::of(100..600_i32));
    let one = one.prop_map(|(path, status)| Hit { ts: 5, path, status, ..Hit::default() });
    prop::collection::vec(one, 1..30)
}

async fn ask(client: &Client, project: i64, filters: &Value) -> (u16, Value) {
    let body = json!({
        "project": project, "date_range": ["1970-01-01", "1970-01-01"], "metrics": ["hits"], "filters": filters,
    });
    let answer = client.call("POST", "/api/v1/query", &[ADMIN], body.to_string()).await;
    (answer.status, answer.json())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn any_json_as_filters_is_answered_or_refused_by_its_field() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let (fresh, client) = runtime.block_on(async {
        let fresh = sqlite().await;
        let client = client(&fresh.store).await;
        (fresh, client)
    });
    let project = runtime.block_on(fresh.store.register_key(Uuid::new_v4())).expect("register").id.0;
    runner(400)
        .run(
            &prop_oneof![anything(), prop::collection::vec(anything(), 0..3).prop_map(Value::Array)],
            |filters| {
                let (status, answer) = runtime.block_on(ask(&client, project, &filters));
                let named = answer["field"].as_str().is_some_and(|field| field.starts_with("filters"));
                prop_assert!(status == 200 || (status == 422 && named), "{status}: {answer}");
                Ok(())
            },
        )
        .expect("an answer or a refusal");
}

#[test]
fn a_filter_chooses_the_hits_that_it_means() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let (fresh, client) = runtime.block_on(async {
        let fresh = sqlite().await;
        let client = client(&fresh.store).await;
        (fresh, client)
    });
    runner(60)
        .run(&(hits(), meaning()), |(hits, meaning)| {
            let meant = hits.iter().filter(|hit| meaning.holds(hit)).count();
            let (status, answer) = runtime.block_on(async {
                let project = fresh.store.register_key(Uuid::new_v4()).await.expect("register").id;
                fresh.store.append(project, hits).await.expect("append");
                ask(&client, project.0, &json!([meaning.filter()])).await
            });
            prop_assert_eq!(status, 200, "{}", answer);
            prop_assert_eq!(&answer["results"][0]["metrics"][0], &json!(meant));
            Ok(())
        })
        .expect("the hits that are meant");
}

#[tokio::test]
async fn patterns_are_counted_and_expressions_weighed_together_over_a_whole_request() {
    let fresh = sqlite().await;
    let client = client(&fresh.store).await;
    let project = fresh.store.register_key(Uuid::new_v4()).await.expect("register").id.0;
    let many = |pattern: &str, count: usize| vec![pattern.to_owned(); count];
    let refused = async |filters: Value| {
        let (status, answer) = ask(&client, project, &filters).await;
        assert_eq!(status, 422, "{answer}");
        answer["field"].as_str().map(str::to_owned).expect("a field")
    };

    let (globs, expressions) = (json!(["glob", "path", many("*a*", 30)]), many("^/a", 20));
    let (status, answer) = ask(&client, project, &json!([globs, ["matches_not", "path", expressions]])).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(refused(json!([globs, ["like", "path", many("%a", 21)]])).await, "filters[1][2][20]");
    assert_eq!(
        refused(json!([globs, ["not", ["matches", "path", many("a", 21)]]])).await,
        "filters[1][1][2][20]"
    );

    // Values of 4,096 bytes together.
    let long = |operator: &str, count| json!([operator, "path", many(&"a".repeat(512), count)]);
    assert_eq!(ask(&client, project, &json!([long("glob", 5), long("like", 3)])).await.0, 200);
    assert_eq!(refused(json!([long("glob", 5), long("like_not", 4)])).await, "filters[1][2][3]");
    assert_eq!(refused(json!([long("glob", 9)])).await, "filters[0][2][8]");

    // Each of these may be asked for, also twice, and not fifty times.
    let large = |count| json!(["matches", "path", many(r"\w{20}", count)]);
    assert_eq!(ask(&client, project, &json!([large(2)])).await.0, 200);
    let field = refused(json!([large(2), large(48)])).await;
    assert!(field.starts_with("filters[1][2]["), "{field}");
}
