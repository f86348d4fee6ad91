//! The engine beside the other designs: what is won, and where it loses, counted line by line of the tables.

use std::error::Error;

use serde_json::Value;

use super::{
    Measured,
    table::{duration, figure, markdown, number, text},
};

const BASELINE: &str = "baseline";
/// How many lines say what is won.
const WON: usize = 10;

/// Which way is better.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Better {
    Less,
    More,
}

/// What is compared: a figure, in the lines that have the same of these fields.
struct Measure {
    bench: &'static str,
    what: &'static str,
    field: &'static str,
    better: Better,
    /// A field that the lines must have this value of.
    only: Option<(&'static str, &'static str)>,
    alike: &'static [&'static str],
}

const MEASURES: [Measure; 15] = {
    const WORKLOAD: &[&str] = &["permits", "producers", "workers"];
    const LOAD: &[&str] = &["handler_ns", "percent_of_baseline"];
    const TRICKLE: &[&str] = &["gap_ns", "arrivals"];
    const QUIET: Option<(&str, &str)> = Some(("machine", "quiet"));
    const BUSY: Option<(&str, &str)> = Some(("machine", "busy"));
    const fn less(
        bench: &'static str,
        what: &'static str,
        field: &'static str,
        only: Option<(&'static str, &'static str)>,
        alike: &'static [&'static str],
    ) -> Measure {
        Measure { bench, what, field, better: Better::Less, only, alike }
    }
    [
        less("throughput", "time of a message, quiet machine", "ns_per_message", QUIET, WORKLOAD),
        less("throughput", "time of a message, busy machine", "ns_per_message", BUSY, WORKLOAD),
        less("latency", "p50 under load", "p50", None, LOAD),
        less("latency", "p99 under load", "p99", None, LOAD),
        less("latency", "p99.9 under load", "p999", None, LOAD),
        less("flood", "honest p99 in a flood", "flood_p99", None, &[]),
        Measure {
            bench: "dear_peer",
            what: "the cheap peer's share of the time beside a dear one",
            field: "share_of_cheap",
            better: Better::More,
            only: Some(("weights", "1:1")),
            alike: &["threads"],
        },
        less("five_flows", "p99 beside a stuck flow", "p99_beside_stuck", None, &["flow"]),
        less("wakeup", "p50 of a trickle, quiet machine", "p50", QUIET, TRICKLE),
        less("wakeup", "p50 of a trickle, busy machine", "p50", BUSY, TRICKLE),
        less("wakeup", "p99 of a trickle, quiet machine", "p99", QUIET, TRICKLE),
        less("wakeup", "p99 of a trickle, busy machine", "p99", BUSY, TRICKLE),
        less(
            "wakeup",
            "processor time of a trickle, quiet machine",
            "processor_ns_per_message",
            QUIET,
            TRICKLE,
        ),
        less(
            "peers",
            "time of a message, many peers",
            "ns_per_message",
            None,
            &["peers", "permits"],
        ),
        less(
            "forking",
            "time of a handler that joins, two threads to one",
            "ratio_to_one_thread",
            // Those with the lock have more.
            Some(("threads", "2")),
            &["pause_ns"],
        ),
    ]
};

/// Yardsticks and not designs, and the engine itself in other settings.
fn is_rival(contender: &str) -> bool {
    !contender.starts_with("engine") && !["floor", "base"].contains(&contender)
}

fn value(measure: &Measure, row: &Value) -> Option<f64> {
    let value = &row[measure.field];
    value.as_f64().or_else(|| value["median"].as_f64())
}

/// A line of a table: the engine's figure beside those of others.
struct Line {
    /// The engine's, relative to the best of the others.
    to_best: f64,
    best: String,
    /// The same to the baseline, if that is measured.
    to_baseline: Option<f64>,
    at: String,
}

impl Line {
    fn is_lost(&self, measure: &Measure) -> bool {
        match measure.better {
            Better::Less => self.to_best > 1.0,
            Better::More => self.to_best < 1.0,
        }
    }
}

fn lines(measure: &Measure, rows: &[Value]) -> Vec<Line> {
    let is_it = |row: &&Value| measure.only.is_none_or(|(field, only)| text(&row[field]) == only);
    let rows: Vec<&Value> = rows.iter().filter(is_it).collect();
    let engines = rows.iter().filter(|row| row["contender"] == "engine");
    let of_line = |engine: &&Value| {
        let is_alike =
            |row: &&&Value| measure.alike.iter().all(|field| row[*field] == engine[*field]);
        let rivals: Vec<(String, f64)> = rows
            .iter()
            .filter(is_alike)
            .map(|row| (text(&row["contender"]), value(measure, row)))
            .filter(|(name, _)| is_rival(name))
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .collect();
        let best = rivals.iter().min_by(|(_, a), (_, b)| match measure.better {
            Better::Less => a.total_cmp(b),
            Better::More => b.total_cmp(a),
        })?;
        let own = value(measure, engine)?;
        let baseline = rivals.iter().find(|(name, _)| name == BASELINE);
        let name = |field: &&str| match field.strip_suffix("_ns") {
            Some(field) => format!("{field} {}", duration(number(&engine[format!("{field}_ns")]))),
            None => format!("{} {}", field.replace('_', " "), text(&engine[*field])),
        };
        let at: Vec<String> = measure.alike.iter().map(name).collect();
        Some(Line {
            to_best: own / best.1,
            best: format!("`{}`", best.0),
            to_baseline: baseline.map(|(_, value)| own / value),
            at: at.join(", "),
        })
    };
    engines.filter_map(of_line).collect()
}

/// The engine's ratios of one measure, in the median of its lines and at both ends.
struct Ratios {
    /// To the baseline, or to the best of the others if the baseline has no such figure.
    whose: &'static str,
    median: f64,
    ends: [f64; 2],
}

fn ratios(lines: &[Line]) -> Option<Ratios> {
    let of_baseline: Vec<f64> = lines.iter().filter_map(|line| line.to_baseline).collect();
    let (whose, mut ratios) = if of_baseline.is_empty() {
        ("the best of the others'", lines.iter().map(|line| line.to_best).collect())
    } else {
        ("`baseline`'s", of_baseline)
    };
    ratios.sort_by(f64::total_cmp);
    let ends = [*ratios.first()?, *ratios.last()?];
    Some(Ratios { whose, median: ratios[ratios.len() / 2], ends })
}

impl Ratios {
    /// The figure, and in how many lines nobody is better.
    fn tell(&self, measure: &Measure, lines: &[Line]) -> String {
        let best = lines.iter().filter(|line| !line.is_lost(measure)).count();
        format!(
            "{} of {} [{} to {}]; nobody is better in {best} of {}",
            figure(self.median),
            self.whose,
            figure(self.ends[0]),
            figure(self.ends[1]),
            lines_of(lines.len()),
        )
    }
}

/// The first section: a line for each figure that is better than the baseline's, or than that of the best of the others
/// if the baseline has none, in the median of the lines.
pub(crate) fn won() -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let mut count = 0;
    for measure in &MEASURES {
        let Some(Measured { rows, .. }) = Measured::read(measure.bench)? else { continue };
        let lines = lines(measure, &rows);
        let Some(ratios) = ratios(&lines) else { continue };
        let is_won = match measure.better {
            Better::Less => ratios.median < 1.0,
            Better::More => ratios.median > 1.0,
        };
        if is_won && count < WON {
            count += 1;
            text += &format!("{count}. **{}**: {}.\n", measure.what, ratios.tell(measure, &lines));
        }
    }
    let (engines, others) = hung()?;
    if engines.is_empty() && !others.is_empty() && count < WON {
        count += 1;
        text += &format!(
            "{count}. **A `par_iter` with a lock held**: all messages are handled, where {} hangs.\n",
            others.join(" and "),
        );
    }
    if count == 0 {
        text += "Nothing, or nothing was measured.\n";
    }
    Ok(text)
}

/// A sentence for each measure of a bench.
pub(crate) fn figures(bench: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut sentences = Vec::new();
    for measure in MEASURES.iter().filter(|measure| measure.bench == bench) {
        let Some(Measured { rows, .. }) = Measured::read(bench)? else { continue };
        let lines = lines(measure, &rows);
        if let Some(ratios) = ratios(&lines) {
            sentences.push(format!("{}: {}.", measure.what, ratios.tell(measure, &lines)));
        }
    }
    Ok(sentences)
}

/// The second section.
pub(crate) fn lost() -> Result<String, Box<dyn Error>> {
    let mut table = Vec::new();
    for measure in &MEASURES {
        let Some(Measured { rows, .. }) = Measured::read(measure.bench)? else { continue };
        let lines = lines(measure, &rows);
        let losses: Vec<&Line> = lines.iter().filter(|line| line.is_lost(measure)).collect();
        let worst = losses.iter().max_by(|a, b| match measure.better {
            Better::Less => a.to_best.total_cmp(&b.to_best),
            Better::More => b.to_best.total_cmp(&a.to_best),
        });
        if let Some(worst) = worst {
            table.push(vec![
                measure.what.to_owned(),
                format!("{} of {}", losses.len(), lines.len()),
                format!("{} × {}", figure(worst.to_best), worst.best),
                worst.at.clone(),
            ]);
        }
    }
    let hangs = match hung()?.0.as_slice() {
        [] => String::new(),
        names => format!(
            "\nHandlers that run a `par_iter` with a lock held hang in {}.\n",
            names.join(" and ")
        ),
    };
    let head = ["figure", "lines lost", "worst, to whom", "where"].map(str::to_owned);
    Ok(format!(
        "In how many lines of the tables the best of the other designs has a better median than the engine as it \
         comes, and the worst of these. The yardsticks are left out. Why it is so, and what else it costs, is \
         discussed at the end.\n\n{}{}",
        markdown(&head, &table),
        hangs,
    ))
}

/// Who hangs where handlers fork with a lock held: the engine in its settings, and others.
fn hung() -> Result<(Vec<String>, Vec<String>), Box<dyn Error>> {
    let rows = Measured::read("forking")?.map_or_else(Vec::new, |measured| measured.rows);
    let names = rows
        .iter()
        .filter(|row| row["outcome"] == "hang")
        .map(|row| format!("`{}`", text(&row["contender"])));
    Ok(names.partition(|name| name.starts_with("`engine")))
}

fn lines_of(count: usize) -> String {
    format!("{count} workload{}", if count == 1 { "" } else { "s" })
}
