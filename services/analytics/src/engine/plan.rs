//! A question made ready for the engine: what it reads, and how dimensions come from columns.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use watchkeeper_store::{AddressFacts, ProjectId};

use super::{cache::Cache, column::Column, dictionary::Dictionary};
use crate::{
    AskError, Comparison, Condition, Dimension, Field, Metric, Question,
    calendar::Unit,
    derive::{domain, referrer_host, version},
    text_test::{TextTest, compare, text_test},
};

/// What is known of addresses.
pub(crate) type Facts = HashMap<String, AddressFacts>;

/// Makes a text of another.
type Derive = fn(&str, &Facts) -> Option<String>;

/// Where the values of a dimension come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// A column's texts.
    Text(Column),
    /// A column's texts, where unknown those of another with the same dictionary.
    Either(Column, Column),
    /// What a column's texts tell.
    Derived(Column, Derive),
    /// The time.
    Time(Unit),
}

impl Origin {
    fn of(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Time(bucket) => Self::Time(Unit::Bucket(bucket)),
            Dimension::HourOfDay => Self::Time(Unit::HourOfDay),
            Dimension::Weekday => Self::Time(Unit::Weekday),
            Dimension::Source => Self::Text(Column::Source),
            Dimension::Method => Self::Text(Column::Method),
            Dimension::Host => Self::Text(Column::Host),
            Dimension::Path => Self::Text(Column::Path),
            Dimension::Query => Self::Text(Column::Query),
            Dimension::Route => Self::Either(Column::Route, Column::Path),
            Dimension::Version => Self::Derived(Column::Path, |path, _| version(path).map(str::to_owned)),
            Dimension::Status => Self::Text(Column::Status),
            Dimension::StatusClass => Self::Derived(Column::Status, |status, _| {
                status.parse::<i64>().ok().map(|status| format!("{}xx", status.div_euclid(100)))
            }),
            Dimension::HttpVersion => Self::Text(Column::HttpVersion),
            Dimension::Ip => Self::Text(Column::Ip),
            Dimension::UserAgent => Self::Text(Column::UserAgent),
            Dimension::User => Self::Text(Column::User),
            Dimension::Consumer => Self::Either(Column::User, Column::Ip),
            Dimension::Referrer => Self::Text(Column::Referrer),
            Dimension::ReferrerHost => {
                Self::Derived(Column::Referrer, |referrer, _| referrer_host(referrer).map(str::to_owned))
            }
            Dimension::Country => Self::Text(Column::Country),
            Dimension::Framework => Self::Text(Column::Framework),
            Dimension::Client => Self::Text(Column::Client),
            Dimension::Os => Self::Text(Column::Os),
            Dimension::Device => Self::Text(Column::Device),
            Dimension::Bot => Self::Text(Column::Bot),
            Dimension::Home => Self::Text(Column::Home),
            Dimension::Log => Self::Text(Column::Log),
            Dimension::City => Self::Derived(Column::Ip, |ip, facts| facts.get(ip)?.city.clone()),
            Dimension::Region => Self::Derived(Column::Ip, |ip, facts| facts.get(ip)?.region.clone()),
            Dimension::AddressHost => Self::Derived(Column::Ip, |ip, facts| facts.get(ip)?.host.clone()),
            Dimension::AddressDomain => Self::Derived(Column::Ip, |ip, facts| {
                facts.get(ip)?.host.as_deref().map(|host| domain(host).to_owned())
            }),
            Dimension::AddressClass => Self::Derived(Column::Ip, |ip, facts| {
                facts.get(ip)?.bot.map(|bot| if bot { "bot" } else { "user" }.to_owned())
            }),
        }
    }

    /// Whether rows in the order of time have its values in runs.
    pub fn is_time(self) -> bool {
        matches!(self, Self::Time(_))
    }

    /// The columns that it needs.
    pub fn columns(self) -> impl Iterator<Item = Column> {
        let (one, other) = match self {
            Self::Text(column) | Self::Derived(column, _) => (Some(column), None),
            Self::Either(column, other) => (Some(column), Some(other)),
            Self::Time(_) => (None, None),
        };
        one.into_iter().chain(other)
    }
}

/// A condition whose tests are compiled.
pub(crate) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// A test, by its place in [`Plan::tests`].
    Text(usize),
    Number(Column, Comparison, f64),
}

/// A test of a dimension.
pub(crate) struct DimensionTest {
    /// By its place in [`Plan::origins`].
    pub dimension: usize,
    pub test: TextTest,
}

/// What the groups of a table add up, beside hits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Hits whose status is known, is an error's, and is a success's.
    pub known: bool,
    pub errors: bool,
    pub successes: bool,
    pub duration: bool,
    pub quantiles: bool,
    pub request_bytes: bool,
    pub response_bytes: bool,
    /// First and last times.
    pub first: bool,
    pub last: bool,
    pub visitors: bool,
    pub sessions: bool,
    pub users: bool,
    pub addresses: bool,
}

impl Wants {
    pub fn of(metrics: &[Metric]) -> Self {
        let mut wants = Self::default();
        for metric in metrics {
            match metric {
                Metric::Hits => {}
                Metric::Visitors => wants.visitors = true,
                Metric::Users => wants.users = true,
                Metric::Addresses => wants.addresses = true,
                Metric::Sessions => wants.sessions = true,
                Metric::RequestBytes => wants.request_bytes = true,
                Metric::ResponseBytes => wants.response_bytes = true,
                Metric::Errors => wants.errors = true,
                Metric::ErrorRate => (wants.known, wants.errors) = (true, true),
                Metric::SuccessRate => (wants.known, wants.successes) = (true, true),
                Metric::MeanDuration | Metric::MinDuration | Metric::MaxDuration => wants.duration = true,
                Metric::Duration(_) => wants.quantiles = true,
                Metric::FirstSeen => wants.first = true,
                Metric::LastSeen => wants.last = true,
            }
        }
        wants
    }

    /// Whether statuses have to be read.
    pub fn status(self) -> bool {
        self.known || self.errors || self.successes
    }
}

pub(crate) struct PanelPlan {
    /// By their places in [`Plan::origins`].
    pub dimensions: Vec<usize>,
    /// Whether it is grouped by times alone, or not at all.
    pub by_time: bool,
    pub condition: Node,
    pub wants: Wants,
}

pub(crate) struct Plan {
    pub question: Question,
    pub facts: Facts,
    /// The dimensions that occur, each once.
    pub origins: Vec<(Dimension, Origin)>,
    pub tests: Vec<DimensionTest>,
    pub condition: Node,
    pub panels: Vec<PanelPlan>,
    /// What is read beside the times.
    pub columns: Vec<Column>,
    /// The dictionaries of these.
    pub dictionaries: BTreeMap<Column, Arc<Dictionary>>,
    /// What any panel adds up.
    pub wants: Wants,
    /// Places of consumers and addresses in `origins`, where they are counted.
    pub users: Option<usize>,
    pub addresses: Option<usize>,
}

impl Plan {
    /// # Errors
    /// When an expression of the question is malformed.
    pub fn new(
        question: &Question,
        facts: Facts,
        cache: &Cache,
        project: ProjectId,
    ) -> Result<Self, AskError> {
        let mut builder = Builder::default();
        let condition = builder.node(&question.condition)?;
        let panels = question
            .panels
            .iter()
            .map(|panel| {
                Ok(PanelPlan {
                    dimensions: panel.dimensions.iter().map(|it| builder.dimension(*it)).collect(),
                    by_time: panel.dimensions.iter().all(|it| Origin::of(*it).is_time()),
                    condition: builder.node(&panel.condition)?,
                    wants: Wants::of(&panel.metrics),
                })
            })
            .collect::<Result<Vec<_>, AskError>>()?;
        let metrics: Vec<Metric> = question.panels.iter().flat_map(|panel| panel.metrics.clone()).collect();
        let wants = Wants::of(&metrics);
        let users = wants.users.then(|| builder.dimension(Dimension::Consumer));
        let addresses = wants.addresses.then(|| builder.dimension(Dimension::Ip));
        let mut columns = builder.columns;
        for (wanted, column) in [
            (wants.status(), Column::Status),
            (wants.duration || wants.quantiles, Column::DurationUs),
            (wants.request_bytes, Column::RequestBytes),
            (wants.response_bytes, Column::ResponseBytes),
            (wants.visitors || wants.sessions, Column::Visitor),
        ] {
            columns.extend(wanted.then_some(column));
        }
        columns.extend(builder.origins.iter().flat_map(|(_, origin)| origin.columns()));
        columns.sort_unstable();
        columns.dedup();
        let dictionaries = columns
            .iter()
            .map(|column| (column.dictionary(), cache.dictionary(project, column.dictionary())))
            .collect();
        Ok(Self {
            question: question.clone(),
            facts,
            origins: builder.origins,
            tests: builder.tests,
            condition,
            panels,
            columns,
            dictionaries,
            wants,
            users,
            addresses,
        })
    }
}

#[derive(Default)]
struct Builder {
    origins: Vec<(Dimension, Origin)>,
    tests: Vec<DimensionTest>,
    columns: Vec<Column>,
}

impl Builder {
    fn dimension(&mut self, dimension: Dimension) -> usize {
        self.origins.iter().position(|(known, _)| *known == dimension).unwrap_or_else(|| {
            self.origins.push((dimension, Origin::of(dimension)));
            self.origins.len() - 1
        })
    }

    fn test(&mut self, dimension: Dimension, test: TextTest) -> Node {
        let dimension = self.dimension(dimension);
        self.tests.push(DimensionTest { dimension, test });
        Node::Text(self.tests.len() - 1)
    }

    fn node(&mut self, condition: &Condition) -> Result<Node, AskError> {
        Ok(match condition {
            Condition::All(all) => Node::All(all.iter().map(|one| self.node(one)).collect::<Result<_, _>>()?),
            Condition::Any(any) => Node::Any(any.iter().map(|one| self.node(one)).collect::<Result<_, _>>()?),
            Condition::Not(condition) => Node::Not(Box::new(self.node(condition)?)),
            Condition::Text { dimension, test, ignore_case } => {
                let test = text_test(test, *ignore_case)?;
                self.test(*dimension, test)
            }
            Condition::Number { field, comparison, value } => {
                let (comparison, value) = (*comparison, *value);
                let column = match field {
                    // Statuses are few, and so decided by their texts.
                    Field::Status => {
                        let test = move |text: Option<&str>| {
                            let status = text.and_then(|text| text.parse().ok());
                            status.is_some_and(|status| compare(status, comparison, value))
                        };
                        return Ok(self.test(Dimension::Status, Box::new(test)));
                    }
                    Field::Duration => Column::DurationUs,
                    Field::RequestBytes => Column::RequestBytes,
                    Field::ResponseBytes => Column::ResponseBytes,
                };
                self.columns.push(column);
                Node::Number(column, comparison, value)
            }
        })
    }
}
