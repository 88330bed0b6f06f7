//! The callbacks. The host numbers its contexts: a root context is a plugin with its configuration, and each request is a
//! context with a root as its parent.
//!
//! The host would say when a context goes (`proxy_on_delete`), but that is one more entry into the VM for each request, and the
//! dearest of all. So a request is forgotten with its last callback, and what that leaves over, roots and requests
//! with a body, is looked through now and then: the host is asked which of them it still has.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;
use std::rc::Rc;

use crate::hostcalls::{Action, Level, OneThread, is_a_context, log, set_effective_context};

/// A plugin with its configuration, as it serves requests.
pub trait Plugin: Sized {
    /// Reads the configuration, of so many bytes; `None` refuses it.
    fn configure(size: usize) -> Option<Self>;

    /// `proxy_on_request_headers`. No plugin where none was configured.
    fn on_request_headers(plugin: Option<&Self>) -> Action;

    /// `proxy_on_request_trailers`.
    fn on_request_trailers(plugin: Option<&Self>) -> Action;
}

/// The contexts of a VM that have a plugin. A request keeps the plugin that it began under, whatever is loaded meanwhile.
#[derive(Debug)]
pub struct Contexts<P>(OneThread<Known<P>>);

#[derive(Debug)]
struct Known<P> {
    plugins: HashMap<u32, Rc<P>, BuildHasherDefault<Spread>>,
    /// So many contexts, and they are looked through.
    many: usize,
    /// Whether the host answers for the contexts of other roots than the one that it calls. Not every host does; one that it
    /// has shows it.
    answers_for_all: bool,
}

/// Never looked through for less than this many.
const FEW: usize = 256;

impl<P: Plugin> Contexts<P> {
    /// No context.
    #[expect(clippy::new_without_default, reason = "a static wants a constant")]
    pub const fn new() -> Self {
        let plugins = HashMap::with_hasher(BuildHasherDefault::new());
        Self(OneThread::new(Known { plugins, many: FEW, answers_for_all: false }))
    }

    /// `proxy_on_context_create`; a root has the parent 0, which is no context, and no plugin until it is configured.
    pub fn on_context_create(&self, context: u32, parent: u32) {
        self.0.with(|known| {
            let Some(plugin) = known.plugins.get(&parent).cloned() else { return };
            if known.plugins.len() >= known.many {
                known.forget_what_is_gone(context, Some(&plugin));
            }
            known.plugins.insert(context, plugin);
        });
    }

    /// `proxy_on_configure`. What was configured before stays if this is refused.
    pub fn on_configure(&self, root: u32, size: usize) -> bool {
        // First, so that no more than two configurations are held at a time: the one in use, and this one.
        self.0.with(|known| known.forget_what_is_gone(root, None));
        let Some(plugin) = P::configure(size) else { return false };
        self.0.with(|known| known.plugins.insert(root, Rc::new(plugin))).is_some()
    }

    /// `proxy_on_request_headers`.
    pub fn on_request_headers(&self, context: u32, end_of_stream: bool) -> Action {
        let plugin = self.0.with(|known| {
            if end_of_stream { known.plugins.remove(&context) } else { known.plugins.get(&context).cloned() }
        });
        P::on_request_headers(plugin.flatten().as_deref())
    }

    /// `proxy_on_request_trailers`.
    pub fn on_request_trailers(&self, context: u32) -> Action {
        let plugin = self.0.with(|known| known.plugins.remove(&context));
        P::on_request_trailers(plugin.flatten().as_deref())
    }
}

impl<P> Known<P> {
    /// Forgets the contexts that the host has no more; `current` is the one that it calls, and `own` the plugin of its root.
    fn forget_what_is_gone(&mut self, current: u32, own: Option<&Rc<P>>) {
        let is_own = |plugin: &Rc<P>| own.is_some_and(|own| Rc::ptr_eq(plugin, own));
        let mut others = self.plugins.iter().filter(|(context, plugin)| **context != current && !is_own(plugin));
        self.answers_for_all = self.answers_for_all || others.any(|(context, _)| is_a_context(*context));
        self.plugins.retain(|context, plugin| !(self.answers_for_all || is_own(plugin)) || is_a_context(*context));
        set_effective_context(current);
        self.many = self.plugins.len().saturating_mul(2).max(FEW);
    }
}

/// Numbers that count up need no more than to be spread.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 by the golden ratio (Knuth, The Art of Computer Programming, volume 3, 6.4).
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
}

/// What comes before all else in a VM: the C library's constructors, which read the environment; and a panic, which ends the
/// VM, says so in the host's log.
pub fn call_constructors() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: once, before anything else.
    unsafe { __wasm_call_ctors() };
    std::panic::set_hook(Box::new(|panic| log(Level::Critical, &panic.to_string())));
}

/// Exports the callbacks of a [`Plugin`], and no others: Envoy enters the VM for each that is there (proxy-wasm-cpp-host asks
/// `if (!wasm_->on_response_headers_...)` before each), so a callback that does nothing costs as much as one that works.
///
/// Not there, and what proxy-wasm-cpp-host does without it: `proxy_on_done` (done at once), `proxy_on_log`, `proxy_on_delete`,
/// the body and the response (goes on). `proxy_on_vm_start` is called once a VM, and a host may want it.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        mod exports {
            static CONTEXTS: $crate::Contexts<$plugin> = $crate::Contexts::new();

            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                $crate::call_constructors();
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_abi_version_0_2_1() {}

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
                1
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
                CONTEXTS.on_context_create(context, parent);
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
                CONTEXTS.on_configure(root, size).into()
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_headers(context: u32, _: u32, end_of_stream: u32) -> u32 {
                CONTEXTS.on_request_headers(context, end_of_stream != 0) as u32
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_trailers(context: u32, _: u32) -> u32 {
                CONTEXTS.on_request_trailers(context) as u32
            }
        }
    };
}
