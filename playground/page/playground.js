// The page around the module: it fills in fields and shows text. Text from a policy, a request or a link is only ever set as
// textContent or as the value of a field, and no request is made once the module is loaded.
import init, { examples, explain, open, share } from "./portcullis_playground.js";

const FIELDS = ["method", "path", "authority", "headers", "key", "peer", "identity", "filter_state", "now"];
const MOST_LINES = 5000;
const MOST_FRAGMENT = 32 * 1024;
const element = (id) => document.getElementById(id);
const policy = element("policy");

/** Creates an element with text. */
function made(name, text = "", style = "") {
  const node = document.createElement(name);
  node.textContent = text;
  node.className = style;
  return node;
}

/** The request in the form, as the module reads it. */
function request() {
  return JSON.stringify(Object.fromEntries(FIELDS.map((name) => [name, element(name).value])));
}

/** Fills in the form. Fields that are not given become empty. */
function fill(text, fields) {
  policy.value = text;
  for (const name of FIELDS) {
    element(name).value = Object.hasOwn(fields, name) ? String(fields[name]) : "";
  }
  decide();
}

/** Numbers the lines of the policy, and marks those that the steps met. */
function number(met = new Set()) {
  const count = Math.min(policy.value.split("\n").length, MOST_LINES);
  const lines = Array.from({ length: count }, (_, index) => made("div", String(index + 1), met.has(index + 1) ? "met" : ""));
  element("lines").replaceChildren(...lines);
  element("lines").scrollTop = policy.scrollTop;
}

/** Selects a line of the policy, and shows it. */
function jump(line) {
  const lines = policy.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  policy.focus();
  policy.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  policy.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(policy).lineHeight));
  policy.scrollLeft = 0;
}

/** A button that jumps to a place of the policy. */
function place(button, line, text) {
  button.textContent = text;
  button.onclick = () => jump(line);
  return button;
}

/** The line of a place such as policy.yaml:3:5. */
function lineOf(place) {
  return Number(place.split(":").at(-2));
}

function showFault({ input, line, column, message }) {
  const isPolicy = input === "policy";
  element("policy-fault").hidden = !isPolicy;
  element("fault").hidden = isPolicy;
  if (isPolicy) {
    element("policy-fault-text").textContent = message;
    element("policy-fault-place").hidden = line === null;
    place(element("policy-fault-place"), line, `line ${line}, column ${column}`);
    number(new Set([line]));
    return;
  }
  const field = FIELDS.includes(input) ? element(input) : null;
  field?.setAttribute("aria-invalid", "true");
  element("fault").textContent = field ? `${input.replace("_", " ")}: ${message}` : message;
}

function clear() {
  element("policy-fault").hidden = true;
  element("fault").hidden = true;
  element("link").hidden = true;
  FIELDS.forEach((name) => element(name).removeAttribute("aria-invalid"));
}

/** Calls the module. Shows what is wrong, and returns null then. */
function ask(call) {
  clear();
  try {
    const answer = JSON.parse(call());
    if (!answer.fault) {
      return answer;
    }
    showFault(answer.fault);
  } catch (error) {
    console.error(error);
    showFault({ input: "page", message: "The gate has stopped on this input. Reload the page, and please report it." });
  }
  return null;
}

/** What is sent to the caller or to the upstream, as text. */
function outcome({ reply, forward }) {
  if (reply) {
    const headers = reply.headers.map(([name, value]) => `${name}: ${value}\n`).join("");
    return `reply ${reply.status}\n${headers}${reply.body ? `\n${reply.body}\n` : ""}`;
  }
  const change = ({ remove, set, value }) => (set === undefined ? `  remove  ${remove}\n` : `  set     ${set}: ${value}\n`);
  return forward.length
    ? `forwarded to the upstream, with these changes\n${forward.map(change).join("")}`
    : "forwarded to the upstream, unchanged\n";
}

/** A row for each step. */
function steps(trace) {
  const table = made("table");
  const head = table.appendChild(made("thead")).appendChild(made("tr"));
  head.append(...["", "step", "result", "why"].map((text) => made("th", text)));
  const body = table.appendChild(made("tbody"));
  for (const { step, name, result, why, place: at } of trace) {
    const row = body.appendChild(made("tr"));
    const style = { allowed: "allow", denied: "deny" }[result] ?? "";
    const reason = made("td", `${why} `, "why");
    if (at) {
      reason.append(place(Object.assign(made("button", "", "place"), { type: "button" }), lineOf(at), at));
    }
    row.append(made("td", String(step)), made("td", name), made("td", result, style), reason);
  }
  return table;
}

/** A decision with its outcome and its steps. */
function shown({ decision, reason, consumer, key_id: key, outcome: what, trace }) {
  const verdict = made("p", decision, `verdict ${decision}`);
  const caller = consumer === null ? [] : [made("p", `consumer ${consumer}, key ${key}`)];
  verdict.append(made("code", ` ${reason}`));
  return [verdict, ...caller, made("pre", outcome(what)), steps(trace)];
}

function decide() {
  const answer = ask(() => explain(policy.value, request()));
  const all = answer ? [answer, ...(answer.enforced ? [answer.enforced] : [])] : [];
  const nodes = all.flatMap((one, index) => [...(index ? [made("h3", "In mode enforce")] : []), ...shown(one)]);
  element("answer").replaceChildren(...(answer?.notes ?? []).map((note) => made("p", note, "fault")), ...nodes);
  if (answer) {
    number(new Set(all.flatMap(({ trace }) => trace.filter(({ place: at }) => at).map(({ place: at }) => lineOf(at)))));
  }
}

function link() {
  const answer = ask(() => share(policy.value, request()));
  if (answer) {
    element("link-url").value = new URL(`#${answer.fragment}`, location.href).href;
    element("link-removed").textContent = answer.removed.join(", ");
    element("link").hidden = false;
  }
}

/** Opens the link by which the page was called. Returns whether there is one that is valid. */
function opened() {
  const fragment = location.hash.slice(1);
  const tooLong = { fault: { input: "link", message: "this link is too long" } };
  const answer = ask(() => (fragment.length > MOST_FRAGMENT ? JSON.stringify(tooLong) : open(fragment)));
  if (answer) {
    fill(answer.policy, answer.request);
  }
  return answer !== null;
}

function begin() {
  const all = JSON.parse(examples());
  element("example").replaceChildren(...all.map(({ title }) => made("option", title)));
  element("example").addEventListener("change", ({ target }) => fill(all[target.selectedIndex].policy, all[target.selectedIndex].request));
  element("decide").addEventListener("click", decide);
  element("share").addEventListener("click", link);
  element("link-copy").addEventListener("click", () => {
    element("link-url").select();
    navigator.clipboard?.writeText(element("link-url").value).catch(() => {});
  });
  policy.addEventListener("input", () => number());
  policy.addEventListener("scroll", () => { element("lines").scrollTop = policy.scrollTop; });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || (event.target.tagName === "INPUT" && event.target.id !== "link-url"))) {
      decide();
    }
  });
  addEventListener("hashchange", opened);
  element("decide").disabled = false;
  element("share").disabled = false;
  element("answer").replaceChildren();
  number();
  if (!location.hash) {
    fill(all[0].policy, all[0].request);
  } else {
    opened();
  }
  document.body.dataset.ready = "true";
}

try {
  await init({ module_or_path: new URL("portcullis_playground_bg.wasm", import.meta.url) });
  // From here on, nothing is loaded: of two policies, both apply.
  const silence = document.createElement("meta");
  silence.httpEquiv = "Content-Security-Policy";
  silence.content = "connect-src 'none'";
  document.head.append(silence);
  begin();
} catch (error) {
  console.error(error);
  element("answer").replaceChildren(made("p", "The gate could not be loaded: this page needs WebAssembly, and its files from a web server.", "fault"));
}
