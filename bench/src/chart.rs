//! The chart: what each contender adds to a request, as bars with their intervals. It has its own background, dark if
//! the viewer's system is dark, because a page may be light while the system is dark.

use std::error::Error;
use std::fmt::Write as _;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::contender::Kind;
use crate::machine::Machine;
use crate::table::Row;

/// All lengths are in pixels.
const WIDTH: u32 = 860;
const LABELS: u32 = 190;
/// Values beyond the scale, and the ratios.
const RIGHT: u32 = 190;
const TOP: u32 = 96;
const LINE: u32 = 22;
const BOTTOM: u32 = 58;
/// The space between two groups, in lines.
const GAP: f64 = 0.4;
/// Half the height of a bar, in lines.
const HALF: f64 = 0.34;
/// The columns of ratios: the label of each, and its right edge after the scale.
const RATIOS: [(&str, i32); 2] = [("by Lua", 114), ("by floor", 176)];

const TITLE: &str = "Processor time added to a request, microseconds (less is better)";
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif";

const GROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);
const FRAME: RGBColor = RGBColor(0xd1, 0xd9, 0xe0);
const GRID: RGBColor = RGBColor(0xdd, 0xe0, 0xe2);
const TEXT: RGBColor = RGBColor(0x57, 0x60, 0x6a);
const STRONG: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const BUILT_IN: RGBColor = RGBColor(0x8c, 0x95, 0x9f);
const LUA: RGBColor = RGBColor(0x4c, 0x8a, 0xd6);
const BARE: RGBColor = RGBColor(0xc9, 0xa9, 0x4f);
const GATE: RGBColor = RGBColor(0x1a, 0x7f, 0x37);

/// Each colour on a dark system.
const DARK: [(RGBColor, &str); 9] = [
    (GROUND, "#0d1117"),
    (FRAME, "#3d444d"),
    (GRID, "#2b3036"),
    (TEXT, "#9198a1"),
    (STRONG, "#f0f6fc"),
    (BUILT_IN, "#656c76"),
    (LUA, "#316dca"),
    (BARE, "#96772a"),
    (GATE, "#2ea043"),
];

/// The legend: the colours, and where each entry begins.
const LEGEND: [(i32, RGBColor, &str); 4] = [
    (12, GATE, "the gate"),
    (110, LUA, "Lua, for the same job"),
    (302, BARE, "floor: a module that only makes the calls"),
    (634, BUILT_IN, "built into Envoy"),
];

/// A case, and the names of the contenders that it shows, with their labels. The gate has the names of its modules.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

/// Groups of contenders that answer the same request. Contenders that answer it in another way are listed around Lua,
/// floor and gate.
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

/// Draws the representative rows. The bar of a value far beyond the scale is cut.
///
/// # Panics
/// Never: it only draws to memory.
pub fn svg(rows: &[Row], machine: &Machine) -> String {
    let mut picture = String::new();
    draw(&mut picture, rows, machine).expect("memory takes a picture");
    with_dark(&picture)
}

fn draw(picture: &mut String, rows: &[Row], machine: &Machine) -> Result<(), Box<dyn Error>> {
    let group = |(title, names): &Group| {
        let found = names
            .iter()
            .flat_map(|(name, label)| rows.iter().filter(|row| is(row, name)).map(|row| (row, called(row, label))));
        (*title, found.collect::<Vec<_>>())
    };
    let groups: Vec<_> = GROUPS.iter().map(group).filter(|(_, rows)| !rows.is_empty()).collect();
    let shown: Vec<&Row> = groups.iter().flat_map(|(_, rows)| rows.iter().map(|(row, _)| *row)).collect();
    let (scale, lines) = (scale(&shown), shown.len() as f64 + groups.len() as f64 * (1.0 + GAP));
    let height = TOP + (lines * f64::from(LINE)).round() as u32 + BOTTOM;
    let bottom = i32::try_from(height)?;

    let root = SVGBackend::with_string(picture, (WIDTH, height)).into_drawing_area();
    root.fill(&GROUND)?;
    root.draw(&Rectangle::new([(0, 0), (i32::try_from(WIDTH)? - 1, bottom - 1)], FRAME))?;
    root.draw(&Text::new(TITLE, (12, 20), strong(16, HPos::Left)))?;
    root.draw(&Text::new(terms(rows), (12, 42), plain(13, HPos::Left)))?;
    for (at, colour, text) in LEGEND {
        root.draw(&Rectangle::new([(at, 60), (at + 12, 72)], colour.filled()))?;
        root.draw(&Text::new(text, (at + 18, 66), plain(13, HPos::Left)))?;
    }
    root.draw(&Text::new(machine.line(), (12, bottom - 14), plain(12, HPos::Left)))?;

    let mut chart = ChartBuilder::on(&root)
        .margin_top(TOP)
        .margin_bottom(BOTTOM - 30)
        .margin_left(LABELS)
        .margin_right(RIGHT)
        .x_label_area_size(30)
        .build_cartesian_2d(0.0..scale, lines..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .axis_style(TRANSPARENT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_labels(10)
        .x_label_style(plain(13, HPos::Center))
        .x_label_formatter(&|value| value.to_string())
        .draw()?;
    let text = |(x, y): (f64, f64), shift: i32, text: String, style: TextStyle<'static>| {
        EmptyElement::at((x, y)) + Text::new(text, (shift, 0), style)
    };
    chart.draw_series(RATIOS.map(|(title, end)| text((scale, 0.0), end, title.to_owned(), plain(13, HPos::Right))))?;
    let mut middle = 0.5;
    let left = 12 - i32::try_from(LABELS)?;
    for (title, rows) in groups {
        chart.draw_series([text((0.0, middle), left, title.to_owned(), strong(13, HPos::Left))])?;
        middle += 1.0;
        for (row, label) in rows {
            let colour = match row.kind {
                Kind::Nothing | Kind::BuiltIn => BUILT_IN,
                Kind::Lua => LUA,
                Kind::Bare => BARE,
                Kind::Gate => GATE,
            };
            let style = |position| if row.kind == Kind::Gate { strong(13, position) } else { label_style(position) };
            let (value, low, high) = (row.added.value, row.added.low, row.added.high);
            let end = value.clamp(0.0, scale);
            chart.draw_series([Rectangle::new([(0.0, middle - HALF), (end, middle + HALF)], colour.filled())])?;
            let tip = if value > scale {
                chart
                    .draw_series([EmptyElement::at((end, middle))
                        + PathElement::new([(-24, 11), (-16, -11)], GROUND.stroke_width(4))])?;
                end
            } else {
                chart.draw_series([ErrorBar::new_horizontal(middle, low.max(0.0), value, high, STRONG.filled(), 7)])?;
                high.max(end)
            };
            let ratio = |ratio: &Option<crate::statistics::Estimate>| ratio.map(|ratio| format!("{:.2}", ratio.value));
            chart.draw_series([
                text((0.0, middle), -8, label, style(HPos::Right)),
                text((tip, middle), 8, format!("{value:.1}"), style(HPos::Left)),
                text((scale, middle), RATIOS[0].1, ratio(&row.to_lua).unwrap_or_default(), style(HPos::Right)),
                text((scale, middle), RATIOS[1].1, ratio(&row.to_floor).unwrap_or_default(), style(HPos::Right)),
            ])?;
            middle += 1.0;
        }
        middle += GAP;
    }
    Ok(root.present()?)
}

/// Text with this font size in pixels. The backend expects the height of the whole line.
fn font(size: u32, style: FontStyle, colour: RGBColor, position: HPos) -> TextStyle<'static> {
    let style = FontDesc::new(FontFamily::Name(FONT), f64::from(size) * 1.24, style).color(&colour);
    style.pos(Pos::new(position, VPos::Center))
}

fn plain(size: u32, position: HPos) -> TextStyle<'static> {
    font(size, FontStyle::Normal, TEXT, position)
}

fn label_style(position: HPos) -> TextStyle<'static> {
    font(13, FontStyle::Normal, STRONG, position)
}

fn strong(size: u32, position: HPos) -> TextStyle<'static> {
    font(size, FontStyle::Bold, STRONG, position)
}

/// The picture with its title, and with other colours for a dark system: a CSS rule overrides the attribute that it
/// selects.
fn with_dark(picture: &str) -> String {
    let mut rules = String::new();
    for (RGBColor(red, green, blue), dark) in DARK {
        let light = format!("#{red:02X}{green:02X}{blue:02X}");
        let _ = write!(rules, "\n[fill=\"{light}\"] {{ fill: {dark} }} [stroke=\"{light}\"] {{ stroke: {dark} }}");
    }
    let (head, rest) = picture.split_once('>').unwrap_or_default();
    format!("{head}>\n<title>{TITLE}</title>\n<style>@media (prefers-color-scheme: dark) {{{rules}\n}}</style>{rest}")
}

/// The label of a row in its group.
fn called(row: &Row, label: &str) -> String {
    match row.kind {
        Kind::Gate => format!("{}{label}", row.name.split(": ").next().unwrap_or_default()),
        _ => label.to_owned(),
    }
}

/// Whether a row has that name. Modules may have other names.
fn is(row: &Row, name: &str) -> bool {
    let case = |name: &str| name.split_once(": ").map(|(_, case)| case.to_owned());
    match row.kind {
        Kind::Gate => name.starts_with("portcullis: ") && case(&row.name) == case(name),
        _ => row.name == name,
    }
}

/// The largest value on the scale: a value more than twice the next is an outlier, and its bar is cut.
fn scale(rows: &[&Row]) -> f64 {
    let mut ends: Vec<f64> = rows.iter().map(|row| row.added.high).collect();
    ends.sort_by(f64::total_cmp);
    let largest =
        ends.windows(2).find(|pair| pair[0] > 1.0 && pair[1] > 2.0 * pair[0] && pair[1] > 20.0).map(|pair| pair[0]);
    largest.or(ends.last().copied()).unwrap_or(1.0).max(1.0).ceil()
}

fn terms(rows: &[Row]) -> String {
    let baseline = rows.iter().find(|row| row.kind == Kind::Nothing).map_or(0.0, |row| row.total.value);
    format!(
        "on top of {baseline:.1} for Envoy without a filter; one worker, HTTP/1.1 keep-alive; medians with 95 % intervals"
    )
}
