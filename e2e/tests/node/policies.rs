//! NetworkPolicies, in a namespace where nothing else lets anybody in or out.
//!
//! What the cluster's network does not enforce is enforced here: [`reach`](crate::reach) reads the
//! policies, and rules of nftables in the node's network let pass what it finds allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use watchkeeper_e2e::upstream::row;
use watchkeeper_testkit::paths;

use crate::harness::{OPERATOR_NAMESPACE, POSTGRES, World, apply};
use crate::reach::{End, Policies};

/// Every port that anything here listens on, those of names and of the API server, and HTTPS.
const PORTS: [u16; 7] = [53, 443, 3000, 5432, 6443, 8000, 9090];
/// Addresses of nobody's.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const LATER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// Where a pod of an instance really answers, and whether everybody may ask.
const ANSWERS: [(&str, u16, bool); 6] = [
    ("logger", 8000, true),
    ("logger", 9090, true),
    ("api", 3000, true),
    ("api", 9090, true),
    ("checker", 9090, true),
    ("database", 5432, false),
];
const REFRESH: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(3);

/// All that is open: from whom, to whom, on which ports. A neighbour is a pod of the same namespace
/// that may call whom it likes; a stranger is one of a namespace without policies. Outside is no pod.
const OPEN: &str = "\
api > database: 5432
api > outside: 53
api > stranger: 53
backup > database: 5432
backup > outside: 53
backup > stranger: 53
checker > api: 3000 9090
checker > database: 5432
checker > logger: 8000 9090
checker > operator: 9090
checker > outside: 53 443 3000 5432 6443 8000 9090
checker > stranger: 53 443 3000 5432 6443 8000 9090
logger > database: 5432
logger > outside: 53
logger > stranger: 53
neighbour > api: 3000 9090
neighbour > checker: 9090
neighbour > logger: 8000 9090
neighbour > operator: 9090
operator > api: 3000
operator > outside: 53 443 6443
operator > stranger: 53 443 6443
outside > api: 3000 9090
outside > checker: 9090
outside > logger: 8000 9090
outside > operator: 9090
stranger > api: 3000 9090
stranger > checker: 9090
stranger > logger: 8000 9090
stranger > operator: 9090
";
/// Those that the table is about.
const OURS: [&str; 6] = ["api", "backup", "checker", "database", "logger", "operator"];

async fn policies(client: &Client) -> Result<Policies> {
    let all = ListParams::default();
    let namespaces = Api::<Namespace>::all(client.clone()).list(&all).await?.items;
    Ok(Policies {
        all: Api::<NetworkPolicy>::all(client.clone()).list(&all).await?.items,
        namespaces: namespaces.into_iter().map(|one| (one.name_any(), one.labels().clone())).collect(),
    })
}

/// Every pod of the cluster that has an address.
async fn pods(client: &Client) -> Result<Vec<End>> {
    let all = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await?.items;
    let end = |pod: Pod| {
        let status = pod.status.as_ref()?;
        let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let address = status.pod_ip.as_ref().filter(|_| !over)?.parse().ok()?;
        Some(End { name: pod.name_any(), address, pod: Some(pod) })
    };
    Ok(all.into_iter().filter_map(end).collect())
}

fn elsewhere(name: &str, address: Ipv4Addr) -> End {
    End { name: name.to_owned(), address, pod: None }
}

/// Enforces the policies upon the pods of a namespace until it is dropped.
struct Enforced {
    network: String,
    table: String,
    over: Arc<Mutex<bool>>,
    _task: AbortOnDropHandle<()>,
}

impl Enforced {
    async fn start(world: &World) -> Result<Self> {
        let network = fs::read_to_string(world.cluster.directory().join("network"))?;
        let table = world.namespace.replace('-', "_");
        let node = Api::<Node>::all(world.client.clone()).list(&ListParams::default()).await?;
        let addresses = node.items.into_iter().filter_map(|node| node.status?.addresses).flatten();
        let node = addresses.into_iter().find(|address| address.type_ == "InternalIP");
        let node = node.context("a node without an address")?.address.parse()?;
        let others =
            [elsewhere("host", world.cluster.host()), elsewhere("node", node), elsewhere("outside", OUTSIDE)];
        let over = Arc::new(Mutex::new(false));
        let (client, namespace) = (world.client.clone(), world.namespace.clone());
        let task = tokio::spawn({
            let (network, table, over) = (network.clone(), table.clone(), over.clone());
            async move {
                let mut last = String::new();
                loop {
                    let now = rules(&client, &namespace, &table, &others).await.unwrap();
                    if now != last {
                        // Not any more once the table is gone for good.
                        let over = over.lock().unwrap();
                        if *over {
                            return;
                        }
                        nft(&network, &now).unwrap();
                        last = now;
                    }
                    tokio::time::sleep(REFRESH).await;
                }
            }
        });
        Ok(Self { network, table, over, _task: AbortOnDropHandle::new(task) })
    }
}

impl Drop for Enforced {
    fn drop(&mut self) {
        *self.over.lock().unwrap() = true;
        let _ = nft(&self.network, &format!("delete table ip {}\n", self.table));
    }
}

/// Rules that let each pod of a namespace have the connections that it may have, and no others.
async fn rules(client: &Client, namespace: &str, table: &str, others: &[End]) -> Result<String> {
    let policies = policies(client).await?;
    let mut ends = pods(client).await?;
    ends.extend(others.iter().cloned());
    let governed =
        |end: &End| end.pod.as_ref().and_then(ResourceExt::namespace).as_deref() == Some(namespace);
    let known: BTreeSet<_> =
        ends.iter().filter(|end| governed(end)).map(|end| end.address.to_string()).collect();
    let mut open = BTreeSet::new();
    for (from, to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to))) {
        for (protocol, port) in PORTS.map(|port| ("tcp", port)).into_iter().chain([("udp", 53)]) {
            let ours = governed(from) || governed(to);
            if ours && policies.allow(from, to, &protocol.to_uppercase(), port) {
                open.insert(format!("{} . {} . {protocol} . {port}", from.address, to.address));
            }
        }
    }
    let set = |name: &str, kind: &str, elements: BTreeSet<String>| {
        let elements = elements.into_iter().collect::<Vec<_>>().join(", ");
        let elements = if elements.is_empty() { elements } else { format!("elements = {{ {elements} }}\n") };
        format!("set {name} {{\ntype {kind}\n{elements}}}\n")
    };
    let mut text = format!("table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n");
    text += &set("pods", "ipv4_addr", known);
    text += &set("open", "ipv4_addr . ipv4_addr . inet_proto . inet_service", open);
    // What the node itself sends, as the kubelet's probes, is free, as it has to be.
    for hook in ["forward", "input"] {
        write!(
            text,
            "chain {hook} {{\ntype filter hook {hook} priority filter\n\
             ct state established,related accept\n\
             ip saddr . ip daddr . meta l4proto . th dport @open accept\n\
             ip saddr @pods drop\nip daddr @pods drop\n}}\n"
        )?;
    }
    Ok(text + "}\n")
}

/// Gives nftables rules in a network.
fn nft(network: &str, rules: &str) -> Result<()> {
    let mut child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{network}"))
        .arg(paths::packaged("network")?.join("nft"))
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(rules.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("nft: {}\n{rules}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A pod that does nothing, and has a shell.
fn idle(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "idle", "image": POSTGRES, "command": ["sleep", "infinity"],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}})
}

fn policy(name: &str, selector: &Value, spec: &Value) -> Value {
    let mut policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name}, "spec": spec});
    policy["spec"]["podSelector"] = selector.clone();
    policy
}

/// The parties of an installation by what they are called here.
async fn parties(world: &World, strangers: &str) -> Result<BTreeMap<String, End>> {
    let mut parties = BTreeMap::new();
    for end in pods(&world.client).await? {
        let Some(pod) = &end.pod else { continue };
        let namespace = pod.namespace().unwrap_or_default();
        let component = pod.labels().get("app.kubernetes.io/component");
        let name = match component {
            Some(component) if namespace == world.namespace => component.clone(),
            _ if namespace == world.namespace || namespace == strangers => end.name.clone(),
            _ if namespace == OPERATOR_NAMESPACE => "operator".to_owned(),
            // Of other tests.
            _ => continue,
        };
        parties.insert(name, end);
    }
    let jobs: Api<CronJob> = Api::namespaced(world.client.clone(), &world.namespace);
    let template = jobs.get("shop-backup").await?.spec.and_then(|spec| spec.job_template.spec);
    let template = template.context("no template")?.template;
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.namespace = Some(world.namespace.clone());
    let pod = Pod { metadata, spec: template.spec, status: None };
    parties.insert("backup".to_owned(), End { name: "backup".to_owned(), address: LATER, pod: Some(pod) });
    parties.insert("outside".to_owned(), elsewhere("outside", OUTSIDE));
    Ok(parties)
}

/// Which of the addresses a pod can open a connection to.
fn opened_by(world: &World, namespace: &str, pod: &str, addresses: &[SocketAddr]) -> Result<Vec<bool>> {
    let script: String = addresses
        .iter()
        .map(|address| (address.ip(), address.port()))
        .map(|(ip, port)| {
            format!(
                "timeout {} bash -c '</dev/tcp/{ip}/{port}' 2>&- && echo true || echo false\n",
                PATIENCE.as_secs()
            )
        })
        .collect();
    let said = world.kubectl(&["exec", "--namespace", namespace, pod, "--", "bash", "-c", &script])?;
    Ok(said.lines().map(str::parse).collect::<Result<_, _>>()?)
}

fn opened_here(addresses: &[SocketAddr]) -> Vec<bool> {
    addresses.iter().map(|address| TcpStream::connect_timeout(address, PATIENCE).is_ok()).collect()
}

// The policies are enforced while the test waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_works_where_only_the_paths_that_its_policies_open_are_open() {
    let world = World::new("policies").await.unwrap();
    let strangers = world.cluster.namespace("strangers").await.unwrap();
    let deny = policy("deny", &json!({}), &json!({"policyTypes": ["Ingress", "Egress"]}));
    world.apply(&deny).unwrap();
    let free = json!({"policyTypes": ["Egress"], "egress": [{}]});
    world.apply(&policy("neighbour", &json!({"matchLabels": {"app": "neighbour"}}), &free)).unwrap();
    let enforced = Enforced::start(&world).await.unwrap();
    world.apply(&idle("neighbour")).unwrap();
    apply(&world.cluster, &strangers, &idle("stranger")).unwrap();

    // It gets ready, takes hits, gets over a lost database and makes its copy.
    let backup = json!({"schedule": "@yearly", "storage": {"size": "1Gi"}});
    let shop = world.instance("shop", json!({"database": {"managed": {"backup": backup}}})).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let key = upstream.generate().await.unwrap();
    let hits = [row("/a", &Timestamp::now().to_string())];
    assert_eq!(upstream.post(&key, "Axum", &hits).await.unwrap(), 201);
    shop.kill("database").await.unwrap();
    let again = async || Ok((upstream.post(&key, "Axum", &hits).await? == 201).then_some(()));
    world.until("hits are taken again", again).await.unwrap();
    shop.ready().await.unwrap();
    shop.holds(&key, 2).await.unwrap();
    world.kubectl(&["create", "job", "copy", "--from=cronjob/shop-backup"]).unwrap();
    world.kubectl(&["wait", "job/copy", "--for=condition=Complete", "--timeout=180s"]).unwrap();

    // What is open, as it is written.
    for (namespace, pod) in [(&world.namespace, "pod/neighbour"), (&strangers, "pod/stranger")] {
        world
            .kubectl(&["wait", "--namespace", namespace, pod, "--for=condition=Ready", "--timeout=120s"])
            .unwrap();
    }
    let policies = policies(&world.client).await.unwrap();
    let parties = parties(&world, &strangers).await.unwrap();
    let mut open = String::new();
    for (from_name, from) in &parties {
        for (to_name, to) in &parties {
            let ports = PORTS.into_iter().filter(|port| policies.allow(from, to, "TCP", *port));
            let ports = ports.map(|port| port.to_string()).collect::<Vec<_>>().join(" ");
            let ours = OURS.iter().any(|name| from_name == name || to_name == name);
            if ours && from.address != to.address && !ports.is_empty() {
                writeln!(open, "{from_name} > {to_name}: {ports}").unwrap();
            }
        }
    }
    assert_eq!(open, OPEN, "\n{open}");

    // And as it is.
    let addresses = ANSWERS.map(|(party, port, _)| SocketAddr::new(IpAddr::V4(parties[party].address), port));
    let allowed = ANSWERS.map(|(_, _, allowed)| allowed);
    for (namespace, pod) in [(&world.namespace, "neighbour"), (&strangers, "stranger")] {
        assert_eq!(opened_by(&world, namespace, pod, &addresses).unwrap(), allowed, "{pod}");
    }
    assert_eq!(opened_here(&addresses), allowed);
    drop(enforced);
    assert_eq!(opened_here(&addresses), [true; ANSWERS.len()], "it was not the policies that closed it");
}
