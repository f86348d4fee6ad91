//! The picture of a view: a pure function of it, of the time, and of the size of the terminal.
//!
//! ```text
//! which replica it is, and whether all is here
//! why there is no newer answer, if there is none
//! where it listens, what it holds            (not in a low terminal)
//! bytes of the last seconds, in and out
//! remarks, then tables: what is of most interest first; the keys scroll these
//! keys
//! ```
//!
//! No text of the port's comes here without [`one_line`], by way of `status.rs`.

use std::time::Instant;

use gossip_replica::http::{age, status::Status};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Sparkline, Widget as _},
};

use super::{
    table::{columns_of, cut, fair_rows, lines},
    view::View,
};
use crate::{
    failure::one_line,
    status::{advice, headline, place, rate, remarks, sections, short, store, who},
};

/// Lower terminals have no line for what hardly changes.
const LOW: u16 = 16;
/// How many seconds after an answer another is overdue.
const OLD: f64 = 2.5;
/// Bytes of a second that are drawn full if no second had more. What peers send when nothing moves is low.
const FULL: u64 = 10_000;
/// What stands before a line of points.
const FIGURE_WIDTH: u16 = 14;

const HELP: [&str; 16] = [
    "q Esc Ctrl-C  quit",
    "Up Down j k   scroll by a line",
    "PgUp PgDn     scroll by ten lines",
    "Home g        back to the first line",
    "a             all rows, or what fits",
    "Left Right    another replica of a demo",
    "1 to 9        the same, by its number",
    "?             this, or back",
    "",
    "HERE      share of the bytes that is held",
    "PEERS     those that hold it",
    "LEFT      how long the rest takes",
    "IN FLIGHT messages of a flow, of at most",
    "P99       how long 99 of 100 wait at most",
    "LATELY    dropped in the last minute",
    "Yellow is behind, red is lost or refused.",
];

/// Draws, and says how far one may scroll.
pub(super) fn draw(view: &View, now: Instant, area: Rect, buffer: &mut Buffer) -> usize {
    let mut rows = area.rows();
    let mut put = |line: &Line<'_>| {
        if let Some(row) = rows.next() {
            buffer.set_line(row.x, row.y, line, row.width);
        }
    };
    let width = usize::from(area.width);
    put(&title(view, width));
    if let Some(fault) = fault(view, now) {
        put(&Line::from(cut(&fault, width)).fg(Color::Red));
    }
    if let Some((status, _)) = &view.seen {
        if area.height >= LOW {
            let line = format!("{}; {}", place(status), store(&status.replica));
            put(&Line::from(cut(&line, width)).dim());
        }
        if let Some(row) = rows.next() {
            traffic(status, row, buffer);
        }
    }
    let mut rest: Vec<Rect> = rows.collect();
    let Some(footer) = rest.pop() else { return 0 };
    let body = body(view, width, rest.len());
    let hidden = body.len().saturating_sub(rest.len());
    let scroll = view.scroll.min(hidden);
    for (row, line) in rest.iter().zip(body.iter().skip(scroll)) {
        buffer.set_line(row.x, row.y, line, row.width);
    }
    let below = body.len().saturating_sub(scroll + rest.len());
    buffer.set_line(footer.x, footer.y, &keys(view, below, width), footer.width);
    hidden
}

fn title(view: &View, width: usize) -> Line<'static> {
    let Some((status, _)) = &view.seen else {
        return Line::from(cut(&format!("asking {}", view.address), width)).bold();
    };
    let replica = &status.replica;
    let number = match status.replicas.len() {
        0 | 1 => String::new(),
        replicas => format!("{}/{replicas} ", replica.number),
    };
    let state = headline(replica);
    // Whether all is here matters more than how the replica is called.
    let name = cut(
        &who(replica.name.as_deref(), &replica.id),
        width.saturating_sub(columns_of(&number) + columns_of(&state) + 2).max(8),
    );
    let color = match (replica.faults.is_empty(), replica.readiness.ready) {
        (false, _) => Color::Red,
        (true, true) => Color::Green,
        (true, false) => Color::Yellow,
    };
    let mut spans = vec![Span::raw(number), Span::raw(name).bold(), Span::raw("  ")];
    spans.push(Span::raw(state).fg(color).bold());
    let line = Line::from(spans);
    let id = short(&replica.id);
    match replica.name.is_some() && line.width() + id.len() + 2 <= width {
        true => line + Span::raw(format!("  {id}")).dim(),
        false => line,
    }
}

/// Why what is shown is not of now.
fn fault(view: &View, now: Instant) -> Option<String> {
    let since = view.seen.as_ref().map(|(_, at)| now.saturating_duration_since(*at).as_secs_f64());
    let why = view.fault.as_deref().map(one_line);
    match (since, why) {
        (Some(since), Some(why)) => Some(format!("as of {} ago: {why}", age(since))),
        (None, Some(why)) => Some(why),
        (Some(since), None) if since > OLD => {
            Some(format!("as of {} ago: no answer yet", age(since)))
        }
        (_, None) => None,
    }
}

fn traffic(status: &Status, row: Rect, buffer: &mut Buffer) {
    let traffic = &status.replica.traffic;
    let half = row.width / 2;
    for (at, name, now, history, color) in [
        (0, "in", traffic.in_rate, &traffic.in_history, Color::Cyan),
        (half, "out", traffic.out_rate, &traffic.out_history, Color::Magenta),
    ] {
        let figure = format!("{name} {}", rate(now));
        buffer.set_string(row.x + at, row.y, figure, Style::new().fg(color));
        let width = half.saturating_sub(FIGURE_WIDTH + 1);
        let first = history.len().saturating_sub(width.into());
        let points = Rect { x: row.x + at + FIGURE_WIDTH, width, ..row };
        let shown = &history[first..];
        let full = shown.iter().copied().max().unwrap_or(0).max(FULL);
        Sparkline::default().data(shown).max(full).style(color).render(points, buffer);
    }
}

/// What is scrolled.
fn body(view: &View, width: usize, height: usize) -> Vec<Line<'static>> {
    if view.is_help {
        return HELP.into_iter().map(Line::from).collect();
    }
    let Some((status, _)) = &view.seen else { return Vec::new() };
    let mut body: Vec<_> = remarks(status)
        .map(|line| {
            let color = if line.starts_with('!') { Color::Yellow } else { Color::Reset };
            Line::from(cut(&line, width)).fg(color)
        })
        .collect();
    let sections = sections(status);
    let advice: Vec<_> =
        advice(&status.replica).map(|line| Line::from(cut(&line, width))).collect();
    let height = height.saturating_sub(body.len() + advice.len());
    let rows = if view.is_all { usize::MAX } else { fair_rows(&sections, height) };
    body.extend(sections.iter().flat_map(|section| lines(section, width, rows)));
    body.extend(advice);
    body
}

fn keys(view: &View, below: usize, width: usize) -> Line<'static> {
    let several = view.seen.as_ref().is_some_and(|(status, _)| status.replicas.len() > 1);
    let mut keys = "q quit  ↑↓ scroll  ? help  a ".to_owned();
    keys.push_str(if view.is_all { "what fits" } else { "all rows" });
    if several {
        keys.push_str("  ←→ replica");
    }
    let more = if below > 0 { format!("{below} more below") } else { String::new() };
    let taken = columns_of(&more) + 1;
    let keys = cut(&keys, width.saturating_sub(taken));
    let space = " ".repeat(width.saturating_sub(columns_of(&keys) + columns_of(&more)));
    Line::from(vec![Span::raw(keys), Span::raw(space), Span::raw(more)]).reversed()
}
