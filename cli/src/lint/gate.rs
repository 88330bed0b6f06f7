//! A gate in a configuration: its policy, its module, and what happens if the module fails.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Examined;
use super::code::Code;
use super::configuration::{Source, field, is_enum, is_set, text_of, typed};
use super::finding::Finding;
use super::policy::{AcceptedPolicy, Subject, Variables};
use crate::delivery::TooLarge;
use crate::yaml::{Node, Place, Position, Tree};
use portcullis::Timestamp;

/// A gate in a configuration.
pub(super) struct Gate<'a> {
    /// The file that contains it.
    pub(super) source: &'a Source,
    /// Its entry among the filters, or its whole resource.
    pub(super) entry: &'a Node,
    /// The name by which routes and other files refer to it.
    pub(super) name: String,
    /// The policy: as a tree, and as the bytes that the module gets.
    policy: (Node, Vec<u8>),
    variables: Variables,
    on_failure: OnFailure<'a>,
    module: Module<'a>,
    /// The accepted policy; `None` before `examine`, and if the policy is refused.
    pub(super) accepted: Option<AcceptedPolicy>,
}

/// What a proxy does if the module fails.
enum OnFailure<'a> {
    /// It lets every request through.
    Open(&'a Node),
    /// It answers 503 until its configuration changes.
    Close(Option<&'a Node>),
    /// It restarts the module, or the platform has no better setting.
    Best,
}

/// The source of the module.
struct Module<'a> {
    /// The URL of a remote module.
    url: Option<&'a Node>,
    sha256: Option<&'a Node>,
}

impl<'a> Gate<'a> {
    /// A filter of Envoy: an entry of `http_filters`, or a resource of ECDS. `None` for any other filter.
    pub(super) fn of_filter(source: &'a Source, entry: &'a Node, config: &'a Node) -> Option<Self> {
        let (kind, body) = typed(config)?;
        let plugin = kind.ends_with(".wasm.v3.Wasm").then(|| field(body, "config"))??;
        let vm = field(plugin, "vm_config");
        let code = vm.and_then(|vm| field(vm, "code"));
        let remote = code.and_then(|code| field(code, "remote"));
        let url = remote.and_then(|remote| field(field(remote, "http_uri")?, "uri")).or(remote);
        let file = code.and_then(|code| field(field(code, "local")?, "filename"));
        let names = [
            text_of(entry, "name"),
            text_of(plugin, "name"),
            text_of(plugin, "root_id"),
            url.and_then(Node::text),
            file.and_then(Node::text),
        ];
        let policy = policy_of(source, field(plugin, "configuration"), plugin.at)?;
        is_gate(&names, &policy.0).then_some(())?;
        let opens = field(plugin, "fail_open").filter(|_| is_set(plugin, "fail_open"));
        let failure = field(plugin, "failure_policy");
        let given = vm.and_then(|vm| field(vm, "environment_variables"));
        let texts = |name| given.and_then(|given| field(given, name));
        Some(Self {
            source,
            entry,
            name: text_of(entry, "name").unwrap_or("portcullis").to_owned(),
            policy,
            variables: Variables::Given {
                of_host: list(texts("host_env_keys")),
                values: texts("key_values")
                    .map(Node::members)
                    .unwrap_or_default()
                    .iter()
                    .map(|(name, value)| (name.text.clone(), value.text().unwrap_or_default().to_owned()))
                    .collect(),
            },
            on_failure: match (opens, failure) {
                (Some(node), _) => OnFailure::Open(node),
                (None, Some(node)) if is_enum(node, "FAIL_OPEN", 3) => OnFailure::Open(node),
                (None, Some(node)) if is_enum(node, "FAIL_RELOAD", 1) => OnFailure::Best,
                (None, other) => OnFailure::Close(other),
            },
            module: Module { url, sha256: remote.and_then(|remote| field(remote, "sha256")) },
            accepted: None,
        })
    }

    /// A plugin of Istio: the `spec` of a WasmPlugin, or the `wasm` of a TrafficExtension.
    pub(super) fn of_istio(source: &'a Source, resource: &'a Node, wasm: &'a Node) -> Option<Self> {
        let name = text_of(resource.get("metadata")?, "name").unwrap_or_default();
        let url = wasm.get("url");
        let policy = struct_of(wasm.get("pluginConfig"), wasm.at);
        is_gate(&[Some(name), text_of(wasm, "pluginName"), url.and_then(Node::text)], &policy.0).then_some(())?;
        let variables = wasm.get("vmConfig").and_then(|vm| vm.get("env")).map(Node::items).unwrap_or_default();
        let (values, of_host): (Vec<_>, Vec<_>) =
            variables.iter().partition(|one| text_of(one, "valueFrom") != Some("HOST"));
        let name_of = |one: &Node| text_of(one, "name").unwrap_or_default().to_owned();
        let strategy = wasm.get("failStrategy");
        Some(Self {
            source,
            entry: resource,
            name: name.to_owned(),
            policy,
            variables: Variables::Given {
                of_host: of_host.into_iter().map(name_of).collect(),
                values: values
                    .into_iter()
                    .map(|one| (name_of(one), text_of(one, "value").unwrap_or_default().to_owned()))
                    .collect(),
            },
            on_failure: match strategy.and_then(|node| Some((node, node.text()?))) {
                Some((node, "FAIL_OPEN")) => OnFailure::Open(node),
                Some((_, "FAIL_RELOAD")) => OnFailure::Best,
                _ => OnFailure::Close(strategy),
            },
            // A file is not compared with a digest.
            module: Module {
                url: url.filter(|url| !url.text().is_some_and(|url| url.starts_with("file:"))),
                sha256: wasm.get("sha256"),
            },
            accepted: None,
        })
    }

    /// One of the `wasm` of an EnvoyExtensionPolicy.
    pub(super) fn of_envoy_gateway(source: &'a Source, wasm: &'a Node) -> Option<Self> {
        let code = wasm.get("code").and_then(|code| code.get("http").or_else(|| code.get("image")));
        let url = code.and_then(|code| code.get("url"));
        let policy = struct_of(wasm.get("config"), wasm.at);
        let name = text_of(wasm, "name");
        is_gate(&[name, text_of(wasm, "rootID"), url.and_then(Node::text)], &policy.0).then_some(())?;
        let open = wasm.get("failOpen").filter(|open| open.tree == Tree::Bool(true));
        Some(Self {
            source,
            entry: wasm,
            name: name.unwrap_or_default().to_owned(),
            policy,
            variables: Variables::Given {
                of_host: list(wasm.get("env").and_then(|env| env.get("hostKeys"))),
                values: Vec::new(),
            },
            on_failure: open.map_or(OnFailure::Best, OnFailure::Open),
            module: Module { url, sha256: code.and_then(|code| code.get("sha256")) },
            accepted: None,
        })
    }

    /// The place of a part of it.
    pub(super) fn place(&self, node: Option<&Node>) -> Place {
        Place { file: self.source.file.clone(), at: node.and_then(|node| node.at).or(self.entry.at) }
    }

    /// Checks the policy and the module, and keeps the policy.
    pub(super) fn examine(&mut self, has_listener: bool, times: (Timestamp, Timestamp), examined: &mut Examined) {
        let (node, bytes) = &self.policy;
        let place = |path: &str| Place { file: self.source.file.clone(), at: node.position(path).or(self.entry.at) };
        let subject = Subject { node, bytes, place: &place, variables: &self.variables, has_listener, times };
        let (findings, accepted) = subject.examine();
        examined.findings.extend(findings);
        examined.findings.extend(self.module_findings());
        examined.policies.extend(
            accepted.as_ref().map(|accepted| (accepted.document.name.as_str().to_owned(), accepted.digest.clone())),
        );
        self.accepted = accepted;
        examined.findings.extend(self.too_large());
    }

    /// A policy that is too large as a `Struct` in Envoy's own configuration. Others are in an object of Kubernetes.
    fn too_large(&self) -> Option<Finding> {
        let plugin = self.entry.get("typed_config").and_then(typed).and_then(|(_, body)| field(body, "config"))?;
        let configuration = field(plugin, "configuration")?;
        let is_struct = text_of(configuration, "@type")?.ends_with(".Struct");
        let consumers = self.accepted.as_ref().filter(|_| is_struct)?.document.consumers.iter();
        let keys = consumers.map(|consumer| consumer.keys.len()).fold(0, usize::saturating_add);
        let TooLarge { message, fix } = TooLarge::structure(keys)?;
        Some(Finding::new(Code::LargePolicy, self.place(Some(configuration)), message, fix))
    }

    fn module_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find =
            |code, node, message: &str, fix: &str| findings.push(Finding::new(code, self.place(node), message, fix));
        match self.on_failure {
            OnFailure::Open(node) => find(
                Code::FailOpen,
                Some(node),
                "if the module fails or cannot be loaded, every request gets through",
                "use FAIL_RELOAD, or fail closed",
            ),
            OnFailure::Close(node) => {
                let message = "if the module traps, the worker answers 503 until its configuration changes";
                find(Code::NoFailReload, node, message, "use FAIL_RELOAD");
            }
            OnFailure::Best => {}
        }
        match (self.module.url, self.module.sha256.and_then(Node::text).filter(|text| !text.is_empty())) {
            (Some(url), None) => {
                let message = "no digest: whoever can replace the module at its source controls the gate";
                find(
                    Code::UnpinnedModule,
                    Some(url),
                    message,
                    "add its sha256, and use a tag or a path with its version",
                );
            }
            (_, Some(digest)) if digest.bytes().all(|byte| byte == b'0') => {
                find(
                    Code::PlaceholderDigest,
                    self.module.sha256,
                    "placeholder digest: no module has it, so none is loaded, and no request gets through",
                    "use the digest of your module",
                );
            }
            _ => {}
        }
        findings
    }

    /// Whether the gate forwards the key, so that a gate behind it can check it.
    pub(super) fn forwards(&self) -> bool {
        self.accepted.as_ref().is_none_or(|accepted| accepted.document.upstream.forward_credential)
    }

    /// Whether the policy treats paths differently: by rules or protected paths.
    pub(super) fn tells_paths_apart(&self) -> bool {
        let document = self.accepted.as_ref().map(|accepted| &accepted.document);
        document.is_some_and(|document| !document.rules.is_empty() || document.protected_paths.is_some())
    }

    /// The `vm_id` and the `vm_config` of the gate.
    pub(super) fn vm(&self) -> Option<(&'a str, &'a Node)> {
        let (_, body) = typed(field(self.entry, "typed_config")?)?;
        let vm = field(field(body, "config")?, "vm_config")?;
        Some((text_of(vm, "vm_id").unwrap_or_default(), vm))
    }
}

/// Finds gates with the same `vm_id` and different environments: before Envoy 1.39 all get the environment of the
/// first.
pub(super) fn shared_vms(gates: &[Gate<'_>], findings: &mut Vec<Finding>) {
    for (number, gate) in gates.iter().enumerate() {
        let Some((id, vm)) = gate.vm() else { continue };
        let variables = |vm: &Node| field(vm, "environment_variables").and_then(|node| node.to_json().ok());
        let differs = |other: &Gate<'_>| {
            other.vm().is_some_and(|(other_id, other)| id == other_id && variables(vm) != variables(other))
        };
        if gates.iter().take(number).any(differs) {
            let message = format!(
                "another gate has the vm_id {id:?} and different environment_variables: before Envoy 1.39 both get \
                 the same values"
            );
            findings.push(Finding::new(
                Code::SharedVm,
                gate.place(Some(vm)),
                message,
                "use a different vm_id for each environment",
            ));
        }
    }
}

/// Whether this is a Portcullis gate: by one of its names, or by the members of its configuration.
fn is_gate(names: &[Option<&str>], policy: &Node) -> bool {
    const POLICY_FIELDS: [&str; 5] =
        ["key_sources", "public_paths", "protected_paths", "trusted_networks", "trusted_identities"];
    names.iter().flatten().any(|name| name.contains("portcullis"))
        || POLICY_FIELDS.iter().any(|member| policy.get(member).is_some())
}

fn list(node: Option<&Node>) -> Vec<String> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(Node::text).map(str::to_owned).collect()
}

/// A policy that is written as a structure.
fn struct_of(value: Option<&Node>, at: Option<Position>) -> (Node, Vec<u8>) {
    let nothing = || Node { at, tree: Tree::Map(Vec::new()) };
    let node = value.cloned().unwrap_or_else(nothing);
    let bytes = node.to_json().unwrap_or_default();
    (node, bytes)
}

/// The `configuration` of an Envoy plugin. `None` for a type that the gate does not know.
fn policy_of(source: &Source, configuration: Option<&Node>, at: Option<Position>) -> Option<(Node, Vec<u8>)> {
    let Some(configuration) = configuration else { return Some(struct_of(None, at)) };
    let kind = text_of(configuration, "@type")?;
    let value = field(configuration, "value");
    let text = value.and_then(Node::text).unwrap_or_default();
    match kind.rsplit('.').next()? {
        "Struct" => Some(struct_of(value, configuration.at)),
        "StringValue" => Some(text_policy(source, value.unwrap_or(configuration), text.as_bytes().to_vec())),
        "BytesValue" => {
            let bytes = STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec());
            Some(text_policy(source, value.unwrap_or(configuration), bytes))
        }
        _ => None,
    }
}

/// A policy that is written as text.
fn text_policy(source: &Source, value: &Node, bytes: Vec<u8>) -> (Node, Vec<u8>) {
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let node = Node::parse(text).ok().and_then(|node| source.outer(node, value, text));
    (node.unwrap_or(Node { at: value.at, tree: Tree::Map(Vec::new()) }), bytes)
}
