//! Where notices of an installation go.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{SecretKeyRef, yes};
use crate::durations::TimeSpan;
use crate::monitored_endpoint::MaintenanceWindow;

/// Who is told when an endpoint's state changes, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notifications {
    /// Places that notices go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub channels: Vec<Channel>,
    /// Shortest time from one notice of trouble of an endpoint to the next; what still holds afterwards is told then.
    #[serde(default = "nothing")]
    pub cooldown: TimeSpan,
    /// Whether channels are told that an endpoint is well again.
    #[serde(default = "yes")]
    pub send_recovery: bool,
    /// How long a notice waits for others of the same host, to go out as one; `0s` sends each by itself.
    #[serde(default = "a_moment")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('10m')").message("groupWait must be at most 10m"))]
    pub group_wait: TimeSpan,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { channels: Vec::new(), cooldown: nothing(), send_recovery: true, group_wait: a_moment() }
    }
}

fn nothing() -> TimeSpan {
    TimeSpan::from_secs(0)
}

fn a_moment() -> TimeSpan {
    TimeSpan::from_secs(5)
}

/// A place that notices go to: a name and exactly one type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.email), has(self.webhook), has(self.slack), has(self.discord), has(self.teams), has(self.telegram), has(self.pagerduty), has(self.opsgenie), has(self.ntfy), has(self.alertmanager)].exists_one(set, set)")
    .message("set exactly one of email, webhook, slack, discord, teams, telegram, pagerduty, opsgenie, ntfy and alertmanager"))]
pub struct Channel {
    /// Name by which endpoints choose it.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Whether endpoints that name no channels use it.
    #[serde(default = "yes")]
    pub default: bool,
    /// Whether it is told of recoveries; `notifications.sendRecovery` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_recovery: Option<bool>,
    /// When nothing is sent; what still holds goes out at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub quiet_hours: Vec<MaintenanceWindow>,
    /// Mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Any HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Slack, by an incoming webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<IncomingWebhook>,
    /// Discord, by a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discord: Option<IncomingWebhook>,
    /// Microsoft Teams, by a workflow's webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teams: Option<IncomingWebhook>,
    /// Telegram, by a bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<Telegram>,
    /// PagerDuty, by its Events API v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagerduty: Option<PagerDuty>,
    /// Opsgenie, by its Alert API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opsgenie: Option<Opsgenie>,
    /// ntfy, on ntfy.sh or a server of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ntfy: Option<Ntfy>,
    /// Prometheus' Alertmanager, by its API v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<Alertmanager>,
}

/// A text that may be secret: exactly one of `value` and `valueFrom` is set.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.value), has(self.valueFrom)].exists_one(set, set)")
    .message("set exactly one of value and valueFrom"))]
pub struct SecretText {
    /// The text itself; for anything secret use `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub value: Option<String>,
    /// Where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretSource>,
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.value.as_ref().map(|_| "…");
        f.debug_struct("SecretText").field("value", &value).field("value_from", &self.value_from).finish()
    }
}

impl SecretText {
    /// The text, once its reference is resolved.
    #[must_use]
    pub fn get(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    fn kept(&mut self, field: &str) -> Kept<'_> {
        Kept { field: field.to_owned(), value: &mut self.value, source: &mut self.value_from }
    }
}

/// Where a secret text is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.secretKeyRef), has(self.env), has(self.file)].exists_one(set, set)")
    .message("set exactly one of secretKeyRef, env and file"))]
pub struct SecretSource {
    /// Key of a Secret in the instance's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// Variable of the environment; only for `watchkeeper local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub env: Option<String>,
    /// File whose text without surrounding white space counts; only for `watchkeeper local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub file: Option<String>,
}

/// Mail over SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.username) == has(self.password)")
    .message("username and password belong together"))]
pub struct Email {
    /// Host of the mail server.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port; 587 with `StartTls`, 465 with `Tls` and 25 with `None` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection is protected.
    #[serde(default)]
    pub encryption: Encryption,
    /// Certificates (PEM) to trust in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub ca: Option<String>,
    /// User to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub username: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
    /// Sender, as `Watchkeeper <watch@example.org>`.
    #[schemars(length(min = 3, max = 512))]
    pub from: String,
    /// Recipients.
    #[schemars(length(min = 1, max = 50), inner(length(min = 3, max = 512)))]
    pub to: Vec<String>,
    /// Template of the subject, with placeholders such as `{endpoint_name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub subject_template: Option<String>,
    /// Template of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub template: Option<String>,
    /// Template of the subject for recoveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub recovery_subject_template: Option<String>,
    /// Template of the text for recoveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub recovery_template: Option<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Encryption {
    /// Begins in clear text and must change to TLS before anything is said.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None: for a server on the same machine or network.
    None,
}

/// A request to any HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Where to send it.
    pub url: SecretText,
    /// Method.
    #[serde(default)]
    pub method: WebhookMethod,
    /// Headers besides Content-Type and Idempotency-Key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub headers: Vec<WebhookHeader>,
    /// Template of the body, with placeholders such as `{endpoint_name}`; a JSON object of everything when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub template: Option<String>,
    /// Template for recoveries; `template` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub recovery_template: Option<String>,
    /// Type of the body. Values are escaped for JSON in a template whose type is JSON.
    #[serde(default = "json")]
    #[schemars(length(min = 1, max = 128))]
    pub content_type: String,
}

fn json() -> String {
    "application/json".to_owned()
}

/// Method of a webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WebhookMethod {
    #[default]
    Post,
    Put,
    Patch,
    Get,
}

impl WebhookMethod {
    /// The method as it stands in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Get => "GET",
        }
    }
}

/// A header of a webhook: exactly one of `value` and `valueFrom` is set.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.value), has(self.valueFrom)].exists_one(set, set)")
    .message("set exactly one of value and valueFrom"))]
pub struct WebhookHeader {
    /// Name of the header.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"))]
    pub name: String,
    /// The value itself; for anything secret use `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub value: Option<String>,
    /// Where the value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretSource>,
}

impl std::fmt::Debug for WebhookHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.value.as_ref().map(|_| "…");
        let mut header = f.debug_struct("WebhookHeader");
        header.field("name", &self.name).field("value", &value).field("value_from", &self.value_from).finish()
    }
}

/// A text that may be kept elsewhere.
#[derive(Debug)]
pub struct Kept<'a> {
    /// Name of its field within the channel.
    pub field: String,
    /// The text itself.
    pub value: &'a mut Option<String>,
    /// Where it is kept.
    pub source: &'a mut Option<SecretSource>,
}

/// A webhook whose address is the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncomingWebhook {
    /// Its address.
    pub url: SecretText,
}

/// A bot of Telegram's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Telegram {
    /// The bot's token.
    pub bot_token: SecretText,
    /// Chat, group or channel (`-100…` or `@name`).
    #[schemars(length(min = 1, max = 64))]
    pub chat_id: String,
    /// Topic within the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<i64>,
    /// Template of the text, with placeholders such as `{endpoint_name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub template: Option<String>,
    /// Template of the text for recoveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub recovery_template: Option<String>,
    /// How Telegram reads the text: `Markdown`, `MarkdownV2` or `HTML`; as it stands when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub parse_mode: Option<String>,
    /// Server of the bot API.
    #[serde(default = "telegram_api")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^https?://"))]
    pub api_url: String,
}

fn telegram_api() -> String {
    "https://api.telegram.org".to_owned()
}

/// An integration of PagerDuty's Events API v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PagerDuty {
    /// Integration key of the service.
    pub routing_key: SecretText,
    /// Severity of an endpoint that is down.
    #[serde(default)]
    pub severity: PagerDutySeverity,
    /// Server of the Events API.
    #[serde(default = "pagerduty_api")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^https?://"))]
    pub api_url: String,
}

fn pagerduty_api() -> String {
    "https://events.pagerduty.com".to_owned()
}

/// Severity of an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PagerDutySeverity {
    #[default]
    Critical,
    Error,
    Warning,
    Info,
}

/// An integration of Opsgenie's Alert API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opsgenie {
    /// Key of the integration.
    pub api_key: SecretText,
    /// Priority of an endpoint that is down.
    #[serde(default)]
    pub priority: OpsgeniePriority,
    /// Tags of every alert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 50)))]
    pub tags: Vec<String>,
    /// Server of the Alert API; `https://api.eu.opsgenie.com` in the EU.
    #[serde(default = "opsgenie_api")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^https?://"))]
    pub api_url: String,
}

fn opsgenie_api() -> String {
    "https://api.opsgenie.com".to_owned()
}

/// Priority of an alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OpsgeniePriority {
    #[default]
    P1,
    P2,
    P3,
    P4,
    P5,
}

/// A topic of ntfy's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ntfy {
    /// Topic; on a public server it is the secret.
    pub topic: SecretText,
    /// Server.
    #[serde(default = "ntfy_server")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^https?://"))]
    pub server: String,
    /// Access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
}

fn ntfy_server() -> String {
    "https://ntfy.sh".to_owned()
}

/// Prometheus' Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.token) && has(self.username)) && has(self.username) == has(self.password)")
    .message("set token, or username and password, or neither"))]
pub struct Alertmanager {
    /// Addresses of all members of the cluster; each is told.
    #[schemars(length(min = 1, max = 10), inner(length(min = 1, max = 512), regex(pattern = "^https?://")))]
    pub urls: Vec<String>,
    /// Bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// User of Basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub username: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
}

impl Channel {
    /// What it is, as its field is called.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let set = [
            ("email", self.email.is_some()),
            ("webhook", self.webhook.is_some()),
            ("slack", self.slack.is_some()),
            ("discord", self.discord.is_some()),
            ("teams", self.teams.is_some()),
            ("telegram", self.telegram.is_some()),
            ("pagerduty", self.pagerduty.is_some()),
            ("opsgenie", self.opsgenie.is_some()),
            ("ntfy", self.ntfy.is_some()),
            ("alertmanager", self.alertmanager.is_some()),
        ];
        set.into_iter().find(|(_, set)| *set).map_or("none", |(kind, _)| kind)
    }

    /// Every text of it that may be kept elsewhere.
    pub fn secrets_mut(&mut self) -> Vec<Kept<'_>> {
        let texts: [(&str, Option<&mut SecretText>); 7] = [
            ("email.password", self.email.as_mut().and_then(|email| email.password.as_mut())),
            ("slack.url", self.slack.as_mut().map(|slack| &mut slack.url)),
            ("discord.url", self.discord.as_mut().map(|discord| &mut discord.url)),
            ("teams.url", self.teams.as_mut().map(|teams| &mut teams.url)),
            ("telegram.botToken", self.telegram.as_mut().map(|telegram| &mut telegram.bot_token)),
            ("pagerduty.routingKey", self.pagerduty.as_mut().map(|pagerduty| &mut pagerduty.routing_key)),
            ("opsgenie.apiKey", self.opsgenie.as_mut().map(|opsgenie| &mut opsgenie.api_key)),
        ];
        let mut kept: Vec<Kept<'_>> =
            texts.into_iter().filter_map(|(field, text)| text.map(|text| text.kept(field))).collect();
        if let Some(Ntfy { topic, token, .. }) = &mut self.ntfy {
            kept.push(topic.kept("ntfy.topic"));
            kept.extend(token.as_mut().map(|token| token.kept("ntfy.token")));
        }
        if let Some(Alertmanager { token, password, .. }) = &mut self.alertmanager {
            kept.extend(token.as_mut().map(|token| token.kept("alertmanager.token")));
            kept.extend(password.as_mut().map(|password| password.kept("alertmanager.password")));
        }
        if let Some(Webhook { url, headers, .. }) = &mut self.webhook {
            kept.push(url.kept("webhook.url"));
            kept.extend(headers.iter_mut().map(|header| Kept {
                field: format!("webhook.headers[{}]", header.name),
                value: &mut header.value,
                source: &mut header.value_from,
            }));
        }
        kept
    }

    /// Puts the text in the place of every reference.
    ///
    /// # Errors
    /// The name of a field and what `find` said of its source.
    pub fn resolve(
        &mut self,
        mut find: impl FnMut(&SecretSource) -> Result<String, String>,
    ) -> Result<(), (String, String)> {
        for Kept { field, value, source } in self.secrets_mut() {
            if let Some(reference) = source.take() {
                *value = Some(find(&reference).map_err(|error| (field, error))?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "notifications_tests.rs"]
mod tests;
