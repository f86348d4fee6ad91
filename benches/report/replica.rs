//! The sections about the reference replica: flooded by a peer, and left by one.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    Measured,
    table::{duration, figure, markdown, number, share, spread, text, verdict},
};

const TIMES: [&str; 3] = ["p50", "p99", "longest"];

pub(crate) fn flooded(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let [calm, flooded] = rows else { return Err("not a calm row and a flooded one".into()) };
    let table = |head: &[&str], lines: &[Vec<String>]| {
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        markdown(&head, lines)
    };
    let of_row = |row: &Value| -> Vec<String> {
        [text(&row["round"]), row["arrived"].to_string()]
            .into_iter()
            .chain(TIMES.map(|name| spread(&row[format!("{name}_ms")])))
            .chain([
                spread(&row["blind_ms"]),
                spread(&row["cores_used"]),
                share(&row["others_share"]),
            ])
            .collect()
    };
    let ratios: Vec<String> = ["flooded to calm", ""]
        .map(str::to_owned)
        .into_iter()
        .chain(TIMES.map(|name| spread(&flooded[format!("{name}_to_calm")])))
        .chain([const { String::new() }; 3])
        .collect();
    let times = table(
        &[
            "round",
            "files that arrived",
            "p50",
            "p99",
            "longest",
            "between looks",
            "cores used",
            "others",
        ],
        &[of_row(calm), of_row(flooded), ratios],
    );
    let of_flow = |(calm, flooded): (&Value, &Value)| -> Vec<String> {
        vec![
            text(&calm["flow"]),
            spread(&calm["frames_per_second"]),
            spread(&flooded["frames_per_second"]),
            share(&(number(&flooded["waited_for_room"]) / number(&flooded["frames"])).into()),
        ]
    };
    let flows = |row: &'_ Value| row["flows"].as_array().cloned().unwrap_or_default();
    let taken = table(
        &["flow", "calm", "flooded", "waited for capacity, flooded"],
        &flows(calm).iter().zip(&flows(flooded)).map(of_flow).collect::<Vec<_>>(),
    );
    let ends = flooded["ends"].as_object().into_iter().flatten();
    let ends: Vec<Vec<String>> =
        ends.map(|(end, count)| vec![end.replace('_', " "), count.to_string()]).collect();
    let protocol = &flooded["protocol"];
    Ok(format!(
        "Three replicas and a fourth peer, connected over QUIC on the loopback interface. One replica \
         publishes {} files of {} bytes, one each {}; the fourth peer sends valid frames of all flows to \
         all three as fast as its transport takes them, or is silent. {} rounds of each kind, with replicas \
         of their own.\n\nFrom when a file was due to be published to when both others held it, in \
         milliseconds; *longest* is the median of the rounds' longest. A time may be too long by what lay \
         between two looks, of which the longest of a round is given:\n\n{times}\n\
         Everybody shares the machine. The flooder's own thread used {} of the processor time in the flooded \
         rounds, which elsewhere its own machine would have to find; so these are no figures of what the \
         engine alone lets through.\n\nFrames a second that the three replicas took in, those of the \
         honest included:\n\n{taken}\n\
         What became of the messages of the flooded rounds, from the start of each to its end:\n\n{}\n\
         In every replica the counts add up. By default a submitter that finds no capacity waits, so the flood is \
         held back in the flooder's own queues. Of what was taken in, the protocol turned down {} adverts \
         over its limits or of peers that had lied, {} chunks that nobody asked for, {} answers that the flooder did \
         not read \
         in time, and {} retransmission requests that came too soon after the one before, to be answered as one.\n",
        calm["files"],
        calm["file_bytes"],
        duration(number(&calm["gap_ns"])),
        calm["rounds"],
        share(&flooded["flooder_share"]["median"]),
        table(&["end", "messages"], &ends),
        protocol["adverts_refused"],
        protocol["chunks_unsolicited"],
        protocol["chunks_unsent"],
        protocol["retransmissions_deferred"],
    ))
}

pub(crate) fn departures(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let head =
        ["call", "peers", "downloads", "calls", "p50, µs", "p99, µs", "longest, µs", "target"];
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let counts = ["call", "peers", "downloads", "calls"].map(|field| text(&row[field]));
            let times = ["p50_us", "p99_us", "longest_us"].map(|field| figure(number(&row[field])));
            [counts.to_vec(), times.to_vec(), vec![verdict(&row["within_target"])]].concat()
        })
        .collect();
    Ok(format!(
        "Every peer advertises every artifact and answers nothing, so that all downloads run and all peers may be \
         asked in each. A *departure* is the call that the engine makes when a peer has left, a *tick* the one that \
         it makes each 100 ms; both hold the protocol's lock. Times are processor time of the calling thread, \
         with what is sent. The target is 1 ms for the longest.\n\n{}",
        markdown(&head.map(str::to_owned), &lines),
    ))
}

/// The figures of a bench of the replica, a sentence each.
pub(crate) fn figures(bench: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let Some(Measured { rows, .. }) = Measured::read(bench)? else { return Ok(Vec::new()) };
    match (bench, rows.as_slice()) {
        ("departures", rows) => {
            // The largest size is the last.
            let peers = rows.last().map(|row| &row["peers"]);
            let largest = rows.iter().filter(|row| Some(&row["peers"]) == peers);
            Ok(largest.map(of_call).collect())
        }
        ("flooded", [calm, flooded]) => Ok(vec![
            format!("{} of {} files arrived.", flooded["arrived"], expected(flooded)),
            format!(
                "From published to held by all, calm and flooded: p50 {} and {} ms, p99 {} and {} ms.",
                spread(&calm["p50_ms"]),
                spread(&flooded["p50_ms"]),
                spread(&calm["p99_ms"]),
                spread(&flooded["p99_ms"]),
            ),
            format!(
                "The replicas took in {} frames a second.",
                spread(&flooded["frames_per_second"])
            ),
        ]),
        _ => Err(format!("{bench}: rows that nobody knows").into()),
    }
}

fn of_call(row: &Value) -> String {
    format!(
        "A {} with {} peers and {} downloads: p50 {} µs, p99 {} µs, longest {} µs.",
        text(&row["call"]),
        row["peers"],
        row["downloads"],
        figure(number(&row["p50_us"])),
        figure(number(&row["p99_us"])),
        figure(number(&row["longest_us"])),
    )
}

/// How many files all rounds of a row have published.
fn expected(row: &Value) -> f64 {
    number(&row["files"]) * number(&row["rounds"])
}
