//! What the node's programs read.

use std::path::Path;

use serde_json::{Value, json};

use super::NODE;
use crate::cluster::network::Network;

/// The name under which images of the tests' own are known.
const PAUSE: &str = "watchkeeper.test/pause:dev";

/// containerd's, in TOML.
pub fn containerd(directory: &Path, cni: &Path) -> String {
    let (directory, cni) = (directory.display(), cni.display());
    format!(
        r#"version = 2
root = "{directory}/containerd"
state = "{directory}/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{directory}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # A machine may lack the right to lower the score, and runc would end there.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{directory}/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{directory}/cni"
"#
    )
}

/// The pods' network: each has a pair of interfaces to the node, which routes between them, so that
/// every packet passes the node's rules.
pub fn cni(directory: &Path, network: &Network) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": network.name,
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": directory.join("addresses"),
                "ranges": [[{"subnet": network.pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// The kubelet's. JSON is YAML too.
pub fn kubelet(directory: &Path, network: &Network) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node.to_string(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": directory.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{}", directory.join("containerd.sock").display()),
        "clusterDNS": [network.service(10).to_string()],
        "clusterDomain": "cluster.local",
        "resolvConf": directory.join("resolv.conf"),
        "podLogsDir": directory.join("pod-logs"),
        "volumePluginDir": directory.join("volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", network.name),
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        "maxPods": 200,
        "registryPullQPS": 0,
        "healthzBindAddress": network.node.to_string(),
        // The machine's disk is whoever's: only when it is all but full do pods have to go.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%",
                         "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,
        // A crash is found and mended at once, so that no test waits for it.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
        "featureGates": {"KubeletCrashLoopBackOffMax": true},
        "syncFrequency": "5s",
    })
}

/// kube-proxy's.
pub fn proxy(directory: &Path, network: &Network) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": directory.join("kube-proxy.kubeconfig")},
        "clusterCIDR": network.pods(),
        "hostnameOverride": NODE,
        // The machine's settings are left as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": format!("{}:10256", network.node),
        "metricsBindAddress": format!("{}:10249", network.node),
    })
}

/// CoreDNS'. Names outside of the cluster are those of the file `hosts`, and no others.
pub fn corefile(directory: &Path, network: &Network) -> String {
    let (node, pods, services) = (network.node, network.pods(), network.services());
    let directory = directory.display();
    format!(
        "\
.:53 {{
    errors
    ready {node}:8181
    cache 5
    kubernetes cluster.local {services} {pods} {{
        kubeconfig {directory}/coredns.kubeconfig
        ttl 5
    }}
    hosts {directory}/hosts {{
        reload 1s
    }}
}}
"
    )
}

/// What a cluster has from its first moment: names, storage, and the rights of the programs that
/// serve them.
pub fn objects(network: &Network) -> String {
    let (node, dns) = (network.node, network.service(10));
    format!(
        r#"apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {dns}
  ports:
    - {{name: dns, port: 53, protocol: UDP}}
    - {{name: dns-tcp, port: 53, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
ports:
  - {{name: dns, port: 53, protocol: UDP}}
  - {{name: dns-tcp, port: 53, protocol: TCP}}
endpoints: [{{addresses: ["{node}"]}}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: directory, annotations: {{storageclass.kubernetes.io/is-default-class: "true"}}}}
provisioner: watchkeeper.test/directory
allowVolumeExpansion: true
reclaimPolicy: Delete
volumeBindingMode: Immediate
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: watchkeeper-test-dns}}
rules:
  - {{apiGroups: [""], resources: [services, namespaces, pods, endpoints], verbs: [list, watch]}}
  - {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: watchkeeper-test-dns}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: watchkeeper-test-dns}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:coredns"}}]
"#
    )
}
