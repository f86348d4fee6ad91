//! Bar plots as SVG, with the reader's own fonts.

use std::{error::Error, path::Path};

use plotters::prelude::*;
use serde_json::Value;

use super::table::{figure, number, text};

const SIZE: (u32, u32) = (960, 720);
const GRID: (usize, usize) = (3, 3);
/// Not designs, and faster than all that are.
const LEFT_OUT: [&str; 2] = ["floor", "base"];
const BARS_FROM: i32 = 95;
const BARS_LENGTH: f64 = 165.0;
const BAR_STEP: i32 = 24;

/// A panel for each workload, a bar for each contender; all panels have one scale.
pub(crate) fn throughput(path: &Path, rows: &[Value]) -> Result<(), Box<dyn Error>> {
    let rows: Vec<&Value> =
        rows.iter().filter(|row| !LEFT_OUT.contains(&text(&row["contender"]).as_str())).collect();
    let fastest = rows.iter().map(|row| rate(row, "median")).fold(0.0, f64::max);
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(
        "Millions of messages per second; the line spans the quartiles",
        ("sans-serif", 18),
    )?;
    let workload = |row: &Value| (row["permits"].clone(), row["producers"].clone());
    for (panel, of_workload) in
        root.split_evenly(GRID).iter().zip(rows.chunk_by(|a, b| workload(a) == workload(b)))
    {
        let (permits, producers) = workload(of_workload[0]);
        let title = format!("permits: {permits}, producers: {producers}");
        panel.draw(&Text::new(title, (BARS_FROM, 8), ("sans-serif", 14).into_font()))?;
        for (row, top) in of_workload.iter().zip((30..).step_by(BAR_STEP as usize)) {
            let name = text(&row["contender"]);
            let color =
                if name == "engine" { RGBColor(200, 80, 30) } else { RGBColor(110, 140, 180) };
            let end = |which| {
                BARS_FROM + (rate(row, which) / fastest * BARS_LENGTH).min(BARS_LENGTH) as i32
            };
            let middle = top + BAR_STEP / 2 - 3;
            let bar = [(BARS_FROM, top), (end("median"), top + BAR_STEP - 6)];
            panel.draw(&Rectangle::new(bar, color.filled()))?;
            // The more time a message took, the lower is the rate.
            let whisker = vec![(end("upper"), middle), (end("lower"), middle)];
            panel.draw(&PathElement::new(whisker, BLACK))?;
            let font = ("sans-serif", 12).into_font();
            panel.draw(&Text::new(name, (8, top + 3), font.clone()))?;
            let label = (end("lower").max(end("median")) + 4, top + 3);
            panel.draw(&Text::new(figure(rate(row, "median")), label, font))?;
        }
    }
    root.present()?;
    Ok(())
}

fn rate(row: &Value, which: &str) -> f64 {
    1e3 / number(&row["ns_per_message"][which])
}
