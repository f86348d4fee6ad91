//! The section about latency.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{distinct, duration, figure, markdown, number, share, spread, text, verdict},
};

const PLOT: &str = "benches/plots/latency.svg";
/// A decade of 1/(1-q) apart, from the second on.
const QUANTILES: [(&str, &str); 5] =
    [("50 %", "p50"), ("90 %", "p90"), ("99 %", "p99"), ("99.9 %", "p999"), ("max", "max")];

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    plot(rows, package)?;
    let mut section = format!(
        "Open loop, Poisson arrivals at shares of the baseline's best throughput; {} permits, {} \
         worker; from the intended arrival to the start of the handler, in nanoseconds. A quantile \
         is taken in each of {} rounds, behind its first tenth; the table gives the median of the rounds and \
         the quartiles, and for the longest wait the median of the rounds. Rounds are short, so that those which the \
         machine disturbs are the fewer; what happens in less than every other round is not in a median. A p99.9 of \
         few \
         samples is that of two or three messages. The target: at 50 %, a p50 of at most a fifth of the baseline's \
         and a p99 of \
         at most half; at 75 %, none of the three quantiles above the baseline's. `floor`'s worker looks all the \
         time, and its queue is a \
         bare ring.\n\n![Wait by quantile and contender, for \
         each load and handler]({PLOT})\n",
        first["permits"], first["workers"], first["rounds"],
    );
    let head = [
        "share, contender",
        "one in",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "longest",
        "p50 to `baseline`",
        "p99 to `baseline`",
        "p99.9 to `baseline`",
        "target",
        "others",
    ];
    for handler in distinct(rows, "handler_ns") {
        let rows: Vec<&Value> = rows.iter().filter(|row| row["handler_ns"] == handler).collect();
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                vec![
                    format!("{} %, {}", row["percent_of_baseline"], text(&row["contender"])),
                    figure(number(&row["gap_ns"])),
                    spread(&row["p50"]),
                    spread(&row["p90"]),
                    spread(&row["p99"]),
                    spread(&row["p999"]),
                    figure(number(&row["max"]["median"])),
                    spread(&row["p50_ratio_to_baseline"]),
                    spread(&row["p99_ratio_to_baseline"]),
                    spread(&row["p999_ratio_to_baseline"]),
                    verdict(&row["in_target"]),
                    share(&row["others_share"]),
                ]
            })
            .collect();
        section += &format!(
            "\n### A handler of {} µs\n\n{} samples a round.\n\n{}",
            number(&handler) / 1e3,
            rows[0]["samples_per_round"],
            markdown(&head.map(str::to_owned), &lines),
        );
    }
    Ok(section)
}

/// A panel for each handler and load.
fn plot(rows: &[Value], package: &Path) -> Result<(), Box<dyn Error>> {
    let workload = |row: &Value| (row["handler_ns"].clone(), row["percent_of_baseline"].clone());
    let panel = |rows: &[Value]| {
        let (handler, percent) = workload(&rows[0]);
        let of_row = |row: &Value| {
            let own = QUANTILES.map(|(_, name)| row[name].clone());
            (text(&row["contender"]), own.into())
        };
        Panel {
            title: format!("handler {}, load {percent} %", duration(number(&handler))),
            points: QUANTILES.map(|(label, _)| label.to_owned()).into(),
            series: rows.iter().map(of_row).collect(),
        }
    };
    let panels: Vec<Panel> = rows.chunk_by(|a, b| workload(a) == workload(b)).map(panel).collect();
    let plot = Plot {
        title: "Percentiles of the wait before the handler starts; whiskers span the quartiles of the rounds",
        scale: Scale::Logarithmic,
        label: duration,
        columns: panels.len().div_ceil(distinct(rows, "handler_ns").len()),
        width: 268,
        panels,
    };
    lines::draw(&package.join(PLOT), &plot)
}
