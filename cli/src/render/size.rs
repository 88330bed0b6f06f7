//! How large an object may be in Kubernetes.

use anyhow::Result;

use crate::yaml::Node;

/// The limit for all annotations of an object, in bytes. `kubectl apply` keeps a copy of the object in one of them.
/// Source: Kubernetes, `TotalAnnotationSizeLimitB`.
const ANNOTATIONS: usize = 256 * 1024;

/// The limit of etcd for a request, in bytes: `--max-request-bytes`.
const REQUEST: usize = 1536 * 1024;

/// What to do about an object that is too large, if one is. The limits are for JSON, as the API server has it.
pub(super) fn warning(objects: &[Node]) -> Result<Option<String>> {
    let sizes = objects.iter().map(|object| Ok(object.to_json()?.len())).collect::<Result<Vec<_>>>()?;
    let largest = sizes.into_iter().max().unwrap_or_default();
    let kib = format!("{} KiB", largest.div_ceil(1024));
    Ok(match largest {
        REQUEST.. => Some(format!(
            "{kib} are too large for Kubernetes, whose API server takes at most 1.5 MiB: use several gates with fewer \
             keys, or Envoys that read a file (`portcullis render ecds`)"
        )),
        ANNOTATIONS.. => Some(format!(
            "{kib} are too large for `kubectl apply`, which keeps a copy in an annotation of at most 256 KiB: use \
             `kubectl apply --server-side`"
        )),
        _ => None,
    })
}
