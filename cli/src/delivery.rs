//! How large a policy may be, by the way in which it is delivered. docs/sizes.md has the figures.

use std::fmt;

/// The limit for all annotations of an object in Kubernetes, in bytes. `kubectl apply` keeps a copy of the object in one
/// of them. Source: Kubernetes, `TotalAnnotationSizeLimitB`.
const ANNOTATIONS: usize = 256 * 1024;

/// The limit of etcd for a request, in bytes: `--max-request-bytes`.
const REQUEST: usize = 1536 * 1024;

/// The number of keys from which a `Struct` is a bad form: it is in memory as a whole while it is read.
const STRUCT: usize = 5_000;

/// A policy that is too large for its delivery.
pub(crate) struct TooLarge {
    /// The problem.
    pub(crate) message: String,
    /// What to do.
    pub(crate) fix: &'static str,
}

impl TooLarge {
    /// An object in Kubernetes, by its size in bytes as JSON, as the API server has it.
    pub(crate) fn object(size: usize) -> Option<Self> {
        let kib = size.div_ceil(1024);
        match size {
            REQUEST.. => Some(Self {
                message: format!("{kib} KiB are too large for Kubernetes, whose API server takes at most 1.5 MiB"),
                fix: "use several gates with fewer keys, or Envoys that read a file (`portcullis render ecds`)",
            }),
            ANNOTATIONS.. => Some(Self {
                message: format!(
                    "{kib} KiB are too large for `kubectl apply`, which keeps a copy in an annotation of at most 256 KiB"
                ),
                fix: "use `kubectl apply --server-side`",
            }),
            _ => None,
        }
    }

    /// A policy that is a `Struct` in Envoy's own configuration, by its number of keys.
    pub(crate) fn structure(keys: usize) -> Option<Self> {
        (keys > STRUCT).then(|| Self {
            message: format!(
                "{keys} keys as a Struct: each VM holds the whole document while it reads it, and keeps the memory"
            ),
            fix: "write it as JSON text, which is read in pieces (`portcullis render envoy` does)",
        })
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.fix)
    }
}
