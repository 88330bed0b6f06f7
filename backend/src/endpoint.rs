//! Which endpoint a path names.

/// The endpoints of the server. Paths are compared as they arrived, byte for byte: this backend does not normalize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    /// `/`: the list of endpoints.
    Index,
    /// `/healthz`: the server is up.
    Health,
    /// `/v2/`: the version of the API.
    Version,
    /// `/v2/models/`: the models.
    Models,
    /// `/v2/models/{model}/metadata`: the description of a model.
    Metadata {
        /// The segment of the path, not decoded.
        model: &'a str,
    },
    /// `/v2/models/{model}/predict`: run a model.
    Predict {
        /// The segment of the path, not decoded.
        model: &'a str,
    },
    /// Any other path.
    Other,
}

impl<'a> Endpoint<'a> {
    /// The endpoints that have a path of their own, as `/` lists them.
    pub(crate) const PATHS: [&'static str; 6] = [
        "GET /",
        "GET /healthz",
        "GET /v2/",
        "GET /v2/models/",
        "GET /v2/models/{model}/metadata",
        "POST /v2/models/{model}/predict",
    ];

    /// The endpoint of `path`, which is without a query.
    pub(crate) fn of(path: &'a str) -> Self {
        match path {
            "/" => Endpoint::Index,
            "/healthz" => Endpoint::Health,
            "/v2/" => Endpoint::Version,
            "/v2/models/" => Endpoint::Models,
            _ => Self::of_model(path).unwrap_or(Endpoint::Other),
        }
    }

    fn of_model(path: &'a str) -> Option<Self> {
        let (model, verb) = path.strip_prefix("/v2/models/")?.split_once('/')?;
        match (model, verb) {
            ("", _) => None,
            (model, "metadata") => Some(Endpoint::Metadata { model }),
            (model, "predict") => Some(Endpoint::Predict { model }),
            _ => None,
        }
    }

    /// The name in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Endpoint::Index => "index",
            Endpoint::Health => "healthz",
            Endpoint::Version => "version",
            Endpoint::Models => "models",
            Endpoint::Metadata { .. } => "metadata",
            Endpoint::Predict { .. } => "predict",
            Endpoint::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn paths_name_endpoints_exactly() {
        let cases = [
            ("/", Endpoint::Index),
            ("/healthz", Endpoint::Health),
            ("/v2/", Endpoint::Version),
            ("/v2/models/", Endpoint::Models),
            ("/v2/models/resnet/metadata", Endpoint::Metadata { model: "resnet" }),
            ("/v2/models/resnet/predict", Endpoint::Predict { model: "resnet" }),
            ("/v2/models/a%2Fb/predict", Endpoint::Predict { model: "a%2Fb" }),
            ("/v2", Endpoint::Other),
            ("/v2/models", Endpoint::Other),
            ("/v2/models/resnet", Endpoint::Other),
            ("/v2/models//predict", Endpoint::Other),
            ("/v2/models/resnet/predict/", Endpoint::Other),
            ("/V2/models/resnet/predict", Endpoint::Other),
            ("*", Endpoint::Other),
            ("", Endpoint::Other),
        ];
        for (path, expected) in cases {
            assert_eq!(Endpoint::of(path), expected, "{path}");
        }
    }
}
