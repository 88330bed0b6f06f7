//! The chart: what each contender adds to a request, as bars with their intervals. It brings its own ground, dark where the
//! viewer's system is: a page may be dark where the system is not.

use std::fmt::Write as _;

use crate::contender::Kind;
use crate::machine::Machine;
use crate::table::Row;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 220.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 80.0;
/// What the names stand for.
const KEY: &str = "green: the gate; grey: what Envoy has built in; ochre: modules that only make the hostcalls (floor: by hand, sdk: on the SDK)";
const STEP: f64 = 22.0;
const BAR: f64 = 14.0;

const STYLE: &str = "
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a; }
  .ground { fill: #ffffff; stroke: #d1d9e0; }
  .title { font-size: 15px; font-weight: 600; fill: #24292f; }
  .label { fill: #24292f; }
  .group { font-weight: 600; fill: #24292f; }
  .grid { stroke: #8c959f; stroke-opacity: 0.3; }
  .error { stroke: #24292f; stroke-width: 1.5; fill: none; }
  .built_in { fill: #8c959f; }
  .bare { fill: #b8a26a; }
  .gate { fill: #1f883d; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d; }
    text { fill: #9198a1; }
    .title, .label, .group { fill: #e6edf3; }
    .error { stroke: #e6edf3; }
    .built_in { fill: #656c76; }
    .bare { fill: #8a7436; }
    .gate { fill: #2ea043; }
  }
";

/// What is shown together: the same request, by the end of the contenders' names.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "A request with a key",
        &[
            "api_key_auth: key",
            "rbac: header match",
            "lua: key, one identity header",
            "lua: key",
            "floor: key",
            "portcullis: key",
            "ext_authz: key",
        ],
    ),
    ("A public path", &["lua: public path", "floor: public path", "portcullis: public path"]),
    (
        "A request that is denied",
        &[
            "api_key_auth: unknown key",
            "lua: unknown key",
            "floor: unknown key",
            "portcullis: unknown key",
            "lua: no credential",
            "floor: no credential",
            "portcullis: no credential",
            "ext_authz: unknown key",
        ],
    ),
    (
        "A filter that does nothing",
        &["floor: no hostcall", "floor: all pairs", "sdk: all pairs", "portcullis: disabled"],
    ),
];

/// A picture of the rows that stand for the rest. What is far beyond the scale of the others has its bar cut.
pub fn svg(rows: &[Row], machine: &Machine) -> String {
    let group = |(title, names): &(&'static str, &[&str])| {
        let found = names.iter().flat_map(|name| rows.iter().filter(|row| is(row, name)));
        (*title, found.collect::<Vec<&Row>>())
    };
    let groups: Vec<(&str, Vec<&Row>)> = GROUPS.iter().map(group).filter(|(_, rows)| !rows.is_empty()).collect();
    let scale = scale(&groups.iter().flat_map(|(_, rows)| rows.clone()).collect::<Vec<_>>());
    let lines: usize = groups.iter().map(|(_, rows)| rows.len() + 1).sum();
    let bottom = TOP + lines as f64 * STEP + 6.0;
    let height = bottom + 56.0;
    let x = |value: f64| LABELS + value.clamp(0.0, scale) / scale * (WIDTH - LABELS - RIGHT);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Processor time that each contender adds to a request, in microseconds\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"12\" y=\"24\">Processor time added to a request, microseconds (less is better)</text>\n",
        WIDTH - 1.0,
        height - 1.0
    );
    let _ = writeln!(picture, "<text x=\"12\" y=\"44\">{}</text>", escaped(&legend(rows)));
    let _ = writeln!(picture, "<text x=\"12\" y=\"60\">{KEY}</text>");
    let step = tick(scale);
    for number in 0..=(scale / step).floor() as u32 {
        let value = f64::from(number) * step;
        let at = x(value);
        let _ = writeln!(
            picture,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            bottom + 16.0
        );
    }
    let mut middle = TOP + STEP / 2.0;
    for (title, rows) in groups {
        let _ = writeln!(picture, "<text class=\"group\" x=\"12\" y=\"{:.1}\">{}</text>", middle + 6.0, escaped(title));
        middle += STEP;
        for row in rows {
            bar(&mut picture, row, middle, &x, scale);
            middle += STEP;
        }
    }
    let _ = writeln!(picture, "<text x=\"12\" y=\"{:.1}\">{}</text>\n</svg>", bottom + 42.0, escaped(&machine.line()));
    picture
}

/// Whether a row has that name. Modules may have names of their own.
fn is(row: &Row, name: &str) -> bool {
    let case = |name: &str| name.split_once(": ").map(|(_, case)| case.to_owned());
    match row.kind {
        Kind::Gate => name.starts_with("portcullis: ") && case(&row.name) == case(name),
        _ => row.name == name,
    }
}

fn bar(picture: &mut String, row: &Row, middle: f64, x: &impl Fn(f64) -> f64, scale: f64) {
    let class = match row.kind {
        Kind::Nothing | Kind::BuiltIn => "built_in",
        Kind::Bare => "bare",
        Kind::Gate => "gate",
    };
    let (value, low, high) = (row.added.value, row.added.low, row.added.high);
    let is_beyond = value > scale;
    let (from, to) = (x(0.0), x(value));
    let _ = writeln!(
        picture,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
        LABELS - 8.0,
        middle + 4.0,
        escaped(&row.name),
        middle - BAR / 2.0,
        (to - from).max(1.0)
    );
    if !is_beyond {
        let (low, high) = (x(low), x(high));
        let _ = writeln!(picture, "<path class=\"error\" d=\"M{low:.1} {:.1}v8m0-4H{high:.1}m0-4v8\"/>", middle - 4.0);
    }
    let end = if is_beyond { to } else { x(high).max(to) };
    let arrow = if is_beyond { " \u{2192}" } else { "" };
    let _ = writeln!(picture, "<text x=\"{:.1}\" y=\"{:.1}\">{value:.1}{arrow}</text>", end + 8.0, middle + 4.0);
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

fn legend(rows: &[Row]) -> String {
    let baseline = rows.iter().find(|row| row.kind == Kind::Nothing).map_or(0.0, |row| row.total.value);
    format!(
        "on top of {baseline:.1} for Envoy with no filter; one worker, HTTP/1.1 keep-alive, direct response; bars: medians, lines: 95 %"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
