//! The picture and the table of the README: the engine beside what one would write by hand.

use std::{error::Error, fs, path::Path};

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde_json::Value;

use super::{
    Measured,
    lines::{GRID, color},
    table::{duration, figure, markdown, number, text},
};

const PLOT: &str = "benches/plots/front.svg";
/// The README's part that this program writes stands between these lines.
const MARKS: [&str; 2] = ["<!-- written by `--bench report` -->", "<!-- as far as here -->"];

/// The table's columns: a contender, what it is called here, and how it does what no bench measures.
const DESIGNS: [(&str, &str, [&str; 4]); 4] = [
    ("engine", "`gossip-engine`", ["by time, by weight", "yes", "one outcome each", "is counted"]),
    ("channel", "channel, threads", ["none", "no", "none", "ends a thread"]),
    ("tokio", "tokio, `Semaphore`", ["none", "no", "none", "ends its task"]),
    ("rayon", "rayon, `Semaphore`", ["none", "no", "none", "ends the process"]),
];
const ASPECTS: [&str; 4] = ["fairness", "each peer's order", "ledger", "a handler that panics"];
/// The parts of a contender's file that are its lines of code; the rest is the harness's.
const PARTS: [&str; 4] = ["fn build(", "fn with(", "fn submit(", "fn finish("];

/// The bars of the picture: a contender and what it is called here.
const BARS: [(&str, &str); 4] = [
    ("engine", "gossip-engine"),
    ("channel", "a channel and threads"),
    ("baseline", "a thread pool, a semaphore"),
    ("async-channel", "an async channel and threads"),
];
const SIZE: (u32, u32) = (760, 264);
/// Left, right, above and below the bars.
const MARGINS: [i32; 4] = [228, 32, 44, 46];
const BAR: i32 = 22;
/// Between two ticks, in nanoseconds.
const TICK: f64 = 20e6;

/// Writes both; leaves them as they are if one of the two benches was not run, or in a hurry.
pub(crate) fn write(package: &Path) -> Result<(), Box<dyn Error>> {
    let (Some(flood), Some(throughput)) = (Measured::read("flood")?, Measured::read("throughput")?)
    else {
        return Ok(());
    };
    if flood.quick || throughput.quick {
        return Ok(());
    }
    plot(&package.join(PLOT), &flood.rows)?;
    let path = package.join("README.md");
    let readme = fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(MARKS[0]).ok_or("the README has no mark")?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or("the README has one mark")?;
    let table = table(package, &flood.rows, &throughput.rows)?;
    fs::write(path, format!("{before}{}\n\n{table}\n{}{after}", MARKS[0], MARKS[1]))?;
    Ok(())
}

fn table(package: &Path, flood: &[Value], throughput: &[Value]) -> Result<String, Box<dyn Error>> {
    let mut lines = vec!["lines of code".to_owned()];
    for (name, _, _) in DESIGNS {
        lines.push(lines_of_code(package, name)?.to_string());
    }
    let line = |head: &str, cell: &dyn Fn(&str) -> String| {
        [head.to_owned()].into_iter().chain(DESIGNS.map(|(name, _, _)| cell(name))).collect()
    };
    let waits = |name: &str| {
        row(flood, name)
            .map_or_else(|| "not measured".to_owned(), |row| shown(&row["flood_p99"]["median"]))
    };
    let mut rows: Vec<Vec<String>> = vec![lines, line("wait in a flood, p99", &waits)];
    for (number, aspect) in ASPECTS.into_iter().enumerate() {
        let cells = DESIGNS.map(|(_, _, words)| words[number].to_owned());
        rows.push([aspect.to_owned()].into_iter().chain(cells).collect());
    }
    for machine in ["quiet", "busy"] {
        let head = format!("ns a message, {machine} machine");
        rows.push(line(&head, &|name| time(throughput, machine, name)));
    }
    let head = [String::new()].into_iter().chain(DESIGNS.map(|(_, title, _)| title.to_owned()));
    Ok(markdown(&head.collect::<Vec<_>>(), &rows))
}

/// How many lines it takes to start a contender, to submit a message and to end it.
fn lines_of_code(package: &Path, contender: &str) -> Result<usize, Box<dyn Error>> {
    let path = package.join("benches/contenders").join(contender).with_extension("rs");
    let (mut count, mut is_part) = (0, false);
    for line in fs::read_to_string(path)?.lines() {
        is_part |= line.starts_with("    ") && PARTS.iter().any(|part| line.contains(part));
        count += usize::from(is_part);
        is_part &= line != "    }";
    }
    Ok(count)
}

/// The median of its workloads, the least and the most.
fn time(rows: &[Value], machine: &str, contender: &str) -> String {
    let own = rows.iter().filter(|row| row["machine"] == machine && row["contender"] == contender);
    let mut times: Vec<f64> = own.map(|row| number(&row["ns_per_message"]["median"])).collect();
    times.sort_by(f64::total_cmp);
    match (times.first(), times.last()) {
        (Some(least), Some(most)) => {
            let median = f64::midpoint(times[(times.len() - 1) / 2], times[times.len() / 2]);
            format!("{} ({} to {})", figure(median), figure(*least), figure(*most))
        }
        _ => "?".to_owned(),
    }
}

fn row<'a>(rows: &'a [Value], contender: &str) -> Option<&'a Value> {
    rows.iter().find(|row| text(&row["contender"]) == contender)
}

/// A time in the unit that suits it, with three digits.
fn shown(nanoseconds: &Value) -> String {
    let time = number(nanoseconds);
    let unit = if time >= 1e6 { 1e6 } else { 1e3 };
    format!("{} {}", figure(time / unit), if unit == 1e6 { "ms" } else { "µs" })
}

/// A bar for each design, from zero.
fn plot(path: &Path, rows: &[Value]) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let [left, right, above, below] = MARGINS;
    let (right, bottom) = (SIZE.0 as i32 - right, SIZE.1 as i32 - below);
    let font = |size: i32, horizontal| {
        TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(horizontal, VPos::Center))
    };
    let title = "Wait of honest peers' messages while one peer floods, 99th percentile";
    area.draw(&Text::new(title, (SIZE.0 as i32 / 2, 18), font(20, HPos::Center)))?;
    let bars = BARS.map(|(name, title)| row(rows, name).map(|row| (name, title, row)));
    let most = bars.iter().flatten().map(|(_, _, row)| number(&row["flood_p99"]["median"]));
    // To the right of the longest bar is its figure.
    let ticks = (most.fold(0.0, f64::max) * 1.2 / TICK).ceil();
    let x = |time: f64| left + (f64::from(right - left) * time / (ticks * TICK)) as i32;
    for tick in 0..=ticks as i32 {
        let time = f64::from(tick) * TICK;
        area.draw(&PathElement::new(vec![(x(time), above), (x(time), bottom)], GRID))?;
        let label = if tick == 0 { "0".to_owned() } else { duration(time) };
        area.draw(&Text::new(label, (x(time), bottom + 14), font(15, HPos::Center)))?;
    }
    let step = (bottom - above) / BARS.len() as i32;
    for (place, (name, title, row)) in bars.into_iter().flatten().enumerate() {
        let y = above + step * place as i32 + step / 2;
        let end = x(number(&row["flood_p99"]["median"])).max(left + 2);
        let corners = [(left, y - BAR / 2), (end, y + BAR / 2)];
        area.draw(&Rectangle::new(corners, color(name).filled()))?;
        area.draw(&Text::new(title, (left - 10, y), font(17, HPos::Right)))?;
        let label = shown(&row["flood_p99"]["median"]);
        area.draw(&Text::new(label, (end + 8, y), font(17, HPos::Left)))?;
    }
    let calm = bars.iter().flatten().map(|(_, _, row)| number(&row["calm_p99"]["median"]) / 1e3);
    let (least, most) = calm.fold((f64::MAX, 0.0f64), |(a, b), time| (a.min(time), b.max(time)));
    let note =
        format!("Without the flood all of them take {} to {} µs.", figure(least), figure(most));
    area.draw(&Text::new(note, (left, SIZE.1 as i32 - 12), font(15, HPos::Left)))?;
    area.present()?;
    Ok(())
}
