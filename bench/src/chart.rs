//! The chart: what each contender adds to a request, as bars with their intervals. It brings its own ground, dark where the
//! viewer's system is: a page may be dark where the system is not.

use std::fmt::Write as _;

use crate::contender::Kind;
use crate::machine::Machine;
use crate::table::Row;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 190.0;
/// Values beyond the scale, and the ratios.
const RIGHT: f64 = 190.0;
const TOP: f64 = 96.0;
const STEP: f64 = 22.0;
const GAP: f64 = 8.0;
const BAR: f64 = 15.0;

const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a; }
  .ground { fill: #ffffff; stroke: #d1d9e0; }
  .title { font-size: 16px; font-weight: 600; fill: #1f2328; }
  .group { font-weight: 600; fill: #1f2328; }
  .machine { font-size: 12px; }
  .label { fill: #1f2328; }
  .ours { font-weight: 600; fill: #1f2328; }
  .grid { stroke: #8c959f; stroke-opacity: 0.3; }
  .error { stroke: #1f2328; stroke-width: 1.5; fill: none; }
  .cut { stroke: #ffffff; stroke-width: 4; }
  .built_in { fill: #8c959f; }
  .lua { fill: #4c8ad6; }
  .bare { fill: #c9a94f; }
  .gate { fill: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d; }
    text { fill: #9198a1; }
    .title, .label, .group, .ours { fill: #f0f6fc; }
    .error { stroke: #f0f6fc; }
    .cut { stroke: #0d1117; }
    .built_in { fill: #656c76; }
    .lua { fill: #316dca; }
    .bare { fill: #96772a; }
    .gate { fill: #2ea043; }
  }
";

/// What the colours stand for, and where each begins.
const LEGEND: [(f64, &str, &str); 4] = [
    (12.0, "gate", "the gate"),
    (110.0, "lua", "Lua, for the same job"),
    (302.0, "bare", "floor: a module that only makes the calls"),
    (634.0, "built_in", "built into Envoy"),
];

/// A case, and by name the contenders that it shows, with what they are called there. The gate goes by the names of its modules.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

/// What is shown together: the same request. What answers it in another way stands around Lua, floor and gate.
const GROUPS: [Group; 6] = [
    (
        "Key by Bearer",
        &[
            ("api_key_auth: key", "api_key_auth"),
            ("lua: key", "Lua"),
            ("floor: key", "floor"),
            ("portcullis: key", ""),
            ("ext_authz: key", "ext_authz"),
        ],
    ),
    ("Key by X-API-Key", &[("lua: x-api-key", "Lua"), ("floor: x-api-key", "floor"), ("portcullis: x-api-key", "")]),
    ("Public path", &[("lua: public path", "Lua"), ("floor: public path", "floor"), ("portcullis: public path", "")]),
    (
        "No credential",
        &[("lua: no credential", "Lua"), ("floor: no credential", "floor"), ("portcullis: no credential", "")],
    ),
    (
        "Unknown key",
        &[
            ("api_key_auth: unknown key", "api_key_auth"),
            ("lua: unknown key", "Lua"),
            ("floor: unknown key", "floor"),
            ("portcullis: unknown key", ""),
            ("ext_authz: unknown key", "ext_authz"),
        ],
    ),
    (
        "Nothing to decide",
        &[
            ("floor: no hostcall", "no call"),
            ("floor: all pairs", "all headers"),
            ("floor: all pairs, begin and end", "with begin and end"),
            ("sdk: all pairs, all callbacks", "all headers, on the SDK"),
            ("portcullis: disabled", ", disabled"),
        ],
    ),
];

/// A picture of the rows that stand for the rest. What is far beyond the scale of the others has its bar cut.
pub fn svg(rows: &[Row], machine: &Machine) -> String {
    let group = |(title, names): &Group| {
        let found = names
            .iter()
            .flat_map(|(name, label)| rows.iter().filter(|row| is(row, name)).map(|row| (row, called(row, label))));
        (*title, found.collect::<Vec<_>>())
    };
    let groups: Vec<_> = GROUPS.iter().map(group).filter(|(_, rows)| !rows.is_empty()).collect();
    let scale = scale(&groups.iter().flat_map(|(_, rows)| rows.iter().map(|(row, _)| *row)).collect::<Vec<_>>());
    let lines: usize = groups.iter().map(|(_, rows)| rows.len()).sum();
    let bottom = TOP + lines as f64 * STEP + groups.len() as f64 * (STEP + GAP);
    let height = bottom + 56.0;
    let x = |value: f64| LABELS + value.clamp(0.0, scale) / scale * (WIDTH - LABELS - RIGHT);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Processor time that each contender adds to a request, in microseconds\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"12\" y=\"26\">Processor time added to a request, microseconds (less is better)</text>\n",
        WIDTH - 1.0,
        height - 1.0
    );
    let _ = writeln!(picture, "<text x=\"12\" y=\"47\">{}</text>", escaped(&terms(rows)));
    for (at, class, text) in LEGEND {
        let _ = writeln!(
            picture,
            "<rect class=\"{class}\" x=\"{at}\" y=\"60\" width=\"12\" height=\"12\" rx=\"2\"/>\
             <text x=\"{}\" y=\"71\">{text}</text>",
            at + 18.0
        );
    }
    let step = tick(scale);
    for number in 0..=(scale / step).floor() as u32 {
        let value = f64::from(number) * step;
        let at = x(value);
        let _ = writeln!(
            picture,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            bottom + 18.0
        );
    }
    for (place, title) in RATIOS {
        let _ = writeln!(picture, "<text x=\"{place}\" y=\"{TOP}\" text-anchor=\"end\">{title}</text>");
    }
    let mut middle = TOP + STEP / 2.0;
    for (title, rows) in groups {
        let _ = writeln!(picture, "<text class=\"group\" x=\"12\" y=\"{:.1}\">{}</text>", middle + 4.0, escaped(title));
        middle += STEP;
        for (row, label) in rows {
            bar(&mut picture, row, &label, middle, &x, scale);
            middle += STEP;
        }
        middle += GAP;
    }
    let _ = writeln!(
        picture,
        "<text class=\"machine\" x=\"12\" y=\"{:.1}\">{}</text>\n</svg>",
        bottom + 44.0,
        escaped(&machine.line())
    );
    picture
}

/// The columns of ratios: where each ends.
const RATIOS: [(f64, &str); 2] = [(WIDTH - 76.0, "by Lua"), (WIDTH - 14.0, "by floor")];

/// What a row is called in its group.
fn called(row: &Row, label: &str) -> String {
    match row.kind {
        Kind::Gate => format!("{}{label}", row.name.split(": ").next().unwrap_or_default()),
        _ => label.to_owned(),
    }
}

/// Whether a row has that name. Modules may have names of their own.
fn is(row: &Row, name: &str) -> bool {
    let case = |name: &str| name.split_once(": ").map(|(_, case)| case.to_owned());
    match row.kind {
        Kind::Gate => name.starts_with("portcullis: ") && case(&row.name) == case(name),
        _ => row.name == name,
    }
}

fn bar(picture: &mut String, row: &Row, label: &str, middle: f64, x: &impl Fn(f64) -> f64, scale: f64) {
    let (class, text) = match row.kind {
        Kind::Nothing | Kind::BuiltIn => ("built_in", "label"),
        Kind::Lua => ("lua", "label"),
        Kind::Bare => ("bare", "label"),
        Kind::Gate => ("gate", "ours"),
    };
    let (value, low, high) = (row.added.value, row.added.low, row.added.high);
    let is_beyond = value > scale;
    let (from, to) = (x(0.0), x(value));
    let baseline = middle + 4.5;
    let _ = writeln!(
        picture,
        "<text class=\"{text}\" x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
        LABELS - 8.0,
        escaped(label),
        middle - BAR / 2.0,
        (to - from).max(1.0)
    );
    let end = if is_beyond {
        let _ = writeln!(picture, "<path class=\"cut\" d=\"M{:.1} {:.1}l8 -21\"/>", to - 24.0, middle + 10.5);
        to
    } else {
        let (low, high) = (x(low), x(high));
        let _ = writeln!(picture, "<path class=\"error\" d=\"M{low:.1} {:.1}v8m0-4H{high:.1}m0-4v8\"/>", middle - 4.0);
        high.max(to)
    };
    let _ = writeln!(picture, "<text class=\"{text}\" x=\"{:.1}\" y=\"{baseline:.1}\">{value:.1}</text>", end + 8.0);
    for ((place, _), ratio) in RATIOS.iter().zip([&row.to_lua, &row.to_floor]) {
        if let Some(ratio) = ratio {
            let _ = writeln!(
                picture,
                "<text class=\"{text}\" x=\"{place}\" y=\"{baseline:.1}\" text-anchor=\"end\">{:.2}</text>",
                ratio.value
            );
        }
    }
}

/// The largest value that is on the scale: what is more than twice the next is an outlier, and its bar is cut.
fn scale(rows: &[&Row]) -> f64 {
    let mut ends: Vec<f64> = rows.iter().map(|row| row.added.high).collect();
    ends.sort_by(f64::total_cmp);
    let largest =
        ends.windows(2).find(|pair| pair[0] > 1.0 && pair[1] > 2.0 * pair[0] && pair[1] > 20.0).map(|pair| pair[0]);
    let largest = largest.or(ends.last().copied()).unwrap_or(1.0).max(1.0);
    let step = tick(largest);
    (largest / step).ceil() * step
}

/// A round distance of the lines: five to ten of them.
fn tick(largest: f64) -> f64 {
    [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0].into_iter().find(|step| largest / step <= 10.0).unwrap_or(100.0)
}

fn terms(rows: &[Row]) -> String {
    let baseline = rows.iter().find(|row| row.kind == Kind::Nothing).map_or(0.0, |row| row.total.value);
    format!(
        "on top of {baseline:.1} for Envoy without a filter; one worker, HTTP/1.1 keep-alive; medians with 95 % intervals"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
