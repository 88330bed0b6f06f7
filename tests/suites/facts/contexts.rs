//! How long Envoy has a context. The gate is not told when one goes: it asks (`abi/src/contexts.rs`).

use portcullis_tests::bootstrap::{Gate, Listener};
use portcullis_tests::envoy::Envoy;
use portcullis_tests::fleet::policy;
use portcullis_tests::listener::Kind;
use portcullis_tests::poll;
use portcullis_tests::stage::{Stage, bootstrap};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::wire_engine::Form;

use super::{FILE, replace};

/// Lets every request through. With each configuration it logs what `proxy_set_effective_context` returns for each root
/// context that it had, the first first, and the new one last.
const ASKING: &str = r#"(module
  (import "env" "proxy_set_effective_context" (func $set_effective_context (param i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $roots (mut i32) (i32.const 0))
  (data (i32.const 1000) "contexts: ")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32)
    (if (i32.eqz (local.get $parent)) (then
      (i32.store (i32.mul (global.get $roots) (i32.const 4)) (local.get $context))
      (global.set $roots (i32.add (global.get $roots) (i32.const 1))))))
  (func (export "proxy_on_configure") (param $root i32) (param i32) (result i32) (local $at i32)
    (loop $each
      (i32.store8
        (i32.add (i32.const 1010) (local.get $at))
        (i32.add
          (i32.const 48)
          (call $set_effective_context (i32.load (i32.mul (local.get $at) (i32.const 4))))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $at) (global.get $roots))))
    (drop (call $set_effective_context (local.get $root)))
    (drop (call $log (i32.const 4) (i32.const 1000) (i32.add (i32.const 10) (global.get $roots))))
    (i32.const 1)))"#;

#[test]
fn a_root_context_is_there_until_the_next_one_is_configured_and_then_no_more() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let module = directory.path().join("asking.wasm");
    std::fs::write(&module, wat::parse_str(ASKING).expect("a module")).expect("the directory takes a file");
    let upstream = Upstream::start();
    let gate = Gate::Discovered { directory: directory.path().to_owned(), file: FILE.to_owned() };
    let listeners = vec![Listener { name: "main".to_owned(), kind: Kind::Edge, gate, tls: None }];
    let mut bootstrap = bootstrap(listeners, &upstream);
    bootstrap.module = module;
    let update = |name: &str| {
        let document = bootstrap.discovery("main", name, &Form::Text.gate(&policy(name, "facts-key")));
        replace(directory.path(), FILE, &document.to_string());
    };
    update("first");
    let stage = Stage { envoy: Envoy::start(&bootstrap.document()), upstream };
    for (name, line) in [("first", "contexts: 0"), ("second", "contexts: 00"), ("third", "contexts: 200")] {
        update(name);
        poll::until("the worker has the update", || {
            // A request, so that there are contexts of requests among those of roots.
            assert_eq!(stage.ask("main", "/x", &[]).0, 200);
            stage.envoy.log().lines().any(|logged| logged.ends_with(line)).then_some(())
        });
    }
}
