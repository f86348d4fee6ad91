//! The section about a replica that a peer floods.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{duration, markdown, number, share, spread, text};

const TIMES: [&str; 3] = ["p50", "p99", "longest"];

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
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
        &["flow", "calm", "flooded", "had to wait for room, flooded"],
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
         for which there was no room or no belief, {} chunks that nobody asked for, {} answers that the flooder did \
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
