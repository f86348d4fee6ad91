//! What RESULTS.md says of each workload: a picture, the command, and three lines.

use std::error::Error;

use super::{Measured, SECTIONS, folders, handlers, replica, rivals};

/// What is said of a bench. The figures come from what it left.
struct Workload {
    bench: &'static str,
    /// What it shows, and its file in the folder of the pictures. Benches without one have a table here.
    pictures: &'static [(&'static str, &'static str)],
    claim: &'static str,
    cause: &'static str,
}

/// In the order in which they are told.
const WORKLOADS: [Workload; 9] = [
    Workload {
        bench: "throughput",
        pictures: &[
            ("Time of a message by producers, 3 workers, quiet machine", "throughput-quiet-3.svg"),
            ("Time of a message by producers, 3 workers, busy machine", "throughput-busy-3.svg"),
        ],
        claim: "A message takes a fraction of the replaced design's time, on a quiet machine and on one whose cores \
                others use. A bare channel is quicker where several producers never wait.",
        cause: "Submitters and workers write the same cache lines only in the slots of the inbox, each of which takes \
                some 90 ns from core to core. The engine does more for a message than a channel: two bounds, a turn, \
                two readings of the clock, two histograms.",
    },
    Workload {
        bench: "latency",
        pictures: &[("Wait by quantile, for each load and handler", "latency.svg")],
        claim: "Under load a message waits less than in the replaced design.",
        cause: "A worker that looks for work takes a message without a wake-up, and finds the next one without a lock \
                that others hold.",
    },
    Workload {
        bench: "wakeup",
        pictures: &[("Wait by quantile of a trickle, for each machine and gap", "wakeup.svg")],
        claim: "A trickle finds a worker that looks for it, at the price of processor time; `Park` sleeps at once. \
                Beside busy threads the default learns to sleep.",
        cause: "The default looks for up to 200 µs, as long as that pays. A `yield_now` that comes back late says that \
                others want the core, and bars the look for 4 ms at first and a second in the end.",
    },
    Workload {
        bench: "flood",
        pictures: &[("Honest peers' wait by quantile, without and with the flood", "flood.svg")],
        claim: "A peer that floods a flow hardly touches the others.",
        cause: "The flooder fills its own quota and has one turn like everybody else. Elsewhere the honest messages \
                stand behind all of the flooder's.",
    },
    Workload {
        bench: "dear_peer",
        pictures: &[("The cheap peer's share of the handlers' time", "dear_peer.svg")],
        claim: "A peer whose messages take a hundred times as long gets no more than its share of the time.",
        cause: "Turns are equal in time, not in messages: start-time fair queueing, with weights.",
    },
    Workload {
        bench: "peers",
        pictures: &[("Time of a message by number of peers", "peers.svg")],
        claim: "With ten thousand peers a message costs about half as much again as with ten.",
        cause: "A lane is four cache lines, and its messages lie in chunks that grow; workers take items out of the \
                inbox by the handful, so that the lanes' lines come together. The others know no peers.",
    },
    Workload {
        bench: "overload",
        pictures: &[("Waits of the messages that were started, by quantile", "overload.svg")],
        claim: "At twice the capacity a maximum age keeps what runs fresh. Without a policy every design queues.",
        cause: "What is too old when its turn comes is dropped and counted, which costs next to nothing.",
    },
    Workload {
        bench: "five_flows",
        pictures: &[("p99 of each flow, without and beside a stuck one", "five_flows.svg")],
        claim: "A flow whose handlers are stuck holds up no other.",
        cause: "Each flow has its own queue and its own threads; the flows share nothing but the cores.",
    },
    Workload {
        bench: "handlers",
        pictures: &[],
        claim: "What a peer has sent before it hung up is handled; work that outlasts its handler keeps to the flow's \
                bound; calls that cost much are shared by many messages, and nobody waits for a batch to fill.",
        cause: "A peer whose lane drains is gone when the last message of the lane has finished. A slot holds the \
                message's place in the bounds until it is dropped. A batch is what has gathered while the worker was \
                busy, so a message that comes alone runs alone.",
    },
];

/// Those of the reference replica.
const REPLICA: [Workload; 3] = [
    Workload {
        bench: "folders",
        pictures: &[],
        claim: "Many small files come to four machines in less time and with less memory than by Syncthing. One large \
                file takes longer than by either. rsync, which somebody has to call and which does not encrypt, is \
                quicker with all that is new.",
        cause: "A small file costs a sync on the publisher and on each receiver, several of them at a time. Of a large \
                file the publisher sends a whole copy to each, since a replica serves only what it has verified \
                whole. Idle, a replica lists what it holds to each peer once a minute: with this many files that is \
                probably most of what it uses.",
    },
    Workload {
        bench: "departures",
        pictures: &[],
        claim: "A departure and a tick hold the protocol's lock for less than a millisecond, with 1 000 peers and \
                1 000 downloads.",
        cause: "What is due stands in order, a search looks at 32 peers or attempts at most, and what a departed peer \
                has advertised is forgotten by the ticks that follow.",
    },
    Workload {
        bench: "flooded",
        pictures: &[],
        claim: "A peer that floods all flows with valid frames delays the files of the others and loses none of them.",
        cause: "Each flow has a lane for each peer, and the flooder's frames wait in its own. What the others still \
                wait for are the cores, which the flooder and all replicas share here.",
    },
];

impl Workload {
    /// Its section, whose title is at this level.
    fn told(
        &self,
        level: &str,
        command: &str,
        figures: Vec<String>,
        folder: &str,
    ) -> Result<String, Box<dyn Error>> {
        let Self { bench, pictures, claim, cause } = self;
        let (_, title, _) =
            SECTIONS.iter().find(|(name, ..)| name == bench).ok_or("a bench without a section")?;
        let mut text = format!("\n{level} {title}\n\n");
        if Measured::read(bench)?.is_none() {
            text += "Not measured.\n";
            return Ok(text);
        }
        for (what, file) in *pictures {
            text += &format!("![{what}](benches/plots/{file})\n\n");
        }
        let figures =
            if figures.is_empty() { "In the tables.".to_owned() } else { figures.join(" ") };
        text += &format!(
            "`{command}`; [tables]({folder}/tables.md), \
             [data]({folder}/{bench}.csv)\n\n\
             - **Claim.** {claim}\n\
             - **Figures.** {figures}\n\
             - **Cause.** {cause}\n",
        );
        Ok(text)
    }
}

/// All workloads, and where all figures are.
pub(crate) fn told(folder: &str) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for workload in &WORKLOADS {
        let figures = match workload.bench {
            // It compares ways to use the engine, and has no rivals.
            "handlers" => handlers::figures()?,
            bench => rivals::figures(bench)?,
        };
        let command = format!("cargo bench -p gossip-engine --bench {}", workload.bench);
        text += &workload.told("##", &command, figures, folder)?;
    }
    text += "\n## The replica\n\n\
             The reference replica on the engine, by benches of its own. Only its folders are compared with other \
             programs.\n";
    for workload in &REPLICA {
        let (command, figures) = match workload.bench {
            "folders" => ("python3 replica/tests/folders/bench.py".to_owned(), folders::figures()?),
            bench => {
                (format!("cargo bench -p gossip-replica --bench {bench}"), replica::figures(bench)?)
            }
        };
        text += &workload.told("###", &command, figures, folder)?;
    }
    let others: Vec<&str> = SECTIONS
        .iter()
        .filter(|(bench, ..)| {
            WORKLOADS.iter().chain(&REPLICA).all(|workload| workload.bench != *bench)
        })
        .map(|(_, title, _)| *title)
        .collect();
    text += &format!(
        "\n## What else is measured\n\nIn the [tables]({folder}/tables.md), without a picture: {}.\n",
        others.join("; "),
    );
    Ok(text)
}
