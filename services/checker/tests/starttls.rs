//! STARTTLS as the servers of the real world speak it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use watchkeeper_checker::{GuardRules, Probers};
use watchkeeper_store::{
    ConnectOptions, Endpoint, EndpointSpec, EndpointStatus, Origin, Probe, ProjectId, StartTls, State,
    TcpProbe, TlsOptions, TlsProbe,
};
use watchkeeper_testkit::postgres::{self, Postgres};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::user;

fn endpoint(probe: Probe) -> Endpoint {
    Endpoint {
        id: 1,
        uid: "database".into(),
        origin: Origin::Manifest,
        project: ProjectId(1),
        namespace: String::new(),
        name: "database".into(),
        generation: 1,
        spec: EndpointSpec { timeout: Duration::from_secs(10), ..EndpointSpec::new("database", probe) },
        revision: 1,
        transition: 0,
        status: EndpointStatus { state: State::Unknown, since: 0, last_check: None },
        created_at: 0,
        updated_at: 0,
        breaker_reset_at: 0,
    }
}

fn tls(port: u16, options: TlsOptions, name: &str, valid_for: Duration) -> Probe {
    Probe::Tls(TlsProbe {
        address: format!("127.0.0.1:{port}"),
        starttls: Some(StartTls::Postgres),
        options,
        names: vec![name.into()],
        valid_for,
        connect: ConnectOptions::default(),
    })
}

#[tokio::test]
async fn the_certificate_of_a_postgresql_server_is_judged_and_a_server_without_one_told() {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["db.example".to_owned()]).expect("parameters");
    params.not_after = date_time_ymd(2099, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");

    let directory = RunDir::new_public("postgres-tls").expect("a directory");
    let [certificate_file, key_file] = ["server.crt", "server.key"].map(|name| directory.path().join(name));
    fs::write(&certificate_file, certificate.pem()).expect("written");
    fs::write(&key_file, key.serialize_pem()).expect("written");
    // PostgreSQL takes no key that others may read.
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("permissions");
    if let Some(owner) = user::unprivileged(&["postgres", "nobody"]).expect("users") {
        chown(&key_file, Some(owner.uid), Some(owner.gid)).expect("an owner");
    }
    let setting = |name: &str, value: String| (name.to_owned(), value);
    let settings = vec![
        setting("ssl", "on".into()),
        setting("ssl_cert_file", certificate_file.display().to_string()),
        setting("ssl_key_file", key_file.display().to_string()),
    ];
    let secure = Postgres::start(postgres::Options { fsync: false, settings, ..Default::default() });
    let secure = secure.expect("a server with TLS");
    let options = TlsOptions {
        ca: Some(certificate.pem()),
        server_name: Some("db.example".into()),
        ..TlsOptions::default()
    };

    let probers = Probers::new(GuardRules::default(), None).expect("probers");
    let ask = |probe: Probe| {
        let probers = probers.clone();
        async move { probers.check(&endpoint(probe)).await }
    };
    let day = Duration::from_secs(24 * 3_600);
    let good = ask(tls(secure.port(), options.clone(), "db.example", day)).await;
    assert_eq!((good.ok, good.message.as_deref()), (true, None));
    assert_eq!(good.into_check(0).certificate_expires_at, Some(4_070_908_800_000));
    let other = ask(tls(secure.port(), options.clone(), "replica.example", day)).await;
    assert_eq!(other.message.as_deref(), Some("the certificate is not valid for replica.example"));
    let unknown = ask(tls(secure.port(), TlsOptions::default(), "db.example", day)).await;
    assert_eq!(unknown.message.as_deref(), Some("TLS: the certificate's issuer is not trusted"));
    let tcp = ask(Probe::Tcp(TcpProbe {
        address: format!("127.0.0.1:{}", secure.port()),
        conversation: Vec::new(),
        starttls: Some(StartTls::Postgres),
        tls: Some(options.clone()),
        connect: ConnectOptions::default(),
    }))
    .await;
    assert_eq!((tcp.ok, tcp.message.as_deref()), (true, None));

    let plain = Postgres::shared().expect("a server without TLS");
    let told = ask(tls(plain.port(), options, "db.example", day)).await;
    assert_eq!((told.ok, told.message.as_deref()), (false, Some("the server speaks no TLS")));
}
