{{/*
What would let requests through, run another module, or gate the whole mesh unasked. values.schema.json has these rules too, but Helm's option
--skip-schema-validation ignores it.
*/}}
{{- define "portcullis.check" -}}
{{- $module := .Values.module -}}
{{- $target := .Values.target -}}
{{- if not (has .Values.mode (list "enforce" "report" "disabled")) -}}
{{- fail "mode: expected enforce, report or disabled" -}}
{{- end -}}
{{- if not (has .Values.failStrategy (list "FAIL_RELOAD" "FAIL_CLOSE")) -}}
{{- fail "failStrategy: expected FAIL_RELOAD or FAIL_CLOSE" -}}
{{- end -}}
{{- if not (regexMatch "^(oci|https|file)://[^ ]+$" (toString $module.url)) -}}
{{- fail "module.url: expected oci://, https:// or file://" -}}
{{- end -}}
{{- $digest := ternary "^$" "^[0-9a-f]{64}$" (hasPrefix "file://" $module.url) -}}
{{- if not (regexMatch $digest (default "" $module.sha256 | toString)) -}}
{{- fail "module.sha256: expected the SHA-256 of the module in 64 lowercase hexadecimal digits, or none for file://" -}}
{{- end -}}
{{- if not (has $target.kind (list "sidecars" "ingress" "gateway" "service")) -}}
{{- fail "target.kind: expected sidecars, ingress, gateway or service" -}}
{{- end -}}
{{- if and (eq $target.kind "ingress") (not $target.labels) -}}
{{- fail "target.labels: expected the labels of the gateway's pods" -}}
{{- end -}}
{{- $is_wide := and (eq $target.kind "sidecars") (eq .Release.Namespace .Values.rootNamespace) -}}
{{- if not (has $target.scope (list "namespace" "mesh")) -}}
{{- fail "target.scope: expected namespace or mesh" -}}
{{- else if and $is_wide (eq $target.scope "namespace") -}}
{{- fail (printf "target.scope: in the namespace %s, the gate is for sidecars of the whole mesh: set target.scope=mesh for that, or install it in the namespace that you mean" .Release.Namespace) -}}
{{- else if and (eq $target.scope "mesh") (not $is_wide) -}}
{{- fail (printf "target.scope: mesh is for target.kind sidecars in Istio's root namespace, %s: install it there, or remove target.scope" .Values.rootNamespace) -}}
{{- end -}}
{{- end -}}

{{/* The policy as JSON, with the mode of the values instead of its own. */}}
{{- define "portcullis.policy" -}}
{{- $policy := .Values.policy -}}
{{- $is_text := kindIs "string" $policy -}}
{{- if $is_text -}}
{{- $policy = fromYaml $policy -}}
{{- end -}}
{{- if or (not (kindIs "map" $policy)) (and $is_text (hasKey $policy "Error")) -}}
{{- /* Not what the parser says: it quotes the text, which may be a key. */ -}}
{{- fail "policy: it is no object in YAML or JSON: write it with `portcullis render policy`" -}}
{{- end -}}
{{- if not $policy -}}
{{- fail "policy: it is empty, perhaps because a command that should write it has failed: write {version: 1} for a policy without any settings" -}}
{{- end -}}
{{- /* In JSON, no text has a quotation mark without a backslash: this is the name of a field. */ -}}
{{- if regexMatch "[{,]\"plaintext\":" (toJson $policy) -}}
{{- fail "policy: it has a key in plaintext, and whoever can read the resource could use it: write the policy with `portcullis render policy`" -}}
{{- end -}}
{{- merge (dict "mode" .Values.mode) $policy | toJson -}}
{{- end -}}

{{/*
The environment variables with keys and secrets of tokens, as JSON: {"names": [...]}, each once, in the order of the command.
A wrong type is left to lint and the gate: an error of Helm would quote the text, which may be a key.
*/}}
{{- define "portcullis.variables" -}}
{{- $policy := include "portcullis.policy" . | fromJson -}}
{{- $entries := list -}}
{{- if kindIs "slice" $policy.consumers -}}
{{- range $policy.consumers -}}
{{- if and (kindIs "map" .) (kindIs "slice" .keys) -}}
{{- $entries = concat $entries .keys -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if kindIs "map" $policy.tokens -}}
{{- if kindIs "slice" $policy.tokens.secrets -}}
{{- $entries = concat $entries $policy.tokens.secrets -}}
{{- end -}}
{{- end -}}
{{- $names := list -}}
{{- range $entries -}}
{{- if and (kindIs "map" .) (kindIs "string" .env) -}}
{{- $names = append $names .env -}}
{{- end -}}
{{- end -}}
{{- dict "names" (uniq $names | compact) | toJson -}}
{{- end -}}

{{/* Which pods or objects have the gate, and in which direction, as JSON. As `portcullis render istio` does it. */}}
{{- define "portcullis.place" -}}
{{- $target := .Values.target -}}
{{- $place := dict "phase" "AUTHN" -}}
{{- if ne $target.kind "service" -}}
{{- $mode := ternary "SERVER" "CLIENT" (eq $target.kind "sidecars") -}}
{{- $_ := set $place "match" (list (dict "mode" $mode)) -}}
{{- end -}}
{{- if eq $target.kind "gateway" -}}
{{- $_ := set $place "targetRefs" (list (dict "group" "gateway.networking.k8s.io" "kind" "Gateway" "name" $target.name)) -}}
{{- else if eq $target.kind "service" -}}
{{- $_ := set $place "targetRefs" (list (dict "group" "" "kind" "Service" "name" $target.name)) -}}
{{- else if $target.labels -}}
{{- $_ := set $place "selector" (dict "matchLabels" $target.labels) -}}
{{- end -}}
{{- toJson $place -}}
{{- end -}}

{{/* The module and its configuration, as JSON. */}}
{{- define "portcullis.wasm" -}}
{{- $wasm := dict "url" .Values.module.url "pluginName" "portcullis" "failStrategy" .Values.failStrategy -}}
{{- with .Values.module.sha256 -}}
{{- $_ := set $wasm "sha256" . -}}
{{- end -}}
{{- with .Values.module.pullSecret -}}
{{- $_ := set $wasm "imagePullSecret" . -}}
{{- end -}}
{{- $variables := list -}}
{{- range (include "portcullis.variables" . | fromJson).names -}}
{{- $variables = append $variables (dict "name" . "valueFrom" "HOST") -}}
{{- end -}}
{{- if $variables -}}
{{- $_ := set $wasm "vmConfig" (dict "env" $variables) -}}
{{- end -}}
{{- $_ := set $wasm "pluginConfig" (include "portcullis.policy" . | fromJson) -}}
{{- toJson $wasm -}}
{{- end -}}
