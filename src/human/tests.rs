use proptest::prelude::*;
use serde_json::{from_value, json, to_value};

use super::*;

#[test]
fn durations_and_sizes_are_written_with_the_largest_unit_that_fits() {
    for (nanos, text) in [
        (0, "0ns"),
        (1, "1ns"),
        (10_000, "10us"),
        (500_000_000, "500ms"),
        (1_500_000_000, "1500ms"),
        (90_000_000_000, "90s"),
        (120_000_000_000, "2min"),
        (86_400_000_000_000, "24h"),
    ] {
        assert_eq!(to_value(Time(Duration::from_nanos(nanos))).unwrap(), json!(text));
    }
    for (bytes, text) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (16 << 20, "16 MiB"),
        (16_000_000, "16 MB"),
        (1_536 << 20, "1536 MiB"),
        (1 << 40, "1 TiB"),
        (1_000_000_000_000, "1 TB"),
    ] {
        assert_eq!(to_value(Size(bytes)).unwrap(), json!(text));
    }
}

#[test]
fn spaces_before_the_unit_do_not_matter() {
    for text in ["500ms", "500 ms", "500  ms", "500000us", "500000µs"] {
        let time: Time = from_value(json!(text)).unwrap();
        assert_eq!(time.0, Duration::from_millis(500), "{text}");
    }
    for size in [json!("16 MiB"), json!("16MiB"), json!("16384 KiB"), json!(16_777_216)] {
        assert_eq!(from_value::<Size>(size.clone()).unwrap().0, 16 << 20, "{size}");
    }
}

#[test]
fn what_is_no_duration_or_no_size_says_what_would_be_one() {
    let too_long = format!("{}h", u64::MAX);
    let huge = format!("{}h", u128::MAX);
    for wrong in [
        json!(5),
        json!(0),
        json!("5"),
        json!(""),
        json!("ms"),
        json!("-5ms"),
        json!("+5ms"),
        json!("1.5s"),
        json!("5 m"),
        json!("5 MS"),
        json!("1min 5s"),
        json!("5ms "),
        json!(" 5ms"),
        json!("٥ms"),
        json!(too_long),
        json!(huge),
        json!(null),
    ] {
        let error = from_value::<Time>(wrong.clone()).unwrap_err().to_string();
        assert!(error.contains(r#"expected a duration as "500ms", in ns"#), "{wrong}: {error}");
    }
    for wrong in [
        json!(-1),
        json!("-1 B"),
        json!("1"),
        json!("1 mib"),
        json!("18446744073710 MB"),
        json!(1.5),
    ] {
        let error = from_value::<Size>(wrong.clone()).unwrap_err().to_string();
        assert!(error.contains(r#"expected a size as "16 MiB", in B"#), "{wrong}: {error}");
    }
}

proptest! {
    #[test]
    fn every_duration_and_every_size_reads_back_equal(
        seconds in prop_oneof![any::<u64>(), 0..100_000_u64],
        nanos in prop_oneof![Just(0), 0..1_000_000_000_u32],
        bytes in prop_oneof![any::<u64>(), (0..1_u64 << 20).prop_map(|kib| kib << 10)],
    ) {
        let (time, size) = (Time(Duration::new(seconds, nanos)), Size(bytes));
        prop_assert_eq!(from_value::<Time>(to_value(time).unwrap()).unwrap(), time);
        prop_assert_eq!(from_value::<Size>(to_value(size).unwrap()).unwrap(), size);
    }
}

#[test]
fn the_longest_duration_and_the_largest_size_read_back_equal() {
    let (time, size) = (Time(Duration::MAX), Size(u64::MAX));
    assert_eq!(from_value::<Time>(to_value(time).unwrap()).unwrap(), time);
    assert_eq!(from_value::<Size>(to_value(size).unwrap()).unwrap(), size);
}
