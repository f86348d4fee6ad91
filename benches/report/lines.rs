//! Line plots as SVG: panels that share one axis, in each a line for each contender, with a whisker
//! from the lower to the upper quartile at every point.

use std::{error::Error, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde_json::Value;

use super::table::number;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Height of a panel.
const HEIGHT: u32 = 260;
/// Above the panels: a line for the title and one for the names.
const HEAD: u32 = 56;
/// Left, right, above and below a panel's axes.
const MARGINS: [i32; 4] = [62, 12, 28, 26];
/// Between the points of two contenders at the same place, so that their whiskers can be told apart.
const ASIDE: f64 = 5.0;
pub(crate) const GRID: RGBColor = RGBColor(222, 222, 222);

pub(crate) enum Scale {
    /// From the decade below the least to the one above the greatest.
    Logarithmic,
    /// From zero.
    Linear,
}

pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) scale: Scale,
    /// How a value is written at its axis.
    pub(crate) label: fn(f64) -> String,
    pub(crate) columns: usize,
    /// Of a panel, in pixels.
    pub(crate) width: u32,
    pub(crate) panels: Vec<Panel>,
}

pub(crate) struct Panel {
    pub(crate) title: String,
    /// Names of the points, from left to right.
    pub(crate) points: Vec<String>,
    /// For each contender its quartiles at each point.
    pub(crate) series: Vec<(String, Vec<Value>)>,
}

pub(crate) fn draw(path: &Path, plot: &Plot) -> Result<(), Box<dyn Error>> {
    let rows = plot.panels.len().div_ceil(plot.columns);
    let size = (plot.width * plot.columns as u32, HEAD + HEIGHT * rows as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    let middle = Pos::new(HPos::Center, VPos::Top);
    let style = TextStyle::from(("sans-serif", 18).into_font()).pos(middle);
    head.draw(&Text::new(plot.title, (size.0 as i32 / 2, 8), style))?;
    names(&head, &plot.panels)?;
    let axis = Axis::of(plot);
    for (area, panel) in body.split_evenly((rows, plot.columns)).iter().zip(&plot.panels) {
        axis.panel(area, panel)?;
    }
    root.present()?;
    Ok(())
}

/// The mark and the name of each contender.
fn names(head: &Area<'_>, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    let mut left = MARGINS[0];
    for (name, _) in &panels.first().ok_or("no panels")?.series {
        mark(head, (left + 6, 42), name)?;
        head.draw(&Text::new(name.clone(), (left + 15, 36), ("sans-serif", 13).into_font()))?;
        left += 30 + 8 * name.len() as i32;
    }
    Ok(())
}

/// A colour for each contender, and a mark that no other in its picture has, so that they can be told apart without
/// colour as well. The engine's is the only full circle.
pub(crate) fn color(contender: &str) -> RGBColor {
    style(contender).0
}

#[derive(Clone, Copy)]
enum Mark {
    Disc,
    Ring,
    Square,
    OpenSquare,
    Triangle,
    /// Open, and upside down.
    Funnel,
    /// Open, and on a corner.
    Diamond,
    Cross,
    Plus,
}

fn style(contender: &str) -> (RGBColor, Mark) {
    match contender {
        "engine" => (RGBColor(200, 80, 30), Mark::Disc),
        "engine-rows" => (RGBColor(230, 130, 90), Mark::Ring),
        "baseline" => (RGBColor(60, 100, 170), Mark::Square),
        "channel" => (RGBColor(50, 140, 80), Mark::Triangle),
        "crossfire" => (RGBColor(20, 160, 170), Mark::Cross),
        "tokio" => (RGBColor(150, 60, 110), Mark::Ring),
        "rayon" => (RGBColor(90, 90, 90), Mark::Funnel),
        "async-channel" => (RGBColor(130, 170, 60), Mark::OpenSquare),
        "tower" => (RGBColor(170, 140, 110), Mark::Plus),
        "engine, age" => (RGBColor(235, 160, 40), Mark::Ring),
        "engine, park" => (RGBColor(140, 90, 160), Mark::Diamond),
        "engine, drop oldest" => (RGBColor(120, 110, 30), Mark::Cross),
        _ => (RGBColor(140, 90, 160), Mark::Ring),
    }
}

/// Draws a contender's mark.
fn mark(area: &Area<'_>, at: (i32, i32), contender: &str) -> Result<(), Box<dyn Error>> {
    let (color, mark) = style(contender);
    let path = |steps: &[(i32, i32)]| {
        let corners = steps.iter().map(|step| (at.0 + step.0, at.1 + step.1));
        area.draw(&PathElement::new(corners.collect::<Vec<_>>(), color.stroke_width(2)))
    };
    match mark {
        Mark::Disc => area.draw(&Circle::new(at, 4, color.filled()))?,
        Mark::Ring => area.draw(&Circle::new(at, 4, color.stroke_width(2)))?,
        Mark::Square => {
            let corners = [(at.0 - 3, at.1 - 3), (at.0 + 3, at.1 + 3)];
            area.draw(&Rectangle::new(corners, color.filled()))?;
        }
        Mark::OpenSquare => path(&[(-4, -4), (4, -4), (4, 4), (-4, 4), (-4, -4)])?,
        Mark::Triangle => area.draw(&TriangleMarker::new(at, 5, color.filled()))?,
        Mark::Funnel => path(&[(-5, -4), (5, -4), (0, 5), (-5, -4)])?,
        Mark::Diamond => path(&[(-5, 0), (0, -5), (5, 0), (0, 5), (-5, 0)])?,
        Mark::Cross => area.draw(&Cross::new(at, 4, color.stroke_width(2)))?,
        Mark::Plus => {
            path(&[(-5, 0), (5, 0)])?;
            path(&[(0, -5), (0, 5)])?;
        }
    }
    Ok(())
}

/// What all panels have in common, so that they can be compared.
struct Axis {
    logarithmic: bool,
    label: fn(f64) -> String,
    /// In the axis's own measure: decades or values.
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn of(plot: &Plot) -> Self {
        let quartiles = plot.panels.iter().flat_map(|panel| &panel.series).flat_map(|(_, own)| own);
        let (least, greatest) = quartiles.fold((f64::MAX, 0.0f64), |(least, greatest), own| {
            (least.min(number(&own["lower"])), greatest.max(number(&own["upper"])))
        });
        match plot.scale {
            Scale::Logarithmic => {
                let (from, to) = (least.log10().floor(), greatest.log10().ceil());
                let ticks = (from as i32..=to as i32).map(f64::from).collect();
                Self { logarithmic: true, label: plot.label, from, to, ticks }
            }
            Scale::Linear => {
                // Steps of one, two or five times a power of ten, at most eight of them.
                let decade = 10f64.powf((greatest / 8.0).log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * decade);
                let step = step.into_iter().find(|step| greatest / step <= 8.0).unwrap_or(greatest);
                let steps = (greatest / step).ceil() as i32;
                let ticks: Vec<f64> = (0..=steps).map(|tick| f64::from(tick) * step).collect();
                let to = f64::from(steps) * step;
                Self { logarithmic: false, label: plot.label, from: 0.0, to, ticks }
            }
        }
    }

    fn panel(&self, area: &Area<'_>, panel: &Panel) -> Result<(), Box<dyn Error>> {
        let [left, right, above, below] = MARGINS;
        let (width, height) = area.dim_in_pixel();
        let (right, bottom) = (width as i32 - right, height as i32 - below);
        let y = |measure: f64| {
            let share = (measure - self.from) / (self.to - self.from);
            bottom - (share * f64::from(bottom - above)) as i32
        };
        let font = || TextStyle::from(("sans-serif", 12).into_font());
        area.draw(&Text::new(panel.title.clone(), (left, 8), ("sans-serif", 14).into_font()))?;
        for tick in &self.ticks {
            let value = if self.logarithmic { 10f64.powf(*tick) } else { *tick };
            let line = vec![(left, y(*tick)), (right, y(*tick))];
            area.draw(&PathElement::new(line, GRID))?;
            let style = font().pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new((self.label)(value), (left - 6, y(*tick)), style))?;
        }
        let step = f64::from(right - left) / panel.points.len() as f64;
        let x = |point: usize| f64::from(left) + (point as f64 + 0.5) * step;
        for (point, name) in panel.points.iter().enumerate() {
            let style = font().pos(Pos::new(HPos::Center, VPos::Top));
            area.draw(&Text::new(name.clone(), (x(point) as i32, bottom + 7), style))?;
        }
        let middle = (panel.series.len() - 1) as f64 / 2.0;
        for (place, (name, own)) in panel.series.iter().enumerate() {
            let at = |(point, quartiles): (usize, &Value), which: &str| {
                let value = number(&quartiles[which]);
                let measure = if self.logarithmic { value.log10() } else { value };
                ((x(point) + (place as f64 - middle) * ASIDE) as i32, y(measure))
            };
            let line = own.iter().enumerate().map(|point| at(point, "median")).collect::<Vec<_>>();
            area.draw(&PathElement::new(line.clone(), color(name).stroke_width(2)))?;
            for (point, center) in own.iter().enumerate().zip(line) {
                mark(area, center, name)?;
                let whisker = vec![at(point, "lower"), at(point, "upper")];
                area.draw(&PathElement::new(whisker, color(name)))?;
            }
        }
        Ok(())
    }
}
