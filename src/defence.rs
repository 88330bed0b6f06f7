//! Defences by name, so that a test can take one out and see what fails without it.
//!
//! `defence!("dot-segments")` marks the condition that is the defence of that name. In a normal build it is the literal
//! `true`, and costs nothing. With the feature `defence-switch`, which only test builds have, it is `false` where the
//! environment variable `PORTCULLIS_WITHOUT` holds the name. The filter cannot be built with the feature, and a test makes
//! sure that neither the module nor the command has the switch.
//!
//! `tests/defences.yaml` lists the names, each with its threat and the rows that fail without it. A name marks one place.

#[cfg(all(feature = "defence-switch", target_arch = "wasm32"))]
compile_error!("the feature `defence-switch` is for tests: a filter whose defences can be taken out is not built");

/// Whether the defence of this name is in place.
#[cfg(not(feature = "defence-switch"))]
macro_rules! defence {
    ($name:literal) => {
        true
    };
}

/// Whether the defence of this name is in place.
#[cfg(feature = "defence-switch")]
macro_rules! defence {
    ($name:literal) => {
        $crate::defence::is_in_place($name)
    };
}

/// Whether this is not the defence that is taken out.
#[cfg(feature = "defence-switch")]
pub(crate) fn is_in_place(name: &str) -> bool {
    static TAKEN_OUT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    TAKEN_OUT.get_or_init(|| std::env::var("PORTCULLIS_WITHOUT").ok()).as_deref() != Some(name)
}
