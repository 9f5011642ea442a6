//! Mail over SMTP (RFC 5321), protected by TLS unless the manifest says otherwise.
//! `Message-ID` is the same at every attempt: a server or a reader that looks at it
//! keeps one of two.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{Mailbox, MessageBuilder, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use watchkeeper_crds::notifications::{Email, Encryption};

use crate::{
    failure::Failure,
    message::{Message, cut},
    template,
};

/// Longest time for one answer of the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest subject, characters.
const LONGEST: usize = 200;

pub async fn send(config: &Email, message: &Message) -> Result<(), Failure> {
    let mail = mail(config, message)?;
    let sent = transport(config)?.send(mail).await;
    sent.map(|_| ()).map_err(|error| {
        let text = chain(&error);
        if error.is_permanent() { Failure::permanent(text) } else { Failure::passing(text) }
    })
}

fn transport(config: &Email) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let (tls, port) = match config.encryption {
        Encryption::None => (Tls::None, 25),
        Encryption::StartTls => (Tls::Required(parameters(config)?), 587),
        Encryption::Tls => (Tls::Wrapper(parameters(config)?), 465),
    };
    let port = config.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(port);
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(port)
        .tls(tls)
        .timeout(Some(PATIENCE));
    if let (Some(username), Some(password)) = (&config.username, &config.password) {
        builder = builder.credentials(Credentials::new(username.clone(), password.get().to_owned()));
    }
    Ok(builder.build())
}

fn parameters(config: &Email) -> Result<TlsParameters, Failure> {
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(pem) = &config.ca {
        let certificate = Certificate::from_pem(pem.as_bytes()).map_err(|error| {
            Failure::permanent(format!("email.ca is no PEM certificate: {}", chain(&error)))
        })?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| Failure::permanent(format!("TLS cannot be set up: {}", chain(&error))))
}

fn mail(config: &Email, message: &Message) -> Result<lettre::Message, Failure> {
    let from = mailbox("from", &config.from)?;
    let domain = from.email.domain().to_owned();
    let (subject, text) = if message.resolves() {
        (&config.recovery_subject_template, &config.recovery_template)
    } else {
        (&config.subject_template, &config.template)
    };
    let subject =
        template::text(subject.as_deref(), message, str::to_owned).unwrap_or_else(|| message.title());
    let text = template::text(text.as_deref(), message, str::to_owned).unwrap_or_else(|| message.text());
    let mut builder: MessageBuilder = lettre::Message::builder()
        .message_id(Some(format!("<{}@{domain}>", message.delivery)))
        .from(from)
        .subject(cut(&one_line(&subject), LONGEST))
        .header(ContentType::TEXT_PLAIN);
    // Mails of one trouble are one thread.
    if let [item] = message.items.as_slice() {
        let thread: String =
            item.key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' }).collect();
        builder = builder.references(format!("<{thread}@{domain}>"));
    }
    for to in &config.to {
        builder = builder.to(mailbox("to", to)?);
    }
    builder
        .body(format!("{text}\n"))
        .map_err(|error| Failure::permanent(format!("the mail cannot be written: {error}")))
}

fn mailbox(field: &str, text: &str) -> Result<Mailbox, Failure> {
    text.parse().map_err(|_| {
        Failure::permanent(format!(
            "email.{field}: `{text}` is no address; write name@example.org or Name <name@example.org>"
        ))
    })
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
