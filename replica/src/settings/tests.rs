use gossip_engine::{FlowType, OverloadPolicy};
use gossip_replica::transport::limits::MAX_PEERS;

use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

fn parse(text: &str) -> Result<Settings, String> {
    let (mut settings, list) = Settings::parse(&text.replace("KEY", KEY), Path::new("/folder"))?;
    settings.peers = list.peers;
    Ok(settings)
}

const SHORTEST: &str = "listen = '[::]:0'\nkey_file = 'k'\nstore = '/s'\n";

#[test]
fn what_is_left_out_has_defaults_and_paths_are_relative_to_the_file() {
    let settings = parse(SHORTEST).unwrap();
    assert_eq!(settings.key_file, Path::new("/folder/k"));
    assert_eq!(settings.store, Path::new("/s"));
    assert_eq!(settings.publish, None);
    assert_eq!((settings.chunk_size, settings.rescan), (131_072, Duration::from_secs(10)));
    assert!(settings.peers.is_empty());
}

#[test]
fn the_example_of_the_readme_is_a_configuration() {
    let readme = include_str!("../../README.md");
    let example = readme.split("```toml").find(|part| part.trim_start().starts_with("listen"));
    let example = example.and_then(|part| part.split("```").next()).unwrap();
    let settings = parse(example).unwrap();
    assert_eq!((settings.listen.as_str(), settings.peers.len()), ("0.0.0.0:4100", 1));
}

/// Each range stands above the setting, and without its mark each line says the default or what may be said.
#[test]
fn the_reference_says_ranges_and_defaults() {
    let text = reference(&[]);
    for number in [
        numbers::CHUNK_SIZE,
        numbers::RESCAN_SECONDS,
        numbers::SETTLE_SECONDS,
        numbers::MIN_FREE_BYTES,
        numbers::MAX_STORE_BYTES,
        numbers::VERIFY_BYTES_PER_SECOND,
    ] {
        let (about, _) = text.split_once(&format!("\n#{} = ", number.name)).expect(number.name);
        let about = about.lines().last().unwrap();
        assert!(about.starts_with("# ") && about.ends_with(&format!(": {number}.")), "{about}");
    }
    for number in [
        numbers::MAX_INFLIGHT,
        numbers::PEER_QUOTA,
        numbers::FLOW_BYTES,
        numbers::PEER_BYTES,
        numbers::MAX_AGE_MS,
    ] {
        let about = text.lines().find(|line| line.starts_with(&format!("#   {} - ", number.name)));
        assert!(about.is_some_and(|about| about.contains(&number.to_string())), "{about:?}");
    }
    assert!(text.contains(&format!("at most {MAX_PEERS}")));
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");

    let words =
        |line: &str| line.starts_with(|first: char| first.is_ascii_lowercase() || first == '[');
    let open: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| words(rest)).unwrap_or(line))
        .collect();
    let said = parse(&open.join("\n")).unwrap();
    let unsaid = parse(&text).unwrap();
    for settings in [&said, &unsaid] {
        assert_eq!((settings.rescan, settings.settle), (RESCAN, SETTLE));
        assert_eq!(settings.chunk_size, chunk_size());
        for flow in FlowType::ALL {
            let figures = |channels: &ChannelConfig| {
                let flow = channels.flow(flow);
                (flow.max_inflight_requests(), flow.peer_quota(), flow.overload_policy())
            };
            assert_eq!(
                figures(&settings.channels),
                figures(&ReplicaOptions::default().channels),
                "{flow:?}"
            );
        }
        assert_eq!(settings.store, Path::new("/folder/store"));
    }
    let StoreOptions { min_free_bytes, verify_bytes_per_second, .. } = StoreOptions::default();
    assert_eq!(said.store_limits.min_free_bytes, Some(min_free_bytes));
    assert_eq!(said.store_limits.verify_bytes_per_second, Some(verify_bytes_per_second));
    assert!(said.publish.is_some() && said.http.is_some() && said.peers_file.is_some());
    assert_eq!((said.peers.len(), unsaid.peers.len()), (1, 0));
    assert_eq!(unsaid.store_limits, StoreLimits::default());
    assert!(unsaid.publish.is_none() && unsaid.http.is_none() && unsaid.peers_file.is_none());
}

#[test]
fn the_reference_says_what_it_is_to_say() {
    let path = toml::Value::from("a \"b\"\n\\ 'ä' \u{1b}").to_string();
    let text = reference(&[("http", "\"[::1]:1\"".to_owned()), ("peers_file", path)]);
    let settings = parse(&text).unwrap();
    assert_eq!(settings.http, Some("[::1]:1".parse().unwrap()));
    assert_eq!(settings.peers_file.as_deref(), Some(Path::new("/folder/a \"b\"\n\\ 'ä' \u{1b}")));
}

/// Of another type than it should be: each setting says what it expects, and none tells a name of the program's.
#[test]
fn what_is_of_another_type_is_told_what_to_write() {
    let reference = reference(&[]);
    let texts = [
        texts::LISTEN,
        texts::KEY_FILE,
        texts::STORE,
        texts::PUBLISH,
        texts::HTTP,
        texts::PEERS_FILE,
        texts::KEY,
        texts::ADDRESS,
        texts::NAME,
        texts::POLICY,
    ];
    let wrong = [
        ("4391", "4391"),
        ("true", "true"),
        ("1.5", "1.5"),
        ("1979-05-27", "a date or a time"),
        ("[1]", "a list"),
        ("{ a = 1 }", "a table"),
    ];
    for text in &texts {
        let (name, example) = (text.name, text.example);
        let write = format!("{name} = \"{example}\"");
        assert!(reference.contains(&write), "{write}");
        let (before, own) = match name {
            "key" | "address" | "name" => (format!("{SHORTEST}[[peers]]\n"), 5),
            "policy" => (format!("{SHORTEST}[flows.chunk]\n"), 5),
            "listen" | "key_file" | "store" => (String::new(), 1),
            _ => (SHORTEST.to_owned(), 4),
        };
        for (value, shown) in wrong {
            let error = parse(&format!("{before}{name} = {value}\n")).unwrap_err();
            assert_eq!(error, format!("line {own}: {name} is {shown}, not a text; write {write}"));
        }
    }
    for (more, error) in [
        ("rescan_seconds = '10'", "rescan_seconds is \"10\", not 1 to 86400"),
        ("rescan_seconds = 1.5", "rescan_seconds is 1.5, not 1 to 86400"),
        ("max_store_bytes = []", "max_store_bytes is a list, not 1 or more"),
        ("flows = 3", "invalid type: integer `3`, expected tables, as [flows.chunk]"),
        ("flows.chunk = 3", "invalid type: integer `3`, expected a table, as [flows.chunk]"),
        ("peers = 3", "invalid type: integer `3`, expected tables, each as [[peers]]"),
        ("peers = [3]", "invalid type: integer `3`, expected a table, as [[peers]]"),
        ("peers = { key = 3 }", "invalid type: map, expected tables, each as [[peers]]"),
    ] {
        let found = parse(&format!("{SHORTEST}{more}\n")).unwrap_err();
        assert_eq!(found, format!("line 4: {error}"));
    }
    let long = parse(&format!("{SHORTEST}chunk_size = '{}'", "x".repeat(99))).unwrap_err();
    assert!(long.contains("x\"…, not 1024"), "{long}");
}

#[test]
fn everything_can_be_said() {
    let settings = parse(
        "listen = 'a:1'\nkey_file = 'k'\nstore = 's'\npublish = 'p'\nchunk_size = 1024\n\
         rescan_seconds = 1\nsettle_seconds = 0\nmin_free_bytes = 0\nmax_store_bytes = 7\n\
         max_publisher_bytes = 6\nverify_bytes_per_second = 8\nhttp = '[::1]:4180'\npeers_file = 'q'\n\
         [[peers]]\nkey = 'KEY'\naddress = 'b:2'\nname = 'replica-2'\n\
         [flows.chunk]\nmax_inflight = 200\npeer_quota = 9\nmax_bytes = 10\npeer_max_bytes = 11\n\
         policy = 'drop_oldest'\nmax_age_ms = 1500\n[flows.advert]\npolicy = 'refuse'\n",
    )
    .unwrap();
    assert_eq!(settings.publish.as_deref(), Some(Path::new("/folder/p")));
    assert_eq!((settings.chunk_size, settings.rescan), (1024, Duration::from_secs(1)));
    assert_eq!(settings.settle, Duration::ZERO);
    assert_eq!(settings.max_publisher_bytes, Some(6));
    assert_eq!(
        settings.store_limits,
        StoreLimits {
            min_free_bytes: Some(0),
            max_store_bytes: Some(7),
            verify_bytes_per_second: Some(8)
        }
    );
    assert_eq!(settings.http, Some("[::1]:4180".parse().unwrap()));
    assert_eq!(settings.peers_file.as_deref(), Some(Path::new("/folder/q")));
    assert_eq!(settings.peers[0].key, KEY.parse().unwrap());
    assert_eq!(settings.peers[0].address.as_str(), "b:2");
    let names: Vec<_> =
        settings.names().map(|(id, name)| (id, name.unwrap().to_string())).collect();
    assert_eq!(names, [(KEY.parse().unwrap(), "replica-2".to_owned())]);
    let chunk = settings.channels.flow(FlowType::Chunk);
    assert_eq!((chunk.max_inflight_requests(), chunk.peer_quota()), (200, 9));
    assert_eq!((chunk.max_bytes(), chunk.peer_max_bytes()), (Some(10), Some(11)));
    assert_eq!(chunk.overload_policy(), OverloadPolicy::DropOldest);
    assert_eq!(chunk.max_age(), Some(Duration::from_millis(1500)));
    let unsaid = ReplicaOptions::default().channels;
    let advert = settings.channels.flow(FlowType::Advert);
    assert_eq!(advert, unsaid.flow(FlowType::Advert).with_overload_policy(OverloadPolicy::Refuse));
    assert_eq!(settings.channels.flow(FlowType::Transport), unsaid.flow(FlowType::Transport));
    assert_eq!(chunk.threads(), unsaid.flow(FlowType::Chunk).threads());
}

#[test]
fn what_cannot_change_while_it_runs_is_named() {
    let before = parse(SHORTEST).unwrap();
    let live = format!(
        "{SHORTEST}[[peers]]\nkey = 'KEY'\naddress = 'a:1'\n[flows.chunk]\nmax_inflight = 7\n"
    );
    assert!(parse(&live).unwrap().fixed_changes(&before).is_empty());
    let fixed = SHORTEST.replace("'k'", "'l'").replace("[::]", "a")
        + "settle_seconds = 1\nmax_publisher_bytes = 1";
    assert_eq!(
        parse(&fixed).unwrap().fixed_changes(&before),
        ["listen", "key_file", "settle_seconds", "max_publisher_bytes"]
    );
}

fn peer(peer: &str) -> String {
    format!("{SHORTEST}[[peers]]\n{peer}")
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    let other = KEY.replace('0', "1");
    for (text, names) in [
        (
            "listen = 1".to_owned(),
            "line 1: listen is 1, not a text; write listen = \"0.0.0.0:4100\"",
        ),
        ("listen = 'a:1'\nlisten".to_owned(), "line 2: "),
        (SHORTEST.replace("store", "stroe"), "line 3: unknown field `stroe`"),
        (SHORTEST.replace("store = '/s'\n", ""), "lines 1 to 2: missing field `store`"),
        (format!("{SHORTEST}chunk_size = 1023"), "line 4: chunk_size is 1023, not 1024 to 2097152"),
        (format!("{SHORTEST}chunk_size = -1"), "chunk_size is -1"),
        (format!("{SHORTEST}rescan_seconds = 0"), "rescan_seconds is 0, not 1 to 86400"),
        (format!("{SHORTEST}\nsettle_seconds = 3601"), "line 5: settle_seconds is 3601, not 0 to"),
        (format!("{SHORTEST}max_store_bytes = 0"), "max_store_bytes is 0, not 1 or more"),
        (format!("{SHORTEST}max_publisher_bytes = 0"), "max_publisher_bytes is 0, not 1 or more"),
        (SHORTEST.replace("[::]:0", "nonsense"), "line 1: listen, \"nonsense\": it has no port"),
        (SHORTEST.replace("[::]:0", "::1:4"), "an IPv6 address stands in brackets"),
        (SHORTEST.replace("[::]:0", "a:x"), "its port is no number"),
        (SHORTEST.replace("[::]:0", ":7"), "its host is no name"),
        (format!("{SHORTEST}http = 'x'"), "line 4: \"x\" is neither an address"),
        (peer("key = 'KEY'"), "line 4: missing field `address`"),
        (peer("key = 'KEY'\naddress = 'a:1'\nalias = 'x'"), "line 7: unknown field `alias`"),
        (
            peer("key = 'KEY'\naddress = 'a:1'\nname = 'Replica 2'"),
            "line 7: the name of a peer, \"Replica 2\": a name has 1 to 32 of a-z",
        ),
        (peer("key = 'KEY'\naddress = 'a:1'\nname = '-rf'"), "does not begin with -"),
        (
            peer(&format!(
                "key = 'KEY'\naddress = 'a:1'\nname = 'x'\n[[peers]]\nkey = '{other}'\n\
                 address = 'b:1'\nname = 'x'"
            )),
            "line 8: 00112233 and 11112233 are both called x",
        ),
        (peer("key = 'KEY0'\naddress = 'a:1'"), "line 5: the key of a peer: an id has 64"),
        (peer("key = 'x'\naddress = 'a:1'"), "64 hexadecimal digits, not 1"),
        (
            peer("key = 'KEY'\naddress = 'a'"),
            "line 6: the address of a peer, \"a\": it has no port",
        ),
        (peer("key = 'KEY'\naddress = 'a:0'"), "line 6: the address of a peer, \"a:0\": nobody"),
        (
            peer("key = 'KEY'\naddress = '0.0.0.0:1'"),
            "line 6: the address of a peer, \"0.0.0.0:1\"",
        ),
        (peer("key = 'KEY'\naddress = '[::]:1'"), "no peer can be reached there"),
        (peer("key = 'KEY'\naddress = '[::ffff:0.0.0.0]:1'"), "no peer can be reached there"),
        (
            peer("key = 'KEY'\naddress = 'a:1'\n\n[[peers]]\nkey = 'KEY'\naddress = 'b:1'"),
            "line 8: the list of peers names 00112233 twice",
        ),
        (
            peer(&format!(
                "key = 'KEY'\naddress = 'A:1'\n[[peers]]\nkey = '{other}'\naddress = 'a:1'"
            )),
            "line 7: 00112233 and 11112233 are both said to listen on a:1",
        ),
        (
            peer(&format!(
                "key = 'KEY'\naddress = '1.2.3.4:1'\n[[peers]]\nkey = '{other}'\n\
                 address = '[::ffff:1.2.3.4]:1'"
            )),
            "line 7: 00112233 and 11112233 are both",
        ),
        (
            format!("{SHORTEST}[flows.chunk]\nmax_inflight = 0"),
            "line 5: max_inflight is 0, not 1 to",
        ),
        (format!("{SHORTEST}[flows.chunks]\nmax_inflight = 1"), "line 4: unknown field `chunks`"),
        (format!("{SHORTEST}[flows.chunk]\npolicy = 'x'"), "line 5: unknown variant `x`"),
        (
            format!("{SHORTEST}\n[flows.transport]\npolicy = 'drop_newest'"),
            "line 5: Transport flow: it cannot drop messages",
        ),
        (format!("{SHORTEST}[flows.transport]\nmax_age_ms = 5"), "line 4: Transport flow"),
        (format!("{SHORTEST}[{}a]", "a.".repeat(100)), "lines 1 to 4: "),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(names), "{text}\n{error}");
        assert!(!error.trim().contains('\n'), "{error}");
    }
}

/// A configuration and a file of peers, loaded.
fn load(config: &str, peers: &[u8]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.toml");
    std::fs::write(&path, config.replace("KEY", KEY)).unwrap();
    std::fs::write(folder.path().join("peers.toml"), peers).unwrap();
    Settings::load(&path).map_err(|failure| failure.to_string())
}

#[test]
fn peers_may_stand_in_a_file_of_their_own() {
    let config =
        format!("{SHORTEST}peers_file = 'peers.toml'\n[[peers]]\nkey = 'KEY'\naddress = 'a:1'");
    let other = KEY.replace('0', "1");
    let file = format!("[[peers]]\nkey = '{other}'\naddress = 'b:1'\n");
    let settings = load(&config, file.as_bytes()).unwrap();
    let addresses: Vec<_> = settings.peers.iter().map(|peer| peer.address.as_str()).collect();
    assert_eq!(addresses, ["a:1", "b:1"]);
    assert!(load(&config, b"").is_ok());

    for (file, names) in [
        (format!("{file}\n[[peers]]\nkey = '{KEY}'\naddress = 'c:1'"), "line 5: the list of peers"),
        (file.replace("b:1", "A:1"), "line 1: "),
        ("listen = 'a:1'".to_owned(), "line 1: unknown field `listen`"),
        ("\n[[peers]]\nkey = 1".to_owned(), "line 3: key is 1, not a text"),
    ] {
        let error = load(&config, file.as_bytes()).unwrap_err();
        assert!(error.contains("peers.toml, ") && error.contains(names), "{error}");
    }
    let error = load(&config, b"# \n\n# \xff").unwrap_err();
    assert!(error.contains("peers.toml, line 3: the text is not in UTF-8"), "{error}");
    let missing = config.replace("peers.toml", "nobody.toml");
    let error = load(&missing, b"").unwrap_err();
    assert!(error.contains("cannot read the file of peers") && error.contains("nobody.toml"));
}

#[test]
fn where_the_page_is_can_be_read_from_a_file_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.toml");
    let text = "http = '4180'\nnonsense = 3\nchunk_size = 1\npeers_file = 'nowhere'\n";
    std::fs::write(&path, text).unwrap();
    assert!(Settings::load(&path).is_err());
    let http = Settings::http_in(&path).unwrap().unwrap();
    assert_eq!(http.socket(), "127.0.0.1:4180".parse().unwrap());
    std::fs::write(&path, "store = 'store'\n").unwrap();
    assert!(Settings::http_in(&path).unwrap().is_none());
}

#[test]
fn more_peers_than_there_may_be_are_refused() {
    let mut list = PeerList::default();
    let entry = |number: usize| {
        let text = format!("[[peers]]\nkey = '{number:064x}'\naddress = 'host-{number}:1'");
        parse_peers(&text)
    };
    for number in 0..MAX_PEERS {
        list.add(entry(number)).unwrap();
    }
    assert_eq!(list.add(entry(MAX_PEERS)).unwrap_err().message, "more than 4096 peers");
}

fn parse_peers(text: &str) -> Vec<toml::Spanned<PeerSettings>> {
    super::parse::<PeersFile>(text).unwrap().peers
}

/// `replica/docs/replica.toml`; with `GOSSIP_REFERENCE_ACCEPT` in the environment it is written.
#[test]
fn the_reference_is_in_the_documents() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/replica.toml");
    let reference = reference(&[]);
    if std::env::var_os("GOSSIP_REFERENCE_ACCEPT").is_some() {
        std::fs::write(path, &reference).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == reference,
        "replica/docs/replica.toml is not what the program says: set GOSSIP_REFERENCE_ACCEPT=1 and test again"
    );
}
