//! What the system says of this process. Empty where the system does not say it in `/proc`.

/// Of this process, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) threads: Option<u64>,
}

impl Process {
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read() -> Self {
        Self::default()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn read() -> Self {
        use std::fs::{read_dir, read_to_string};
        let stat = read_to_string("/proc/self/stat").unwrap_or_default();
        // The name of the program, in parentheses, may hold anything.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split(' ').collect();
        // By proc(5), whose third field is the first after the name.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = field(14).zip(field(15)).map(|(user, system)| user + system);
        let (per_second, page) =
            (rustix::param::clock_ticks_per_second(), rustix::param::page_size());
        Self {
            cpu_seconds: ticks.map(|ticks| ticks as f64 / per_second.max(1) as f64),
            resident_bytes: field(24).map(|pages| pages * page as u64),
            // Without the one that reads the folder.
            open_files: read_dir("/proc/self/fd")
                .ok()
                .map(|files| (files.count() as u64).saturating_sub(1)),
            threads: field(20),
        }
    }
}
