//! The chart of latency against the share of hostile names.

use std::fmt::Write;

use super::{EACH, NAMES, simulation};

/// The size of the area within the axes, and where it begins.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 30.0;
/// The shares, in percent, the most that is shown, and the colours of the lines.
const SHARES: [usize; 7] = [0, 10, 20, 30, 40, 50, 60];
const MOST: f64 = 3.0;
const COLOURS: [&str; 5] = ["#1b6ca8", "#b8542d", "#3f7d3f", "#7a4a9c", "#333333"];

/// Returns the chart: for each way, the median of the healthy names as a ratio to what as many take alone.
pub(super) fn svg() -> String {
    let x = |share: usize| LEFT + WIDTH * share as f64 / 60.0;
    let y = |ratio: f64| TOP + HEIGHT * (1.0 - ratio.min(MOST) / MOST);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>Median latency of healthy names against the share of \
         hostile names</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDTH + LEFT + 40.0,
        HEIGHT + TOP + 60.0
    );
    for ratio in [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0] {
        let at = y(ratio);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ratio}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            at + 4.0
        );
    }
    for share in SHARES {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{share} %</text>",
            x(share),
            TOP + HEIGHT + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"18\">median latency of healthy names, 1 = as many alone</text>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">share of hostile names among {NAMES}</text>",
        LEFT + WIDTH / 2.0,
        TOP + HEIGHT + 38.0
    );
    for (number, ways) in EACH.chunks(1).chain([&EACH[..]]).enumerate() {
        let label = if let [way] = ways { way.label() } else { "mixed" };
        let mut points = String::new();
        for share in SHARES {
            let hostile = NAMES * share / 100;
            let alone = simulation::run(NAMES - hostile, 0, &[], 65_536);
            let ratio = simulation::run(NAMES, hostile, ways, 65_536).ratio(&alone);
            eprintln!("{label}, {share} %: {ratio:.2}");
            let _ = write!(points, "{:.1},{:.1} ", x(share), y(ratio));
        }
        let (colour, dash) = (COLOURS[number], 2 * number);
        let legend = TOP + 14.0 + 16.0 * number as f64;
        let line = format!(
            "fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"8 {dash}\""
        );
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" {line}/>\
             <polyline points=\"{},{legend} {},{legend}\" {line}/>\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{label}</text>",
            points.trim_end(),
            LEFT + 12.0,
            LEFT + 44.0,
            LEFT + 50.0,
            legend + 4.0
        );
    }
    svg + "</svg>\n"
}
