use super::*;

const ONE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const TWO: &str = "11112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn peer(key: &str, address: &str) -> PeerSettings {
    PeerSettings { key: key.parse().unwrap(), address: address.parse().unwrap(), name: None }
}

fn with(text: &str, key: &str, address: &str) -> String {
    with_peer(text, &peer(key, address)).unwrap().expect("it changes")
}

#[test]
fn an_entry_is_added_at_the_end_and_is_there_then() {
    let expected = format!("\n[[peers]]\nkey = \"{ONE}\"\naddress = \"a:1\"\n");
    for (text, end) in [("", ""), (HEAD, ""), ("# no end of the line", "\n"), ("\r\n", "")] {
        let new = with(text, ONE, "a:1");
        assert_eq!(new, format!("{text}{end}{expected}"));
        assert!(with_peer(&new, &peer(ONE, "a:1")).unwrap().is_none());
        let both = with(&new, TWO, "[::1]:2");
        assert!(both.starts_with(&new));
        assert!(with_peer(&both, &peer(ONE, "a:1")).unwrap().is_none());
    }
}

#[test]
fn an_entry_gets_its_new_address_and_nothing_else_changes() {
    let upper = ONE.to_uppercase();
    for (before, after) in [
        ("# ä\n[[peers]] # mine\naddress = 'a:1'  # was b:1\nkey = '", "'\n# end"),
        ("peers = [\n  # in one list\n  { address = 'a:1', key = '", "' },\n]"),
        ("[[peers]]\r\naddress = '''a:1'''\r\nkey = \"", "\"\r\n"),
    ] {
        let text = format!("{before}{upper}{after}");
        let new = with(&text, ONE, "c.example:7");
        let quoted = if before.contains("'''") { "'''a:1'''" } else { "'a:1'" };
        assert_eq!(new, text.replacen(quoted, "\"c.example:7\"", 1));
        assert!(with_peer(&new, &peer(ONE, "c.example:7")).unwrap().is_none());
    }
}

#[test]
fn what_is_at_fault_is_said() {
    let one = format!("[[peers]]\nkey = '{ONE}'\naddress = 'a:1'\n");
    let listed = format!("peers = [{{ key = '{ONE}', address = 'a:1' }}]\n");
    for (text, names) in [
        ("listen = 'a:1'".to_owned(), "line 1: unknown field `listen`"),
        (format!("\n{one}{one}"), "line 5: the list of peers names 00112233 twice"),
        ("\n\npeers = 3".to_owned(), "line 3: "),
        (one.replace("a:1", "A:2"), "both said to listen on a:2"),
        (listed, "write each entry as a table"),
    ] {
        let fault = with_peer(&text, &peer(TWO, "a:2")).unwrap_err();
        assert!(fault.contains(names), "{fault}");
        assert!(!fault.trim_end().contains('\n'), "{fault}");
    }
    let many: String = (0..gossip_replica::transport::limits::MAX_PEERS)
        .map(|number| format!("[[peers]]\nkey = '{number:064x}'\naddress = 'host-{number}:1'\n"))
        .collect();
    let fault = with_peer(&many, &peer(TWO, "a:2")).unwrap_err();
    assert!(fault.ends_with("a:2: more than 4096 peers"), "{fault}");
}
