//! The very scripts of the backup and of the restore, against a real PostgreSQL: with nothing on the
//! path but a shell, coreutils and the programs of Postgres, and without any right to write elsewhere.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use watchkeeper_e2e::load::{Fate, Load};
use watchkeeper_e2e::upstream::Upstream;
use watchkeeper_operator::analytics_instance::build::{ADOPT_SCRIPT, BACKUP_SCRIPT, RESTORE_SCRIPT};
use watchkeeper_testkit::paths;
use watchkeeper_testkit::ports::free_port;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::process::{Daemon, Spec};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::user::{self, User};
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const SOON: Duration = Duration::from_secs(60);
const ROWS: usize = 5;
/// What the image of a database must have beside the programs of Postgres.
const TOOLS: [&str; 10] = ["sh", "chmod", "date", "dirname", "mkdir", "mv", "rm", "rmdir", "sleep", "sync"];
const PROGRAMS: [&str; 8] =
    ["createdb", "initdb", "pg_ctl", "pg_dump", "pg_isready", "pg_restore", "postgres", "psql"];

/// The directories that a pod would have.
struct Pod {
    directory: RunDir,
    user: Option<User>,
}

impl Pod {
    fn new() -> Self {
        let user = user::unprivileged(&["postgres", "nobody"]).unwrap();
        let directory = RunDir::new_public("backup").unwrap();
        let pod = Self { directory, user };
        fs::create_dir(pod.path("bin")).unwrap();
        let system = std::env::split_paths("/usr/bin:/bin").collect::<Vec<_>>();
        for tool in TOOLS {
            let found = system.iter().map(|folder| folder.join(tool)).find(|path| path.exists()).unwrap();
            symlink(found, pod.path("bin").join(tool)).unwrap();
        }
        let postgres = paths::packaged("postgres").unwrap();
        for program in PROGRAMS {
            symlink(postgres.join(program), pod.path("bin").join(program)).unwrap();
        }
        for folder in ["backups", "data", "tmp"] {
            fs::create_dir(pod.path(folder)).unwrap();
            pod.give(&pod.path(folder));
        }
        pod
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn give(&self, path: &Path) {
        if let Some(User { uid, gid }) = self.user {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    fn pgdata(&self) -> PathBuf {
        self.path("data/pgdata")
    }

    fn staging(&self) -> PathBuf {
        self.path("data/pgdata.restoring")
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear().current_dir("/").stdin(Stdio::null()).process_group(0);
        command
            .env("PATH", self.path("bin"))
            .env("TMPDIR", self.path("tmp"))
            .env("BACKUPS", self.path("backups"));
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// One run of the backup, of the database that a URL names.
    fn backup(&self, url: &str, keep: usize) -> Command {
        let url = reqwest::Url::parse(url).unwrap();
        let secret = self.path("password");
        // As a mounted Secret has it: without a newline.
        fs::write(&secret, url.password().unwrap()).unwrap();
        self.give(&secret);
        let mut command = self.command(BACKUP_SCRIPT);
        command
            .env("PGHOST", url.host_str().unwrap())
            .env("PGPORT", url.port().unwrap().to_string())
            .env("PGUSER", url.username())
            .env("PGDATABASE", url.path().trim_start_matches('/'))
            .env("PASSWORD_FILE", secret)
            .env("KEEP", keep.to_string())
            .env("HOSTNAME", "shop-backup-1-abcde")
            .env("PATIENCE", "1");
        command
    }

    fn start_as_database(&self, script: &str, password: &str) -> Command {
        let mut command = self.command(script);
        command
            .env("PGDATA", self.pgdata())
            .env("POSTGRES_USER", "watchkeeper")
            .env("POSTGRES_DB", "watchkeeper")
            .env("POSTGRES_PASSWORD", password);
        command
    }

    fn restore(&self, password: &str) -> Command {
        self.start_as_database(RESTORE_SCRIPT, password)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A file among the copies that was last written to some time ago.
    fn old_file(&self, name: &str, age: Duration) {
        let path = self.path("backups").join(name);
        fs::write(&path, "copy").unwrap();
        self.give(&path);
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    /// The server on the restored data, and how to reach it.
    fn serve(&self, password: &str) -> (Daemon, String) {
        let port = free_port().unwrap();
        let bin = paths::packaged("postgres").unwrap();
        let daemon = Spec::new("postgres", bin.join("postgres"), self.path("postgres.log"))
            .arg("-D")
            .arg(self.pgdata())
            .args(["-p", &port.to_string(), "-c", "unix_socket_directories="])
            .user(self.user)
            .death_signal("QUIT")
            .spawn()
            .unwrap();
        let mut ready = Command::new(bin.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        daemon.wait_ready(SOON, || ready.status().is_ok_and(|status| status.success())).unwrap();
        (daemon, format!("postgres://watchkeeper:{password}@127.0.0.1:{port}/watchkeeper"))
    }
}

fn end(daemon: &Daemon) {
    daemon.signal("INT").unwrap();
    daemon.wait_exit(SOON).unwrap();
}

fn done(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

fn failed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", said(&output));
    said(&output)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn psql(url: &str, statements: &str) -> Result<String, String> {
    let mut psql = Command::new(paths::packaged("postgres").unwrap().join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statements, url]);
    let output = psql.stdin(Stdio::null()).output().unwrap();
    if output.status.success() { Ok(said(&output).trim().to_owned()) } else { Err(said(&output)) }
}

/// A database with rows that a restore takes a moment for.
fn filled(rows: u32) -> String {
    let server = Postgres::shared().unwrap();
    let url = server.database().unwrap();
    let fill = format!(
        "CREATE TABLE hits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data bytea NOT NULL);
         INSERT INTO hits (data) SELECT sha256(i::text::bytea) FROM generate_series(1, {rows}) AS i;"
    );
    server.psql(&url, &fill).unwrap();
    url
}

/// Which cluster of databases it is, as it stands in the names of its copies.
fn identity(url: &str) -> String {
    psql(url, "SELECT system_identifier FROM pg_control_system()").unwrap()
}

const SUM: &str = "SELECT count(*), sum(id), md5(string_agg(data, '' ORDER BY id)) FROM hits";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_installation_made_from_a_copy_answers_the_same() {
    let url = Postgres::shared().unwrap().database().unwrap();
    let pod = Pod::new();
    let first = Watchkeeper::local().database(&url).start().unwrap();
    let load = Load::start(&first.base_url(), 4, ROWS).await.unwrap();
    wait::until_async(
        "posts are acknowledged",
        SOON,
        async || Ok((load.acknowledged() >= 100).then_some(())),
    )
    .await
    .unwrap();
    // In the middle of posting: a copy is whole at any moment.
    done(pod.backup(&url, 7));
    let accounts = load.finish().await.unwrap();
    let promised: usize = accounts.iter().map(|account| account.count(Fate::Acknowledged)).sum();
    assert!(promised > 100, "nobody posted while the copy was made");
    let in_between = pod.names("backups");
    // The copy of the end has it all.
    wait::until("another second begins", SOON, || {
        done(pod.backup(&url, 1));
        Ok((pod.names("backups") != in_between).then_some(()))
    })
    .unwrap();
    assert!(first.stop().unwrap());

    done(pod.restore("another-password"));
    let (server, restored) = pod.serve("another-password");
    let second = Watchkeeper::local().database(&restored).start().unwrap();
    let upstream = Upstream::new(second.base_url()).unwrap();
    for account in &accounts {
        account.settle(&upstream, ROWS).await.unwrap();
    }
    // And it goes on from there.
    let load = Load::start(&second.base_url(), 1, ROWS).await.unwrap();
    wait::until_async("posts are acknowledged", SOON, async || Ok((load.acknowledged() >= 3).then_some(())))
        .await
        .unwrap();
    for account in load.finish().await.unwrap() {
        account.settle(&upstream, ROWS).await.unwrap();
    }
    assert!(second.stop().unwrap());
    end(&server);
}

#[test]
fn only_the_newest_copies_are_kept_and_what_others_are_writing_is_left_alone() {
    let url = filled(10);
    let pod = Pod::new();
    let (day, id) = (Duration::from_secs(86_400), identity(&url));
    for (name, age) in [
        (format!("watchkeeper-20200101T030000Z-{id}.dump"), 3 * day),
        (format!("watchkeeper-20200102T030000Z-{id}.dump"), 2 * day),
        (format!("watchkeeper-20200103T030000Z-{id}.dump"), day),
        (format!("watchkeeper-20200104T030000Z-{id}.dump.dead.part"), day),
        (format!("watchkeeper-20200105T030000Z-{id}.dump.alive.part"), Duration::ZERO),
        ("mine.txt".to_owned(), 9 * day),
    ] {
        pod.old_file(&name, age);
    }
    let log = done(pod.backup(&url, 2));
    let names = pod.names("backups");
    let [theirs, old, alive, new] = &names[..] else { panic!("{names:?}\n{log}") };
    assert_eq!(theirs, "mine.txt");
    assert_eq!(*old, format!("watchkeeper-20200103T030000Z-{id}.dump"));
    assert_eq!(*alive, format!("watchkeeper-20200105T030000Z-{id}.dump.alive.part"));
    assert!(log.contains(new.as_str()), "{log}");
}

#[test]
fn an_empty_database_in_the_place_of_a_lost_one_takes_none_of_its_copies_away() {
    let url = filled(10);
    let pod = Pod::new();
    let lost = ["watchkeeper-20200101T030000Z-1234567890123456789.dump", "watchkeeper-20200102T030000Z.dump"];
    for name in lost {
        pod.old_file(name, Duration::ZERO);
    }
    done(pod.backup(&url, 1));
    let names = pod.names("backups");
    assert!(names.len() == 3 && lost.iter().all(|lost| names.iter().any(|name| name == lost)), "{names:?}");
}

#[test]
fn a_backup_that_is_told_to_end_leaves_nothing_behind() {
    let url = filled(10);
    let pod = Pod::new();
    // Nobody gets at the table, so the copy takes as long as it is let.
    let holding = std::thread::spawn({
        let url = url.clone();
        move || psql(&url, "BEGIN; LOCK TABLE hits IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)")
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND datname = current_database()";
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
        AND relation = 'hits'::regclass";
    let sees = |what: &str| psql(&url, what).is_ok_and(|count| count == "1");
    wait::until("the table is locked", SOON, || Ok(sees(locked).then_some(()))).unwrap();
    let mut backup = pod.backup(&url, 1).spawn().unwrap();
    wait::until("the copy waits for the table", SOON, || Ok(sees(waiting).then_some(()))).unwrap();
    assert_eq!(pod.names("backups").len(), 1);
    // As the kubelet does: the first process of the container alone.
    let mut kill = Command::new("sh");
    kill.args(["-c", r#"kill -s TERM -- "$1""#, "sh", &backup.id().to_string()]);
    assert!(kill.status().unwrap().success());
    assert_eq!(backup.wait().unwrap().code(), Some(143));
    assert!(pod.names("backups").is_empty(), "{:?}", pod.names("backups"));
    let ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'
        AND pid <> pg_backend_pid() AND datname = current_database()";
    psql(&url, ends).unwrap();
    assert!(holding.join().unwrap().is_err(), "nobody held the table");
}

#[test]
fn a_password_that_cannot_be_used_never_reaches_the_database() {
    let url = filled(10);
    let pod = Pod::new();
    done(pod.backup(&url, 1));
    done(pod.restore("password-1"));
    for odd in ["x'; DROP TABLE hits; --", "password-2\n", "short", &"x".repeat(129)] {
        let log = done(pod.start_as_database(ADOPT_SCRIPT, odd));
        assert!(log.contains("the one of before stays") && !log.contains(odd), "{log}");
    }
    let (server, restored) = pod.serve("password-1");
    assert_eq!(psql(&restored, SUM), psql(&url, SUM));
    end(&server);

    let odd = pod.backup(&url, 1);
    fs::write(pod.path("password"), "not: plain").unwrap();
    let log = failed(odd);
    assert!(log.contains("the password in the Secret") && !log.contains("not: plain"), "{log}");
}

#[test]
fn a_clock_that_was_put_back_does_not_cost_the_new_copy() {
    let url = filled(10);
    let (pod, id) = (Pod::new(), identity(&url));
    for year in [2998, 2999] {
        pod.old_file(&format!("watchkeeper-{year}0101T030000Z-{id}.dump"), Duration::ZERO);
    }
    done(pod.backup(&url, 1));
    let names = pod.names("backups");
    assert!(names.iter().any(|name| !name.starts_with("watchkeeper-29")), "{names:?}");
}

#[test]
fn a_copy_that_cannot_be_made_leaves_nothing_behind_and_takes_nothing_away() {
    let url = filled(10);
    let pod = Pod::new();
    pod.old_file("watchkeeper-20200101T030000Z.dump", Duration::ZERO);
    let mut wrong = reqwest::Url::parse(&url).unwrap();
    wrong.set_password(Some("not-the-password")).unwrap();
    let log = failed(pod.backup(wrong.as_str(), 1));
    assert!(log.contains("password authentication failed"), "{log}");
    assert!(!log.contains("not-the-password"), "{log}");
    wrong.set_path("/nowhere");
    wrong.set_password(reqwest::Url::parse(&url).unwrap().password()).unwrap();
    let log = failed(pod.backup(wrong.as_str(), 1));
    assert!(log.contains("nowhere"), "{log}");
    wrong.set_port(Some(free_port().unwrap())).unwrap();
    let log = failed(pod.backup(wrong.as_str(), 1));
    assert!(log.contains("does not answer"), "{log}");
    assert_eq!(pod.names("backups"), ["watchkeeper-20200101T030000Z.dump"]);
}

#[test]
fn a_damaged_copy_never_becomes_a_database() {
    let url = filled(50_000);
    let pod = Pod::new();
    done(pod.backup(&url, 1));
    let copy = pod.path("backups").join(&pod.names("backups")[0]);
    let whole = fs::read(&copy).unwrap();
    // The list of contents is at the beginning and stays whole: what is missing shows half way only.
    fs::write(&copy, &whole[..whole.len() * 2 / 3]).unwrap();
    let log = failed(pod.restore("password-1"));
    assert!(log.contains("server started"), "it never came to restoring: {log}");
    assert!(!pod.pgdata().exists(), "half a database was left: {log}");

    fs::write(&copy, &whole).unwrap();
    done(pod.restore("password-1"));
    let (server, restored) = pod.serve("password-1");
    assert_eq!(psql(&restored, SUM), psql(&url, SUM));
    end(&server);
}

#[test]
fn a_restore_that_is_cut_off_begins_anew() {
    let url = filled(300_000);
    let pod = Pod::new();
    done(pod.backup(&url, 1));
    // Cut off twice: when there is a cluster, and when rows are on their way into it.
    for (what, begun) in [("PG_VERSION", None), ("postmaster.pid", Some("COPY"))] {
        let mut command = pod.restore("password-1");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let marker = pod.staging().join(what);
        wait::until("the restore is under way", SOON, || {
            let there = marker.exists() && begun.is_none_or(|word| works(&pod, word));
            Ok(there.then_some(()))
        })
        .unwrap();
        cut_off(&pod, child);
        assert!(!pod.pgdata().exists());
        assert!(pod.staging().exists());
    }
    done(pod.restore("password-1"));
    assert_eq!(pod.names("data"), ["pgdata"]);
    let (server, restored) = pod.serve("password-1");
    assert_eq!(psql(&restored, SUM), psql(&url, SUM));
    end(&server);
}

/// Whether a backend of the temporary server is at work on something, as its title says.
fn works(pod: &Pod, word: &str) -> bool {
    let Some(server) = postmaster(pod) else { return false };
    children(server).iter().any(|pid| {
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&title).contains(word)
    })
}

fn postmaster(pod: &Pod) -> Option<u32> {
    let file = fs::read_to_string(pod.staging().join("postmaster.pid")).ok()?;
    file.lines().next()?.trim().parse().ok()
}

fn children(parent: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// What the end of a pod does: every process of it dies at once.
fn cut_off(pod: &Pod, mut child: Child) {
    let server = postmaster(pod);
    let mut victims: Vec<String> = server.into_iter().flat_map(children).map(|pid| pid.to_string()).collect();
    victims.extend(server.map(|pid| pid.to_string()));
    victims.push(format!("-{}", child.id()));
    // The shell's own, since not every machine has the program; some of them may have ended by themselves.
    let mut kill = Command::new("sh");
    kill.args(["-c", r#"kill -s KILL -- "$@""#, "sh"]).args(&victims).stderr(Stdio::null()).status().unwrap();
    child.wait().unwrap();
    wait::until("every process has ended", SOON, || {
        let alive = victims.iter().filter(|pid| !pid.starts_with('-')).any(|pid| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        });
        Ok((!alive).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_database_that_is_there_is_left_alone_and_takes_todays_password() {
    let (url, other) = (filled(100), filled(3));
    let pod = Pod::new();
    done(pod.backup(&url, 1));
    done(pod.restore("password-1"));
    fs::remove_file(pod.path("backups").join(&pod.names("backups")[0])).unwrap();
    done(pod.backup(&other, 1));

    // As at each later start of the pod.
    let log = done(pod.restore("password-2"));
    assert!(log.contains("nothing is restored"), "{log}");
    done(pod.start_as_database(ADOPT_SCRIPT, "password-2"));
    let (server, restored) = pod.serve("password-2");
    assert_eq!(psql(&restored, SUM), psql(&url, SUM));
    let old = psql(&restored.replace("password-2", "password-1"), "SELECT 1");
    assert!(old.clone().is_err_and(|error| error.contains("password authentication failed")), "{old:?}");
    end(&server);
}

#[test]
fn the_copy_that_is_named_is_taken_and_a_missing_one_is_told() {
    let (first, second) = (filled(10), filled(20));
    let pod = Pod::new();
    let log = failed(pod.restore("password-1"));
    assert!(log.contains("there is no copy"), "{log}");
    done(pod.backup(&first, 1));
    let name = "watchkeeper-20200101T030000Z.dump";
    fs::rename(pod.path("backups").join(&pod.names("backups")[0]), pod.path("backups").join(name)).unwrap();
    done(pod.backup(&second, 9));
    let mut missing = pod.restore("password-1");
    missing.env("RESTORE_FILE", "nothing.dump");
    assert!(failed(missing).contains("nothing.dump"));
    let mut older = pod.restore("password-1");
    older.env("RESTORE_FILE", name);
    done(older);
    let (server, restored) = pod.serve("password-1");
    assert_eq!(psql(&restored, SUM), psql(&first, SUM));
    end(&server);
}

#[test]
fn files_that_are_no_database_are_never_removed() {
    let pod = Pod::new();
    done(pod.backup(&filled(10), 1));
    fs::create_dir(pod.pgdata()).unwrap();
    pod.give(&pod.pgdata());
    fs::write(pod.pgdata().join("precious"), "data").unwrap();
    let log = failed(pod.restore("password-1"));
    assert!(log.contains("are left alone"), "{log}");
    assert_eq!(fs::read_to_string(pod.pgdata().join("precious")).unwrap(), "data");
}
