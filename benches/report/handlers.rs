//! The section about handlers that need more than one message at a time on a thread: departures, slots and batches.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    Measured,
    table::{duration, figure, markdown, number, share, spread, text},
};

const BENCH: &str = "handlers";

/// The rows of a part; an error if there are none.
fn part<'a>(rows: &'a [Value], what: &str) -> Result<Vec<&'a Value>, Box<dyn Error>> {
    let part: Vec<&Value> = rows.iter().filter(|row| row["what"] == what).collect();
    if part.is_empty() { Err(format!("{BENCH}: no rows of {what}").into()) } else { Ok(part) }
}

/// The row of this way.
fn way<'a>(rows: &[&'a Value], way: &str) -> Result<&'a Value, Box<dyn Error>> {
    let row = rows.iter().find(|row| row["way"] == way);
    row.copied().ok_or_else(|| format!("{BENCH}: no row of {way}").into())
}

/// A time with three digits, as in the other tables.
fn time(value: &Value) -> String {
    let nanoseconds = number(value);
    duration(format!("{nanoseconds:.2e}").parse().unwrap_or(nanoseconds))
}

fn median(value: &Value) -> f64 {
    number(&value["median"])
}

fn table(head: &[&str], rows: &[&Value], cells: impl Fn(&Value) -> Vec<String>) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let line = |row: &&Value| {
        let own = [vec![text(&row["way"])], cells(row), vec![share(&row["others_share"])]];
        own.concat()
    };
    markdown(&head, &rows.iter().map(line).collect::<Vec<_>>())
}

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let departures = part(rows, "departure")?;
    let slots = part(rows, "slots")?;
    let loads = part(rows, "batches under load")?;
    let trickles = part(rows, "batches at little load")?;
    let services = part(rows, "readiness")?;
    let [departure, slot, load, trickle, service] =
        [&departures, &slots, &loads, &trickles, &services].map(|rows| rows[0]);
    let head = [
        "departure",
        "handled",
        "least",
        "rounds with all",
        "ns a departure",
        "to cancel",
        "longest",
        "others",
    ];
    let of_departures = table(&head, &departures, |row| {
        vec![
            spread(&row["handled"]),
            row["least_handled"].to_string(),
            format!("{} of {}", row["whole_rounds"], row["rounds"]),
            spread(&row["departure_ns"]),
            spread(&row["ratio_to_cancel"]),
            time(&row["longest_ns"]),
        ]
    });
    let head = [
        "handler",
        "most at a time",
        "of all rounds",
        "seconds",
        "service by the flow, ns",
        "others",
    ];
    let of_slots = table(&head, &slots, |row| {
        vec![
            spread(&row["most_at_a_time"]),
            row["most_of_all_rounds"].to_string(),
            spread(&row["seconds"]),
            spread(&row["service_ns"]),
        ]
    });
    let head = [
        "handler",
        "messages a second",
        "to one by one",
        "ns of processor time",
        "times as many by that",
        "messages a call",
        "others",
    ];
    let of_loads = table(&head, &loads, |row| {
        [
            "messages_per_second",
            "ratio_to_one_by_one",
            "processor_ns_per_message",
            "ratio_by_processor_time",
            "messages_per_call",
        ]
        .map(|field| spread(&row[field]))
        .to_vec()
    });
    let head = [
        "handler",
        "p50",
        "to one by one",
        "p90",
        "p99",
        "to one by one",
        "messages a call",
        "others",
    ];
    let of_trickles = table(&head, &trickles, |row| {
        [
            "p50",
            "p50_ratio_to_one_by_one",
            "p90",
            "p99",
            "p99_ratio_to_one_by_one",
            "messages_per_call",
        ]
        .map(|field| spread(&row[field]))
        .to_vec()
    });
    let of_services =
        table(&["way", "ns a message", "to a submitter", "others"], &services, |row| {
            ["ns_per_message", "ratio_to_submitter"].map(|field| spread(&row[field])).to_vec()
        });
    Ok(format!(
        "A peer submits {} messages, each of which is answered as admitted, and hangs up at once; a handler is {} of \
         work, and one of {} threads serves the peer. How many are handled before `on_peer_down`, and how long it \
         takes from the end of the connection to the return of `on_peer_down`. {} rounds.\n\n{of_departures}\n\
         Handlers that need {} of async work, a sleep on a tokio runtime: bound {}, {} threads, {} messages, which \
         take {} s at the bound. The slot is moved into a task; the handler waits for the work by `block_on`; or it \
         spawns a task that nothing bounds. {} rounds.\n\n{of_slots}\n\
         Handlers whose call takes {} and each message {}, in steps of work: {} peers, one thread, `max_batch` 1 and \
         {}. The next message is submitted as soon as the last one was admitted; the processor time \
         is that of the whole process, without what others take. {} rounds of {} messages.\n\n{of_loads}\n\
         The same handlers at {} % of what one by one can do, one message in {} (Poisson): nanoseconds from when a \
         message is due to the end of its call, so the call and the message are in it. {} rounds of {} \
         messages.\n\n{of_trickles}\n\
         A tower service of one peer over a flow that has capacity for one more message, behind `load_shed`: of {} \
         calls {} are admitted and {} are shed, and {} waits, the service itself. \
         Where there is capacity, one producer in a closed loop, {} \
         permits, one thread; {} rounds of {} messages.\n\n{of_services}",
        departure["messages"],
        duration(number(&departure["handler_ns"])),
        departure["threads"],
        departure["rounds"],
        duration(number(&slot["work_ns"])),
        slot["bound"],
        slot["threads"],
        slot["messages"],
        slot["least_seconds"],
        slot["rounds"],
        duration(number(&load["call_ns"])),
        duration(number(&load["message_ns"])),
        load["peers"],
        load["max_batch"],
        load["rounds"],
        load["messages"],
        trickle["percent_of_one_by_one"],
        time(&trickle["gap_ns"]),
        trickle["rounds"],
        trickle["messages"],
        service["calls"],
        service["admitted"],
        service["shed"],
        service["waiting"],
        service["permits"],
        service["rounds"],
        service["messages"],
    ))
}

/// A sentence for each part.
pub(crate) fn figures() -> Result<Vec<String>, Box<dyn Error>> {
    let Some(Measured { rows, .. }) = Measured::read(BENCH)? else { return Ok(Vec::new()) };
    let departures = part(&rows, "departure")?;
    let (drain, cancel) = (way(&departures, "Drain")?, way(&departures, "Cancel")?);
    let slots = part(&rows, "slots")?;
    let (slot, waits, spawns) =
        (way(&slots, "slot")?, way(&slots, "block_on")?, way(&slots, "spawn")?);
    let loads = part(&rows, "batches under load")?;
    let (alone, together) = (way(&loads, "one by one")?, way(&loads, "batches")?);
    let trickles = part(&rows, "batches at little load")?;
    let quiet_together = way(&trickles, "batches")?;
    let of_slot = |row: &Value| {
        format!("{} at a time and {} s", row["most_of_all_rounds"], spread(&row["seconds"]))
    };
    Ok(vec![
        format!(
            "Of {} messages of a peer that hangs up at once, `Drain` handles at least {}, and all in {} of {} rounds; \
             `Cancel` handles {} to {}.",
            drain["messages"],
            drain["least_handled"],
            drain["whole_rounds"],
            drain["rounds"],
            cancel["least_handled"],
            cancel["most_handled"],
        ),
        format!(
            "{} messages of {} of async work with a bound of {} and {} threads: {} by slots, {} by `block_on`, {} by \
             `spawn` alone.",
            slot["messages"],
            duration(number(&slot["work_ns"])),
            slot["bound"],
            slot["threads"],
            of_slot(slot),
            of_slot(waits),
            of_slot(spawns),
        ),
        format!(
            "{} a call and {} a message: {} messages a second in batches of {} on average, {} one by one: {} \
             times as many, and {} times as many for the same processor time. At {} % of one by one's capacity p50 is \
             {} of one by one's, and p99 {}.",
            duration(number(&together["call_ns"])),
            duration(number(&together["message_ns"])),
            figure(median(&together["messages_per_second"])),
            figure(median(&together["messages_per_call"])),
            figure(median(&alone["messages_per_second"])),
            spread(&together["ratio_to_one_by_one"]),
            spread(&together["ratio_by_processor_time"]),
            quiet_together["percent_of_one_by_one"],
            spread(&quiet_together["p50_ratio_to_one_by_one"]),
            spread(&quiet_together["p99_ratio_to_one_by_one"]),
        ),
        format!(
            "Meanwhile others used up to {} of the machine.",
            share(&most_by_others(&rows).into())
        ),
    ])
}

/// The largest share of the machine that others used in one of the parts.
fn most_by_others(rows: &[Value]) -> Option<f64> {
    rows.iter().filter_map(|row| row["others_share"].as_f64()).max_by(f64::total_cmp)
}

/// What these ways cost, beside those that they are compared with.
pub(crate) fn lost() -> Result<String, Box<dyn Error>> {
    let Some(Measured { rows, .. }) = Measured::read(BENCH)? else { return Ok(String::new()) };
    let departures = part(&rows, "departure")?;
    let (drain, cancel) = (way(&departures, "Drain")?, way(&departures, "Cancel")?);
    let slots = part(&rows, "slots")?;
    let (slot, spawns) = (way(&slots, "slot")?, way(&slots, "spawn")?);
    let services = part(&rows, "readiness")?;
    let service = way(&services, "service")?;
    Ok(format!(
        "\nWhat the engine's own ways cost: a departure that drains {} messages of {} takes {} where one that cancels \
         takes {}, and the peer cannot connect anew meanwhile. Tasks that a slot bounds to {} end after {} s, where \
         {} at a time end after {} s. The service time of a message in a batch is that of the whole call. A \
         message by a tower service takes {} times as long as by a submitter, since its permit takes a lock twice.\n",
        drain["messages"],
        duration(number(&drain["handler_ns"])),
        time(&drain["departure_ns"]["median"]),
        time(&cancel["departure_ns"]["median"]),
        slot["bound"],
        figure(median(&slot["seconds"])),
        figure(median(&spawns["most_at_a_time"])),
        figure(median(&spawns["seconds"])),
        spread(&service["ratio_to_submitter"]),
    ))
}
