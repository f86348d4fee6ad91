use std::sync::{Mutex, PoisonError};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const PLAIN: Option<fn(&str) -> String> = Some(|text| format!("{text}\n"));

/// What was written, by a writer that takes something only with leave.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<String>>);

impl Page {
    fn add(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[test]
fn lines_are_written_in_their_order() {
    let page = Page::default();
    let written = page.clone();
    let sink = Sink::new("test", PLAIN, move |text| {
        written.add(text);
        Ok(())
    });
    for number in 0..1000 {
        sink.send(format!("{number}\n").as_bytes());
    }
    sink.flush(PATIENCE);
    let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(page.text(), expected);
}

#[test]
fn what_does_not_fit_is_dropped_and_reported_when_it_can_be() {
    let page = Page::default();
    let written = page.clone();
    let (go, stuck) = mpsc::channel::<()>();
    let sink = Sink::new("test", PLAIN, move |text| {
        // Waits until its other end is gone.
        let _ = stuck.recv();
        written.add(text);
        Ok(())
    });
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let fit = MAX_QUEUED_BYTES / (line.len() + LINE_OVERHEAD);
    for _ in 0..fit + 10 {
        sink.send(&line);
    }
    assert!(page.text().is_empty());
    sink.flush(Duration::from_millis(1));
    drop(go);
    sink.flush(PATIENCE);
    let text = page.text();
    assert_eq!(text.lines().filter(|line| line.starts_with('x')).count(), fit);
    assert_eq!(text.matches("10 lines of this log could not be written").count(), 1, "{text}");
    assert_eq!(text.matches("could not be written").count(), 1);
}

#[test]
fn what_the_system_does_not_take_is_dropped_and_reported_when_it_can_be() {
    let page = Page::default();
    let written = page.clone();
    let mut calls = 0;
    let sink = Sink::new("test", PLAIN, move |text| {
        calls += 1;
        match calls {
            1 | 2 => Err(io::ErrorKind::StorageFull.into()),
            3 => panic!("a writer that panics"),
            _ => {
                written.add(text);
                Ok(())
            }
        }
    });
    for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
        sink.send(line.as_bytes());
    }
    sink.flush(PATIENCE);
    let expected = "four\n3 lines of this log could not be written\nfive\n";
    assert_eq!(page.text(), expected);
}

#[test]
fn a_line_that_was_cut_off_is_ended() {
    let page = Page::default();
    let written = page.clone();
    let mut calls = 0;
    let sink = Sink::new("test", PLAIN, move |text| {
        calls += 1;
        if calls == 1 {
            written.add(&text[..2]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        written.add(text);
        Ok(())
    });
    sink.send(b"one\n");
    sink.flush(PATIENCE);
    assert_eq!(page.text(), "on\n1 line of this log could not be written\n");
}

#[test]
fn one_that_does_not_report_writes_what_it_is_sent_and_nothing_else() {
    let page = Page::default();
    let written = page.clone();
    let mut calls = 0;
    let sink = Sink::new("test", None, move |text| {
        calls += 1;
        if calls == 1 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        written.add(text);
        Ok(())
    });
    sink.send(b"one\n");
    sink.send(b"two\n");
    sink.flush(PATIENCE);
    assert_eq!(page.text(), "two\n");
}
