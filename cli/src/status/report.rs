//! The report of `status`, as text and as JSON.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::envoy::{Envoy, Gate};
use super::{Answer, ExpectedPolicy};
use crate::output::{GREEN, RED, print, print_table};
use crate::when::Span;

/// With more Envoys than this, those with the same state share a row.
const ROWS: usize = 10;

/// Prints a table of all gates, and the problems below it.
pub(super) fn text(answers: &[Answer], expected: Option<&ExpectedPolicy>, differences: &[String]) -> Result<()> {
    let table = if answers.len() > ROWS { grouped(answers) } else { single(answers) };
    print_table(&table)?;
    let mut is_well = differences.is_empty();
    for difference in differences {
        print(&format!("{RED}error{RED:#} {difference}\n"))?;
    }
    for Answer { admin, envoy } in answers {
        let wrong = match envoy {
            Ok((_, findings)) => findings.clone(),
            Err(error) => vec![format!("{error:#}")],
        };
        for finding in wrong {
            is_well = false;
            print(&format!("{RED}error{RED:#} {admin}: {finding}\n"))?;
        }
    }
    if let Some(expected) = expected.filter(|_| is_well) {
        let ExpectedPolicy { file, digest, digest_in_run, .. } = expected;
        let envoys = answers.iter().flat_map(|answer| &answer.envoy);
        let in_run = envoys.flat_map(|(envoy, _)| envoy.gates.get(&expected.gate));
        let in_run = in_run.map(|gate| gate.digest).any(|served| served == *digest_in_run && served != *digest);
        let shown =
            if in_run { format!(" ({digest_in_run:012x} as `portcullis run` serves it)") } else { String::new() };
        print(&format!("{GREEN}ok{GREEN:#} all serve {file}, policy {digest:012x}{shown}\n"))?;
    }
    Ok(())
}

/// A row for each gate of each Envoy.
fn single(answers: &[Answer]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "ADMIN",
        "ENVOY",
        "UP",
        "GATE",
        "POLICY",
        "MODE",
        "KEYS",
        "UPDATES REFUSED",
        "DECISIONS",
        "KEYS USED",
    ]);
    for Answer { admin, envoy } in answers {
        let Ok((envoy, _)) = envoy else {
            table.add_row([admin.to_string(), "-".to_owned()]);
            continue;
        };
        let begin = [admin.to_string(), version(envoy).to_owned(), Span::seconds(envoy.uptime).to_string()];
        for (name, gate) in &envoy.gates {
            table.add_row(begin.iter().cloned().chain(row(envoy, name, gate)));
        }
        if envoy.gates.is_empty() {
            table.add_row(begin);
        }
    }
    table
}

/// A row for all Envoys whose gate has the same state, the largest group first.
fn grouped(answers: &[Answer]) -> Table {
    let mut groups: BTreeMap<[String; 5], Vec<String>> = BTreeMap::new();
    let mut add = |state: [&str; 5], admin: &str| {
        groups.entry(state.map(str::to_owned)).or_default().push(admin.to_string());
    };
    for Answer { admin, envoy } in answers {
        match envoy {
            Err(_) => add(["-", "no answer", "-", "-", "-"], admin),
            Ok((envoy, _)) if envoy.gates.is_empty() => add(["-", "no gate", "-", "-", version(envoy)], admin),
            Ok((envoy, _)) => {
                for (name, gate) in &envoy.gates {
                    let keys = gate.key_count().to_string();
                    add([name, &digest(gate.digest), mode(gate), &keys, version(envoy)], admin);
                }
            }
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, admins)| Reverse(admins.len()));
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["ENVOYS", "GATE", "POLICY", "MODE", "KEYS", "ENVOY", "ONE OF THEM"]);
    for (state, admins) in groups {
        let first = admins.first().cloned().unwrap_or_default();
        table.add_row([admins.len().to_string()].into_iter().chain(state).chain([first]));
    }
    table
}

fn version(envoy: &Envoy) -> &str {
    if envoy.version.is_empty() { "-" } else { &envoy.version }
}

fn row(envoy: &Envoy, name: &str, gate: &Gate) -> [String; 7] {
    // Only with ECDS, and if Envoy keeps these statistics. Istio's proxies keep them only if configured.
    let refused = if envoy.updates.is_empty() {
        "-".to_owned()
    } else {
        envoy.updates.values().fold(0_u64, |sum, updates| sum.saturating_add(updates.refused)).to_string()
    };
    let decisions: Vec<String> = gate
        .decisions
        .iter()
        .flat_map(|(outcome, reasons)| reasons.iter().map(move |(reason, count)| format!("{outcome} {reason} {count}")))
        .collect();
    let uses: Vec<String> = gate.key_uses.iter().map(|(id, count)| format!("{id} {count}")).collect();
    [
        name.to_owned(),
        format!("{:012x}", gate.digest),
        mode(gate).to_owned(),
        keys(gate),
        refused,
        if decisions.is_empty() { "none yet".to_owned() } else { decisions.join("\n") },
        // No key was used, or uses are not counted.
        if gate.key_uses.is_empty() { "-".to_owned() } else { uses.join("\n") },
    ]
}

/// The number of keys, and of those that do not work.
fn keys(gate: &Gate) -> String {
    let broken = gate.keys.iter().filter(|(state, _)| *state != "usable");
    let broken = broken.map(|(state, count)| (state.replace('_', " "), *count));
    let broken = broken.chain([("refused".to_owned(), gate.refused_entries)]).filter(|(_, count)| *count > 0);
    broken.fold(gate.key_count().to_string(), |text, (state, count)| format!("{text}, {count} {state}"))
}

fn mode(gate: &Gate) -> &'static str {
    match gate.mode {
        Some(0) => "disabled",
        Some(1) => "report",
        Some(2) => "enforce",
        // Not known, or a hot restart: Envoy adds the gauges of both processes.
        _ => "-",
    }
}

/// Prints the same as JSON.
pub(super) fn json(answers: &[Answer], expected: Option<&ExpectedPolicy>, differences: &[String]) -> Result<()> {
    let expected = expected
        .map(|ExpectedPolicy { file, gate, digest: own, digest_in_run, .. }| {
            json!({"file": file, "gate": gate, "digest": digest(*own), "digest_in_run": digest(*digest_in_run)})
        });
    let envoys: Vec<Value> = answers.iter().map(answer).collect();
    print(&format!("{:#}\n", json!({"policy": expected, "envoys": envoys, "differences": differences})))
}

fn answer(Answer { admin, envoy }: &Answer) -> Value {
    let (envoy, findings) = match envoy {
        Ok(answer) => answer,
        Err(error) => return json!({"admin": admin.to_string(), "error": format!("{error:#}")}),
    };
    let gates = envoy.gates.iter().map(|(name, gate)| {
        json!({
            "name": name, "digest": digest(gate.digest), "mode": mode(gate), "keys": gate.key_count(),
            "keys_by_state": gate.keys, "instances": gate.instances, "loaded_at": gate.loaded_at,
            "next_key_expiry": gate.next_key_expiry, "refused_entries": gate.refused_entries,
            "decisions": gate.decisions, "key_uses": gate.key_uses,
        })
    });
    let updates = envoy.updates.iter().map(|(name, updates)| {
        json!({
            "filter": name, "version": updates.version, "refused": updates.refused, "last_refused": updates.last_refused,
        })
    });
    json!({
        "admin": admin.to_string(), "version": envoy.version, "uptime_seconds": envoy.uptime,
        "gates": gates.collect::<Vec<_>>(), "updates": updates.collect::<Vec<_>>(), "findings": findings,
    })
}

/// The digest as in the gate's log and in `portcullis lint`.
fn digest(bits: u64) -> String {
    format!("{bits:012x}")
}
