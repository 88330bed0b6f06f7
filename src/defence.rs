//! Named defences. A test can disable one and check which cases then fail.
//!
//! `defence!("dot-segments")` marks the condition that implements the defence of that name. Each name marks one place.
//!
//! * In a normal build, it is `true` and costs nothing.
//! * With the feature `defence-switch`, it is `false` if the environment variable `PORTCULLIS_WITHOUT` contains the name.
//!   Only test builds have this feature. The filter cannot be built with it, and a test checks that neither the module nor
//!   the command contains the switch.
//!
//! `tests/defences.yaml` lists each name with its threat and the rows that fail without it.

use std::sync::OnceLock;

#[cfg(all(feature = "defence-switch", target_arch = "wasm32"))]
compile_error!("the feature `defence-switch` is for tests: a filter whose defences can be taken out is not built");

/// Evaluates to whether the defence of this name is enabled.
macro_rules! defence {
    ($name:literal) => {
        $crate::defence::is_enabled($name)
    };
}

/// Whether this defence is enabled.
#[inline(always)]
pub(crate) fn is_enabled(name: &str) -> bool {
    static WITHOUT: OnceLock<Option<String>> = OnceLock::new();
    let without = || WITHOUT.get_or_init(|| std::env::var("PORTCULLIS_WITHOUT").ok()).as_deref();
    cfg!(not(feature = "defence-switch")) || without() != Some(name)
}
