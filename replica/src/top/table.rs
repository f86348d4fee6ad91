//! A table of a status as lines of a terminal: as many columns as fit, and as many rows as it may have.
//!
//! Columns of the highest rank go first. What is left over goes to texts and bars, which are cut where it does not
//! suffice. At the least [`MIN_ROWS`] rows are shown; the last line says how many are not.

use ratatui::{
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
};

use crate::status::{Column, Kind, Row, Section, Tone};

/// Rows that a table has, however small the terminal is.
const MIN_ROWS: usize = 3;
/// Between two columns.
const GAP: usize = 2;
/// A longer text may be cut to so much.
const MIN_TEXT: usize = 16;
const MIN_BAR: usize = 8;
const MAX_BAR: usize = 24;

/// How many rows each table may have so that all fit into so many lines, with a header each.
pub(super) fn fair_rows(sections: &[Section], height: usize) -> usize {
    let fits = |rows: &usize| {
        let lines = sections.iter().map(|section| 1 + section.rows.len().min(*rows));
        lines.sum::<usize>() <= height
    };
    // What is longer than the terminal need not be tried.
    (MIN_ROWS..=height).rev().find(fits).unwrap_or(MIN_ROWS)
}

/// The header and the rows; what does not fit is counted in the last line.
pub(super) fn lines(section: &Section, width: usize, max_rows: usize) -> Vec<Line<'static>> {
    let widths = widths(section, width);
    let names = section.columns.iter().map(|column| column.name.to_owned()).collect();
    let header = Row { cells: names, tone: Tone::Good, here: None };
    let mut lines = vec![line(&section.columns, &widths, &header).bold().underlined()];
    let rows = section.rows.len();
    let shown = if rows > max_rows { max_rows.saturating_sub(1) } else { rows };
    let cells = section.rows[..shown].iter();
    lines.extend(cells.map(|row| line(&section.columns, &widths, row)));
    if shown < rows {
        lines.push(Line::from(format!("… and {} more", rows - shown)).dim());
    }
    lines
}

/// The width of each column; 0 of those that have no place.
fn widths(section: &Section, width: usize) -> Vec<usize> {
    let natural = |(at, column): (usize, &Column)| {
        let cells = section.rows.iter().map(|row| columns_of(&row.cells[at]));
        match column.kind {
            Kind::Bar => MAX_BAR,
            _ => cells.max().unwrap_or(0).max(columns_of(column.name)),
        }
    };
    let natural: Vec<usize> = section.columns.iter().enumerate().map(natural).collect();
    let least = |(column, natural): (&Column, &usize)| match column.kind {
        Kind::Text => (*natural).min(MIN_TEXT),
        Kind::Number => *natural,
        Kind::Bar => MIN_BAR,
    };
    let mut widths: Vec<usize> = section.columns.iter().zip(&natural).map(least).collect();
    let taken = |widths: &[usize]| {
        let shown = widths.iter().filter(|width| **width > 0);
        shown.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while taken(&widths) > width {
        let shown = section.columns.iter().enumerate().filter(|(at, _)| widths[*at] > 0);
        let Some((last, column)) = shown.max_by_key(|(_, column)| column.rank) else { break };
        if column.rank == 0 {
            break;
        }
        widths[last] = 0;
    }
    let mut spare = width.saturating_sub(taken(&widths));
    for kind in [Kind::Text, Kind::Bar] {
        for (at, _) in section.columns.iter().enumerate().filter(|(_, of)| of.kind == kind) {
            if widths[at] > 0 {
                let more = spare.min(natural[at] - widths[at]);
                widths[at] += more;
                spare -= more;
            }
        }
    }
    widths
}

fn line(columns: &[Column], widths: &[usize], row: &Row) -> Line<'static> {
    let style = match row.tone {
        Tone::Good => Style::new(),
        Tone::Behind => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
    };
    let mut spans = Vec::new();
    for (at, column) in columns.iter().enumerate().filter(|(at, _)| widths[*at] > 0) {
        if !spans.is_empty() {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        let (cell, width) = (&row.cells[at], widths[at]);
        spans.push(match (column.kind, row.here) {
            (Kind::Text, _) => Span::styled(left(cell, width), style),
            (Kind::Number, _) => Span::styled(format!("{}{cell}", pad(cell, width)), style),
            (Kind::Bar, Some(here)) => Span::styled(bar(here, width), style),
            (Kind::Bar, None) => Span::raw(" ".repeat(width)),
        });
    }
    Line::from(spans)
}

fn bar(here: u64, width: usize) -> String {
    // At most the width, as there are at most 100 hundredths. Full only if all is here.
    let full = width * usize::try_from(here.min(100)).unwrap_or(100) / 100;
    format!("{}{}", "━".repeat(full), "─".repeat(width - full))
}

/// A text with spaces after it, or without its middle: a path is known by both of its ends.
fn left(text: &str, width: usize) -> String {
    let text = shorten(text, width / 3, width);
    format!("{text}{}", pad(&text, width))
}

/// A text that is not wider than this, without its end.
pub(super) fn cut(text: &str, width: usize) -> String {
    shorten(text, width, width)
}

/// A text that is not wider than `width`: `head` columns of it, a mark, and its end.
fn shorten(text: &str, head: usize, width: usize) -> String {
    if columns_of(text) <= width {
        return text.to_owned();
    }
    // As the terminal draws them: what belongs together is kept or left out as a whole.
    let span = Span::raw(text);
    let graphemes: Vec<&str> =
        span.styled_graphemes(Style::new()).map(|grapheme| grapheme.symbol).collect();
    // One column is that of the mark.
    let kept = width.saturating_sub(1);
    let head: String = fitting(graphemes.iter(), head.min(kept)).collect();
    let tail: Vec<&str> = fitting(graphemes.iter().rev(), kept - columns_of(&head)).collect();
    let tail: String = tail.into_iter().rev().collect();
    format!("{head}…{tail}")
}

/// The first of them, as far as they take no more columns than this.
fn fitting<'a>(
    graphemes: impl Iterator<Item = &'a &'a str>,
    width: usize,
) -> impl Iterator<Item = &'a str> {
    let taken = graphemes.copied().scan(0, move |taken, grapheme| {
        *taken += columns_of(grapheme);
        (*taken <= width).then_some(grapheme)
    });
    taken.fuse()
}

fn pad(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(columns_of(text)))
}

/// How many columns of the terminal a text takes.
pub(super) fn columns_of(text: &str) -> usize {
    Span::raw(text).width()
}

#[cfg(test)]
mod tests;
