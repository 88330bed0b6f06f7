//! Named defences. A test can disable one and check which cases then fail.
//!
//! `defence!("dot-segments")` marks the condition that implements the defence of that name. Each name marks one place.
//!
//! * In a normal build, it is the literal `true` and costs nothing.
//! * With the feature `defence-switch`, it is `false` if the environment variable `PORTCULLIS_WITHOUT` contains the name.
//!   Only test builds have this feature. The filter cannot be built with it, and a test checks that neither the module nor
//!   the command contains the switch.
//!
//! `tests/defences.yaml` lists each name with its threat and the rows that fail without it.

#[cfg(all(feature = "defence-switch", target_arch = "wasm32"))]
compile_error!("the feature `defence-switch` is for tests: a filter whose defences can be taken out is not built");

/// Evaluates to whether the defence of this name is enabled.
#[cfg(not(feature = "defence-switch"))]
macro_rules! defence {
    ($name:literal) => {
        true
    };
}

/// Evaluates to whether the defence of this name is enabled.
#[cfg(feature = "defence-switch")]
macro_rules! defence {
    ($name:literal) => {
        $crate::defence::is_in_place($name)
    };
}

/// Whether this defence is enabled.
#[cfg(feature = "defence-switch")]
pub(crate) fn is_in_place(name: &str) -> bool {
    static TAKEN_OUT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    TAKEN_OUT.get_or_init(|| std::env::var("PORTCULLIS_WITHOUT").ok()).as_deref() != Some(name)
}
