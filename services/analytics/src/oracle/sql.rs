//! A question as SQL, for SQLite to answer.

use std::collections::BTreeMap;

use sqlx::{Connection, Executor, Row as _, SqliteConnection};
use watchkeeper_store::Hit;

use crate::{Bucket, Comparison, Condition, Dimension, Field, Metric, Panel, Question, Table, Test, Value};

/// Numbers by key; an unknown value of the key is `None`.
pub(super) type Rows = BTreeMap<Vec<Option<String>>, Vec<Option<f64>>>;

/// A database of its own with these hits as plain rows.
pub(super) async fn load(hits: &[Hit]) -> SqliteConnection {
    let mut database = SqliteConnection::connect("sqlite::memory:").await.expect("sqlite");
    database
        .execute(
            "PRAGMA case_sensitive_like = ON; CREATE TABLE hits (ts INTEGER, method TEXT, host TEXT, path TEXT, \
             query TEXT, route TEXT, status INTEGER, duration_us INTEGER, request_bytes INTEGER, \
             response_bytes INTEGER, ip TEXT, user_agent TEXT, user TEXT, referrer TEXT, country TEXT, \
             client TEXT, bot TEXT, visitor INTEGER)",
        )
        .await
        .expect("table");
    for hit in hits {
        sqlx::query("INSERT INTO hits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(hit.ts)
            .bind(&hit.method)
            .bind(&hit.host)
            .bind(&hit.path)
            .bind(&hit.query)
            .bind(&hit.route)
            .bind(hit.status)
            .bind(hit.duration_us)
            .bind(hit.request_bytes)
            .bind(hit.response_bytes)
            .bind(&hit.ip)
            .bind(&hit.user_agent)
            .bind(&hit.user)
            .bind(&hit.referrer)
            .bind(&hit.country)
            .bind(&hit.client)
            .bind(hit.bot.map(|bot| bot.to_string()))
            .bind(hit.visitor)
            .execute(&mut database)
            .await
            .expect("insert");
    }
    database
}

/// Answers a panel; gives the statement too, for whoever has to look into a difference.
pub(super) async fn ask(
    database: &mut SqliteConnection,
    question: &Question,
    panel: &Panel,
) -> (String, Rows) {
    let keys: Vec<String> = panel.dimensions.iter().map(|it| dimension(*it, question.from)).collect();
    let key_columns: String =
        keys.iter().enumerate().map(|(place, key)| format!("CAST({key} AS TEXT) AS key{place}, ")).collect();
    let names: Vec<String> = (0..keys.len()).map(|place| format!("key{place}")).collect();
    let by = names.join(", ");
    let (partition, grouping) = if names.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("PARTITION BY {by}"), format!("GROUP BY {by}"))
    };
    let condition = format!(
        "{} AND {}",
        self::condition(&question.condition, question.from),
        self::condition(&panel.condition, question.from)
    );
    // Visits are numbered over all hits of the range, before the condition applies.
    let with = format!(
        "WITH gaps AS (SELECT *, ts - LAG(ts) OVER (PARTITION BY ts / 86400000, visitor ORDER BY ts, rowid) AS gap, \
             rowid AS place FROM hits WHERE ts >= {from} AND ts < {to}), \
         visits AS (SELECT *, CASE WHEN visitor IS NOT NULL THEN (ts / 86400000) || ':' || visitor || ':' || \
             SUM(gap IS NULL OR gap >= {idle}) OVER (PARTITION BY ts / 86400000, visitor ORDER BY ts, place) END AS visit \
             FROM gaps), \
         meant AS (SELECT *, {key_columns} 1 AS one FROM visits WHERE {condition}), \
         ranked AS (SELECT *, ROW_NUMBER() OVER ({partition} ORDER BY duration_us IS NULL, duration_us) AS rank, \
             COUNT(duration_us) OVER ({partition}) AS timed FROM meant)",
        from = question.from,
        to = question.to,
        idle = question.session_idle,
    );
    let columns: Vec<String> = names
        .iter()
        .cloned()
        .chain(panel.metrics.iter().map(|it| format!("CAST({} AS REAL)", metric(*it))))
        .collect();
    let statement = format!("{with} SELECT {} FROM ranked {grouping}", columns.join(", "));
    let answer = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
        .fetch_all(database)
        .await
        .unwrap_or_else(|error| panic!("{error}: {statement}"));
    let rows = answer
        .iter()
        .map(|row| {
            let key = (0..names.len()).map(|place| row.get::<Option<String>, _>(place)).collect();
            let numbers = (names.len()..columns.len()).map(|place| row.get::<Option<f64>, _>(place));
            (key, numbers.collect())
        })
        .collect();
    (statement, rows)
}

/// The rows of a table of ours.
pub(super) fn rows(table: &Table) -> Rows {
    let text = |value: &Value| match value {
        Value::Unknown => None,
        known => Some(known.to_string()),
    };
    table.rows.iter().map(|row| (row.key.iter().map(text).collect(), row.metrics.clone())).collect()
}

/// Equal but for the last digits of numbers.
#[track_caller]
pub(super) fn assert_same(found: &Rows, wanted: &Rows, context: &str) {
    let keys = |rows: &Rows| rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(wanted), "{context}");
    for (key, wanted) in wanted {
        let close = |one: &Option<f64>, other: &Option<f64>| match (one, other) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(1.0),
            (None, None) => true,
            _ => false,
        };
        let same = found[key].iter().zip(wanted).all(|(one, other)| close(one, other));
        assert!(same, "{key:?}: {:?} instead of {wanted:?}; {context}", found[key]);
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn dimension(dimension: Dimension, from: i64) -> String {
    match dimension {
        Dimension::Time(Bucket::Minute) => "ts - ts % 60000".into(),
        Dimension::Time(Bucket::Hour) => "ts - ts % 3600000".into(),
        Dimension::Time(Bucket::Day) => "ts - ts % 86400000".into(),
        Dimension::Time(Bucket::Seconds(seconds)) => {
            format!("ts - (ts - {from}) % {}", i64::from(seconds) * 1_000)
        }
        Dimension::HourOfDay => "ts / 3600000 % 24".into(),
        // 1970-01-01 was a Thursday.
        Dimension::Weekday => "(ts / 86400000 + 3) % 7 + 1".into(),
        Dimension::Route => "COALESCE(route, path)".into(),
        Dimension::Consumer => "COALESCE(user, ip)".into(),
        Dimension::StatusClass => "((status - (status % 100 + 100) % 100) / 100) || 'xx'".into(),
        column => column.to_string(),
    }
}

fn metric(metric: Metric) -> String {
    let share = |good: &str| format!("1.0 * SUM({good}) / COUNT(status)");
    match metric {
        Metric::Hits => "COUNT(*)".into(),
        Metric::Visitors => "COUNT(DISTINCT (ts / 86400000) || ':' || visitor)".into(),
        Metric::Users => "COUNT(DISTINCT COALESCE(user, ip))".into(),
        Metric::Addresses => "COUNT(DISTINCT ip)".into(),
        Metric::Sessions => "COUNT(DISTINCT visit)".into(),
        Metric::RequestBytes => "COALESCE(SUM(request_bytes), 0)".into(),
        Metric::ResponseBytes => "COALESCE(SUM(response_bytes), 0)".into(),
        Metric::Errors => "COALESCE(SUM(status >= 400), 0)".into(),
        Metric::ErrorRate => share("status >= 400"),
        Metric::SuccessRate => share("status BETWEEN 200 AND 399"),
        Metric::MeanDuration => "AVG(duration_us) / 1000".into(),
        Metric::MinDuration => "MIN(duration_us) / 1000.0".into(),
        Metric::MaxDuration => "MAX(duration_us) / 1000.0".into(),
        Metric::Duration(permille) => {
            format!(
                "MAX(CASE WHEN rank = MAX(1, (timed * {permille} + 999) / 1000) THEN duration_us END) / 1000.0"
            )
        }
        Metric::FirstSeen => "MIN(ts)".into(),
        Metric::LastSeen => "MAX(ts)".into(),
    }
}

fn condition(condition: &Condition, from: i64) -> String {
    let several = |all: &[Condition], joint: &str, none: &str| {
        let all: Vec<String> = all.iter().map(|one| self::condition(one, from)).collect();
        if all.is_empty() { none.to_owned() } else { format!("({})", all.join(joint)) }
    };
    match condition {
        Condition::All(all) => several(all, " AND ", "1"),
        Condition::Any(any) => several(any, " OR ", "0"),
        Condition::Not(condition) => format!("(NOT {})", self::condition(condition, from)),
        Condition::Text { dimension, test, .. } => {
            let text = format!("CAST({} AS TEXT)", self::dimension(*dimension, from));
            let tests: Vec<String> = match test {
                Test::Is(values) => values
                    .iter()
                    .map(|value| match value {
                        None => format!("{text} IS NULL"),
                        Some(value) => format!("{text} = {}", literal(value)),
                    })
                    .collect(),
                Test::Contains(parts) => {
                    parts.iter().map(|part| format!("INSTR({text}, {}) > 0", literal(part))).collect()
                }
                Test::Like(pattern) => vec![format!("{text} LIKE {} ESCAPE '\\'", literal(pattern))],
                Test::Glob(_) | Test::Matches(_) => panic!("not asked in SQL"),
            };
            let tests: Vec<String> = tests.iter().map(|test| format!("COALESCE({test}, 0)")).collect();
            if tests.is_empty() { "0".into() } else { format!("({})", tests.join(" OR ")) }
        }
        Condition::Number { field, comparison, value } => {
            let number = match field {
                Field::Status => "status",
                Field::Duration => "duration_us / 1000.0",
                Field::RequestBytes => "request_bytes",
                Field::ResponseBytes => "response_bytes",
            };
            let sign = match comparison {
                Comparison::Less => "<",
                Comparison::AtMost => "<=",
                Comparison::Greater => ">",
                Comparison::AtLeast => ">=",
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
            };
            format!("COALESCE({number} {sign} {value:?}, 0)")
        }
    }
}
