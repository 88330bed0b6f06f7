//! The chart: what each contender adds to a request, as bars with their intervals. Text and lines take a colour that can be read on
//! white and on black; where the viewer says which it is, they take that one's.

use std::fmt::Write as _;

use crate::contender::Kind;
use crate::machine::Machine;
use crate::table::Row;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 250.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 64.0;
const STEP: f64 = 24.0;
const BAR: f64 = 14.0;

const STYLE: &str = "
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a; }
  .title { font-size: 15px; font-weight: 600; fill: #24292f; }
  .label { fill: #24292f; }
  .grid { stroke: #8c959f; stroke-opacity: 0.3; }
  .error { stroke: #24292f; stroke-width: 1.5; fill: none; }
  .built_in { fill: #8c959f; }
  .bare { fill: #b8a26a; }
  .gate { fill: #1f883d; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .title, .label { fill: #e6edf3; }
    .error { stroke: #e6edf3; }
    .built_in { fill: #656c76; }
    .bare { fill: #8a7436; }
    .gate { fill: #2ea043; }
  }
";

/// A picture of the rows, the baseline and what is beyond the scale of the rest left out of the bars but named.
pub fn svg(rows: &[Row], machine: &Machine) -> String {
    let shown: Vec<&Row> = rows.iter().filter(|row| row.kind != Kind::Nothing).collect();
    let scale = scale(&shown);
    let height = TOP + shown.len() as f64 * STEP + 62.0;
    let x = |value: f64| LABELS + value.clamp(0.0, scale) / scale * (WIDTH - LABELS - RIGHT);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Processor time that each contender adds to a request, in microseconds\">\n\
         <style>{STYLE}</style>\n\
         <text class=\"title\" x=\"12\" y=\"24\">Processor time added to a request, microseconds (less is better)</text>\n"
    );
    let _ = writeln!(picture, "<text x=\"12\" y=\"44\">{}</text>", escaped(&legend(rows)));
    let bottom = TOP + shown.len() as f64 * STEP;
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
    for (number, row) in shown.iter().enumerate() {
        let middle = TOP + number as f64 * STEP + STEP / 2.0;
        bar(&mut picture, row, middle, &x, scale);
    }
    let _ = writeln!(picture, "<text x=\"12\" y=\"{:.1}\">{}</text>\n</svg>", bottom + 44.0, escaped(&machine.line()));
    picture
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
        let _ = writeln!(
            picture,
            "<path class=\"error\" d=\"M{low:.1} {:.1}v8m0-4H{high:.1}m0-4v8\"/>",
            middle - 4.0
        );
    }
    let end = if is_beyond { to } else { x(high).max(to) };
    let arrow = if is_beyond { " \u{2192}" } else { "" };
    let _ = writeln!(picture, "<text x=\"{:.1}\" y=\"{:.1}\">{value:.1}{arrow}</text>", end + 8.0, middle + 4.0);
}

/// The largest value that is on the scale: what is more than twice the next is an outlier, and its bar is cut.
fn scale(rows: &[&Row]) -> f64 {
    let mut ends: Vec<f64> = rows.iter().map(|row| row.added.high).collect();
    ends.sort_by(f64::total_cmp);
    let largest = ends.windows(2).find(|pair| pair[0] > 1.0 && pair[1] > 2.0 * pair[0] && pair[1] > 20.0).map(|pair| pair[0]);
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
    format!("on top of {baseline:.1} for Envoy with no filter; one worker, HTTP/1.1 keep-alive, direct response; bars: medians, lines: 95 %")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
